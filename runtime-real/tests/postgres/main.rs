//! The Postgres database against a real server: the contracts, faults on the wire, races between instances, and what
//! readers see.
//!
//! The server is the one that `./scripts/services.sh up postgres` starts, or `WALLEX_TEST_POSTGRES` (a URL of a user who
//! may create databases). Each test has a database of its own, which goes with it.

mod contract;
mod faults;
#[allow(dead_code, unreachable_pub)]
#[path = "../services/own.rs"]
mod own;
mod pipeline;
mod proxy;
mod queries;
mod races;
mod server;
mod tls;
