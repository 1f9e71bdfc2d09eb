//! The wallet engine as a pure, deterministic state machine: no IO, no clock, no randomness, no async.
#![warn(missing_docs)]

pub mod command;
pub mod currency;
pub mod effect;
pub mod event;
pub mod id;
pub mod limits;
pub mod money;
pub mod projector;
pub mod time;
pub mod wallet;
