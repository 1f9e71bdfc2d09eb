//! The wallet service: HTTP, command line, and the adapters that perform what the core asks for.
//!
//! | module | owns |
//! |---|---|
//! | [`broker`] | the embedded broker: partitions in memory, older messages from the outbox |
//! | [`cli`] | the command line: one file per verb |
//! | [`config`] | the configuration, parsed once into types |
//! | [`driver`] | the two loops that feed the core: the command path and the pipeline |
//! | [`database`] | outbox, progress, projections, and the queries on them |
//! | [`embedded`] | the embedded profile, put together |
//! | [`flight`] | the flight recorder: what every node is fed, in files |
//! | [`http`] | the HTTP interface: one file per resource |
//! | [`layout`] | what stands where in a data directory |
//! | [`leases`] | the embedded lease table, and leases in Redis |
//! | [`log`] | the event store as HTTP reads it |
//! | [`load`] | the load generator behind `wallex load` |
//! | `priority` | which threads step back when processors are short |
//! | [`production`] | the production profile, put together |
//! | [`profile`] | what runs, whichever profile it is |
//! | [`server_log`] | KurrentDB's log as the tools read it |
//! | [`telemetry`] | traces over OTLP |
//! | [`verify`] | the proof of the invariants behind `wallex verify` |

pub mod broker;
pub mod cli;
pub mod config;
pub mod database;
pub mod driver;
pub mod embedded;
pub mod flight;
pub mod http;
pub mod layout;
pub mod leases;
pub mod load;
pub mod log;
mod priority;
pub mod production;
pub mod profile;
pub mod server_log;
pub mod telemetry;
pub mod verify;
