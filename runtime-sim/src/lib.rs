//! The deterministic simulator: the very [`wallex_core::node::Node`] of the service, in a world where time, order and
//! randomness come from one seed (INV-13).
//!
//! A plan is made from the seed, the world runs it on madsim, checkers watch at every step and judge at the end, and the
//! hash of the trace, contents included, is the same every time.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`] | what a run does, as data made from its seed |
//! | [`chance`] | randomness, by concern |
//! | [`lane`] | the names of the nodes |
//! | [`world`] | one run: clients, instances, servers, network and faults |
//! | [`fakes`] | event store, database, broker, leases, disk |
//! | [`marks`], [`expected`] | situations worth reaching, and which must be |
//! | [`history`], [`observe`] | what clients saw, and what the world tells the checkers |
//! | [`check`] | one checker for each invariant |
//! | [`shrink`] | from a failing plan to a small one |
//! | [`page`] | a run as a page to look at |
//! | [`kept`] | what is kept of a failure: its plan and its trace |
//! | `mutants` | deliberate bugs, and who finds them (with the feature of that name) |
//! | [`recording`] | replays what the flight recorder of the service wrote |
//! | [`trace`] | what happened, hashed as it happens |

#[cfg(not(madsim))]
compile_error!(
    "wallex-sim needs `--cfg madsim`. The repository's .cargo/config.toml sets it; an exported RUSTFLAGS replaces that: \
     unset it, or add `--cfg madsim` to it."
);

pub mod chance;
pub mod check;
pub mod cli;
pub mod expected;
pub mod fakes;
pub mod history;
pub mod kept;
pub mod lane;
pub mod marks;
#[cfg(feature = "mutants")]
pub mod mutants;
mod network;
pub mod observe;
pub mod page;
pub mod plan;
pub mod recording;
pub mod report;
pub mod shrink;
pub mod sweep;
pub mod trace;
pub mod world;
