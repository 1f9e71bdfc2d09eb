//! The event store port's contract, on the embedded journal and on KurrentDB's protocol.

mod embedded;
mod followed;
mod remote;
