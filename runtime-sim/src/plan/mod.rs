//! A plan: everything that a run does, as data, made from a seed before the run begins.
//!
//! It can be printed, saved as JSON, edited, replayed, shrunk and pinned as a test. What a plan does not hold (delays of
//! single messages, the order of tasks) follows from its seed. Times are milliseconds of virtual time since the start.

mod fault;
mod faults;
mod generate;
mod workload;

pub use fault::{Direction, Fault, Planned, Server};
pub use faults::FaultKind;
pub use generate::generate;
pub use workload::{Act, Names, Op, Step};

use serde::{Deserialize, Serialize};

use crate::lane::Lane;

/// A run, before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where all chance comes from that is not decided here.
    pub seed: u64,
    /// How rough it is.
    pub preset: Preset,
    /// Which processes there are.
    pub topology: Topology,
    /// What this seed has and has not.
    pub options: Options,
    /// What each client does, in order.
    pub clients: Vec<Vec<Step>>,
    /// What goes wrong, by time.
    pub faults: Vec<Planned>,
}

/// How rough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Nothing goes wrong, but messages take their time.
    Calm,
    /// A dozen faults.
    Default,
    /// Dozens of faults that overlap, on a network that never works well.
    Storm,
}

/// Which processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Several instances, an event store, a database, a broker and a lease store.
    Production,
    /// One process with a journal on a disk that can fail, and everything else inside.
    Embedded,
}

/// What a seed has and has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Service processes; one when embedded.
    pub instances: u8,
    /// Wallets that the clients use.
    pub wallets: u16,
    /// How long a message travels, in microseconds: least and most.
    pub delay_us: (u64, u64),
    /// Messages lost at any time, in a million.
    pub loss_ppm: u32,
    /// Messages delivered twice at any time, in a million.
    pub duplicates_ppm: u32,
    /// How long a server or disk takes, in microseconds: least and most.
    pub service_us: (u64, u64),
    /// The service's limit for a request ([`wallex_core::config::Config::request_timeout`]).
    pub request_timeout_ms: u64,
    /// The core's limit for an effect ([`wallex_core::config::Config::effect_timeout`]).
    pub effect_timeout_ms: u64,
    /// After how long an adapter gives up waiting for a server, with an unknown outcome.
    pub call_timeout_ms: u64,
    /// Size of the embedded journal's segments.
    pub segment_bytes: u64,
    /// The kinds of what goes wrong that this seed has.
    #[serde(default)]
    pub kinds: Vec<FaultKind>,
}

impl Plan {
    /// When the last fault is over.
    #[must_use]
    pub fn healed_at_ms(&self) -> u64 {
        self.faults.iter().map(|planned| planned.at_ms + planned.fault.lasts_ms()).max().unwrap_or(0)
    }

    /// Commands that the clients submit, retries not counted.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.clients.iter().map(Vec::len).sum()
    }

    /// The lanes of the nodes, in the order in which they are drawn. Clients that have nothing to do are not drawn.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        let busy = |number: &usize| !self.clients[*number].is_empty();
        let clients = (0..self.clients.len()).filter(busy).map(|number| Lane::Client(number as u8));
        let instances = (0..self.options.instances).map(Lane::Instance);
        clients.chain(instances).chain([Lane::EventStore, Lane::Database, Lane::Broker, Lane::Leases]).collect()
    }
}
