//! The command machine: idempotency → lease → load → decide → append → reply.
//!
//! Its heart is **group commit per wallet**. A wallet takes part in at most one append in flight; commands that arrive
//! meanwhile wait, are then decided together in arrival order, and go into the next append. One append carries many
//! wallets and many commands, and both legs of a transfer are always in the same one. So a hot wallet costs one append
//! per round trip, not one per command.
//!
//! Keeps INV-01 and INV-02 (by deciding), INV-04 (no reply before its append is done: replies are made in
//! [`append`](self) when it settles, and nowhere else) and INV-05 (deterministic event ids, one record per key).
//!
//! | file | owns |
//! |---|---|
//! | `request` | what comes in and goes out |
//! | `machine` | the state, entry points |
//! | `idempotency` | keys: reserve, replay, complete |
//! | `takeover` | what a dead attempt left behind |
//! | `queue` | arrival order over all wallets of a command |
//! | `slot` | what is known of a wallet |
//! | `reading` | leases and loads |
//! | `decide` | the decision |
//! | `append` | group commit and its outcomes |
//! | `timers` | effects, retries and commands in time |

mod append;
mod decide;
mod idempotency;
mod machine;
mod queue;
mod reading;
mod request;
mod slot;
mod takeover;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use machine::Completed;
pub use machine::{CommandMachine, Statistics, TimerReason};
pub use request::{Answer, FinalAnswer, Fingerprint, Idempotency, KeyHash, Request, Success, Unavailable, Work};
pub(crate) use timers::backoff;
