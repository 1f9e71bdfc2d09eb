//! A server of KurrentDB's gRPC protocol over the embedded log of opaque streams.
//!
//! So that KurrentDB's clients and tools have a peer where the KurrentDB server cannot be installed: one node, no
//! users, no encryption, durable. An append is answered after its sync (INV-04); all appends that wait share one.
//! Positions are those of the log, dense and unique for each event, commit and prepare position alike.
//!
//! Not there, and answered `UNIMPLEMENTED`: persistent subscriptions, projections, users, operations. Links are not
//! resolved, `$maxAge` and `$maxCount` are kept and not obeyed, credentials are not looked at. The version in
//! `ServerFeatures` is ours: it says which protocol is spoken, not which KurrentDB this is.
//!
//! | module | owns |
//! |---|---|
//! | `running` | the listener, connections, the end |
//! | `writer` | the one thread that appends, and the queue before it |
//! | `route` | which path is which call |
//! | `append`, `batch`, `session` | writes of versions 1 and 2 |
//! | `read`, `subscribe`, `paging`, `filter`, `pattern` | reads |
//! | `cluster` | what the server is |
//! | `answers`, `events` | the log's answers and events as messages |

mod answers;
mod append;
mod batch;
mod cluster;
mod events;
mod filter;
mod paging;
mod pattern;
mod read;
mod route;
mod running;
mod session;
mod subscribe;
mod writer;

pub use cluster::SERVER_VERSION;
pub use running::{Options, Server, ServerError};
