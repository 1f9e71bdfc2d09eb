//! The server over real gRPC, with messages written by hand: what each call promises, and how it refuses.

// A test may stop at the first surprise, and takes whatever it did not expect for one.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod appends;
mod batches;
mod reads;
mod running;
mod sessions;
mod subscriptions;
mod world;
