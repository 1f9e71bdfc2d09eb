//! What each port promises, as statements that every implementation passes: embedded, production and simulated.
//!
//! A statement is an async function over a [`Port`]; it asserts, and its name is the promise. Each module has one port's
//! statements and a macro that makes a test of each of them. A fake that is kinder than its module is a bug.
//!
//! | module | port |
//! |---|---|
//! | [`broker`] | the topic of events and its consumers |
//! | [`event_store`] | appends, loads, reads of streams and of the log |
//! | [`database`] | the pipeline's database: outbox, checkpoints, projections, what is set aside |
//! | [`idempotency`] | idempotency keys, where they are kept apart from the events |
//! | [`leases`] | leases of wallets, and the lead of the pipeline |
//!
//! [`ledger`] and [`events`] make what the ports are told.

pub mod broker;
pub mod database;
pub mod event_store;
pub mod events;
pub mod idempotency;
pub mod leases;
pub mod ledger;
pub mod port;

pub use port::Port;

/// Makes a test of each named statement of a module. The contracts' own macros are written with it.
#[macro_export]
macro_rules! statement_tests {
    ($run:path, $port:expr, $module:ident, [$($name:ident,)*]) => {
        $(
            #[test]
            fn $name() {
                $run(async { $crate::$module::$name($port).await });
            }
        )*
    };
}
