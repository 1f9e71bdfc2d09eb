//! The command machine against a world that the test controls, effect by effect.

mod faults;
mod group_commit;
mod idempotency;
mod model;
mod world;
