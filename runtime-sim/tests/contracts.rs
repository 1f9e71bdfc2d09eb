//! The contracts of the ports, on the fakes: what the simulator's servers promise is what the real ones promise.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod contracts {
    mod broker;
    mod database;
    mod event_store;
    mod fake;
    mod leases;
}
