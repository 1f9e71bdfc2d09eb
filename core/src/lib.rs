//! The wallet engine as a pure, deterministic state machine: no IO, no clock, no randomness, no async.
#![warn(missing_docs)]

mod awaiting;
pub mod command;
pub mod config;
pub mod currency;
pub mod effect;
pub mod event;
mod feeder;
pub mod id;
pub mod index;
mod leadership;
pub mod limits;
pub mod money;
pub mod mutant;
pub mod node;
#[cfg(test)]
mod node_twin;
#[cfg(test)]
mod pipeline_tests;
pub mod projector;
mod relay;
mod slab;
pub mod time;
pub mod wallet;
