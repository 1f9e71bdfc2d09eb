//! Redis leases against a real Redis: `./scripts/services.sh up` starts one.

// A test may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod contract;
mod outages;
#[path = "../services/own.rs"]
mod own;
#[path = "../services/proxy.rs"]
mod proxy;
mod versions;
