//! The HTTP interface of a real embedded service, from outside: contract, sections 1 and 2, and the table of problems.

// A test that cannot go on is a test that fails.
#![allow(clippy::unwrap_used)]

mod batches;
#[allow(unreachable_pub)]
#[path = "../services/collector.rs"]
mod collector;
mod connections;
mod dashboard;
mod flight;
mod harness;
mod idempotency;
mod malformed;
mod problems;
mod reads;
#[path = "../services/replayed.rs"]
mod replayed;
mod service;
mod tracing;
mod unread;
mod writes;
