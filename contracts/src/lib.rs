//! What each port promises, as statements that every implementation passes: embedded, production and simulated.
//!
//! A statement is an async function over a [`Port`]; it asserts, and its name is the promise. Each module has one port's
//! statements and a macro that makes a test of each of them. A fake that is kinder than its module is a bug.
//!
//! | module | port |
//! |---|---|
//! | [`event_store`] | appends, loads, reads of streams and of the log |
//! | [`database`] | the pipeline's database: outbox, checkpoints, projections, what is set aside |
//! | [`idempotency`] | idempotency keys, where they are kept apart from the events |

pub mod database;
pub mod event_store;
pub mod idempotency;
pub mod ledger;
pub mod port;

pub use port::Port;
