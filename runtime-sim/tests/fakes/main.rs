//! The fakes: what they promise beyond the contracts of their ports, and whether a service runs on them.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod broker;
mod leases;
mod power;
mod service;
mod world;
