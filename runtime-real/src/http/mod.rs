//! The HTTP interface: one file per resource, on hyper, without a framework in between.
//!
//! | module | owns |
//! |---|---|
//! | `server` | threads, connections, graceful drain |
//! | `router` | which resource a request is for; panics and logging |
//! | `state` | what the resources work on |
//! | `headers`, `body`, `query`, `members`, `batch_members`, `operations` | reading requests |
//! | `fingerprint`, `ids` | the identity of requests and commands |
//! | `writes`, `batch` | the operations |
//! | `wallets`, `transactions`, `statement`, `events` | the reads |
//! | `health`, `kafka`, `metrics`, `dashboard` | the service itself |
//! | `render`, `response`, `problem`, `code` | writing answers |
//! | `openapi`, `schema`, `batch_schema`, `problem_schema`, `documentation` | what the service says about itself |

mod batch;
mod batch_members;
mod batch_schema;
mod body;
mod code;
mod dashboard;
mod documentation;
mod events;
mod fingerprint;
mod headers;
mod health;
mod ids;
mod kafka;
mod members;
mod metrics;
mod openapi;
mod operations;
mod problem;
mod problem_schema;
mod query;
mod reads;
pub(crate) mod render;
mod response;
mod router;
mod schema;
mod server;
mod state;
mod statement;
mod transactions;
mod wallets;
mod writes;

pub use response::{Body, StreamBroken};
pub use router::handle;
pub use server::serve;
pub use state::{Parts, Service};
