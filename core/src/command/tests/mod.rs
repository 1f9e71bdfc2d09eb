//! The command machine against a world that the test controls, effect by effect.

// Tests pick out the effects they are about.
#![allow(clippy::wildcard_enum_match_arm)]

mod books;
mod every_step;
mod faults;
mod gathering;
mod group_commit;
mod idempotency;
mod model;
mod prediction;
mod sequences;
mod sleepers;
mod takeover;
mod world;
