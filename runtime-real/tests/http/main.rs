//! The HTTP interface of a real embedded service, from outside: contract, sections 1 and 2, and the table of problems.

mod batches;
mod connections;
mod harness;
mod idempotency;
mod problems;
mod reads;
mod service;
mod writes;
