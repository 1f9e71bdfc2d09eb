//! The wallet engine as a pure, deterministic state machine: no IO, no clock, no randomness, no async.
//!
//! A runtime owns a [`node::Node`]. It feeds inputs ([`effect::Input`], always with the time), drains effects
//! ([`effect::Effect`]), performs them, and feeds their completions. The same inputs give the same effects, in every
//! process and on every machine (INV-13), so production and simulation run the same code.
//!
//! | module | owns |
//! |---|---|
//! | [`money`], [`currency`], [`id`], [`time`] | the words of the domain |
//! | [`wallet`] | `decide` and `apply`, a file for each command |
//! | [`event`] | what is stored: the codec, its versions, upcasting |
//! | [`effect`] | what crosses the border: inputs, effects, completions |
//! | [`command`] | the command machine: keys, leases, cached wallets, group commit, conflicts, takeovers |
//! | `feeder`, `relay`, [`projector`] | from the log to the outbox, from there to the topic, from there to the tables |
//! | `leadership` | which instance runs feeder and relay |
//! | [`node`] | all of them behind one handle |
//! | [`config`], [`limits`] | what can be set, and what is bounded |
//! | [`index`], `awaiting` | maps with a seeded hash; the one effect that a machine waits for |
//! | [`mutant`] | deliberate bugs, compiled in only to test the simulator |
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
