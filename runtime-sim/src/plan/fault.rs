//! What can go wrong.
//!
//! Plain data, saved in plans that are replayed and pinned. Which faults a seed has, and when, is decided in `faults`;
//! what each does is carried out in `world/chaos.rs`.

use serde::{Deserialize, Serialize};
use wallex_core::projector::Consumer;

use crate::lane::Lane;

/// A fault at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// What happens then.
    pub fault: Fault,
}

/// A server that instances depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// The event store.
    EventStore,
    /// The database.
    Database,
    /// The broker.
    Broker,
    /// The lease store.
    Leases,
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EventStore, Self::Database, Self::Broker, Self::Leases];

    /// Its node.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::EventStore => Lane::EventStore,
            Self::Database => Lane::Database,
            Self::Broker => Lane::Broker,
            Self::Leases => Lane::Leases,
        }
    }
}

/// Which way a partition cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Nothing passes.
    Both,
    /// Nothing from the first to the second; the other way works.
    OneWay,
}

/// Something that goes wrong. Those with a duration come in spells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An instance dies and comes back with nothing (embedded: with what is on its disk).
    Crash {
        /// Which.
        instance: u8,
        /// It dies after so many more effects, in the midst of a drain. 0: at once.
        after_effects: u16,
        /// How long it stays away.
        down_ms: u64,
    },
    /// An embedded instance dies in the middle of a write to its disk, so many operations from now.
    PowerCut {
        /// How many more operations the disk carries out.
        after_operations: u16,
        /// How long it stays away.
        down_ms: u64,
    },
    /// An instance is asked to finish, and started again.
    GracefulRestart {
        /// Which.
        instance: u8,
        /// How long it has to finish.
        drain_ms: u64,
    },
    /// An instance stands still, as in a long collection of garbage or a live migration.
    Pause {
        /// Which.
        instance: u8,
        /// How long.
        for_ms: u64,
    },
    /// A server dies. It keeps what it had made durable, and loses its connections.
    ServerDown {
        /// Which.
        server: Server,
        /// How long.
        for_ms: u64,
    },
    /// Two nodes cannot reach each other.
    Partition {
        /// One.
        from: Lane,
        /// The other.
        to: Lane,
        /// Which way.
        direction: Direction,
        /// How long.
        for_ms: u64,
    },
    /// A node can reach nobody.
    Isolate {
        /// Which.
        node: Lane,
        /// How long.
        for_ms: u64,
    },
    /// The network loses, repeats and delays.
    BadNetwork {
        /// Only what this node sends; nothing for every node.
        #[serde(default)]
        from: Option<Lane>,
        /// Only what goes to this node; nothing for every node.
        #[serde(default)]
        to: Option<Lane>,
        /// Lost, in a million.
        loss_ppm: u32,
        /// Delivered twice, in a million.
        duplicates_ppm: u32,
        /// How much longer messages may take, in microseconds.
        extra_delay_us: u64,
        /// How long.
        for_ms: u64,
    },
    /// Messages from and to a node take much longer; for a server also its work, for an instance also its turns.
    Slow {
        /// Which.
        node: Lane,
        /// How much longer each takes at most, in microseconds.
        extra_us: u64,
        /// How long.
        for_ms: u64,
    },
    /// A server carries out what it is asked, and its answers are lost.
    LostAnswers {
        /// Which.
        server: Server,
        /// How many, in a hundred.
        percent: u8,
        /// How long.
        for_ms: u64,
    },
    /// The clock of an instance jumps.
    ClockJump {
        /// Which.
        instance: u8,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// The lease store comes back empty.
    LeasesLost,
    /// The broker moves the partitions of a consumer about.
    RebalanceStorm {
        /// Whose.
        consumer: Consumer,
        /// How often.
        times: u8,
        /// Milliseconds between two.
        gap_ms: u64,
    },
    /// The database refuses the rows of a wallet.
    PoisonRows {
        /// Of which consumer.
        consumer: Consumer,
        /// The wallet's number.
        wallet: u16,
        /// How long.
        for_ms: u64,
    },
    /// The broker refuses a message of a wallet, or keeps bytes that nobody can read.
    PoisonMessages {
        /// The wallet's number.
        wallet: u16,
        /// Whether it is taken, and cannot be read afterwards.
        garbled: bool,
        /// How long.
        for_ms: u64,
    },
    /// A partition of the topic has no leader.
    Leaderless {
        /// Which.
        partition: u16,
        /// How long.
        for_ms: u64,
    },
    /// The disk of an embedded instance is full.
    DiskFull {
        /// How long.
        for_ms: u64,
    },
    /// Syncs of the disk of an embedded instance fail.
    SyncsFail {
        /// How many.
        count: u8,
    },
    /// The journal's writes take much longer.
    SlowDisk {
        /// How much longer each takes at most, in microseconds.
        extra_us: u64,
        /// How long.
        for_ms: u64,
    },
    /// An embedded instance dies, and while it is away a bit of what its journal wrote long ago turns over; in the end
    /// an operator restores it.
    Rot {
        /// Where in the older part of the journal, in a million.
        at_ppm: u32,
        /// Which bit of the byte there.
        bit: u8,
        /// How long until it is restored.
        for_ms: u64,
    },
}

impl Fault {
    /// Its kind, as a word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::PowerCut { .. } => "power-cut",
            Self::GracefulRestart { .. } => "graceful-restart",
            Self::Pause { .. } => "pause",
            Self::ServerDown { .. } => "server-down",
            Self::Partition { .. } => "partition",
            Self::Isolate { .. } => "isolate",
            Self::BadNetwork { .. } => "bad-network",
            Self::Slow { .. } => "slow",
            Self::LostAnswers { .. } => "lost-answers",
            Self::ClockJump { .. } => "clock-jump",
            Self::LeasesLost => "leases-lost",
            Self::RebalanceStorm { .. } => "rebalance-storm",
            Self::PoisonRows { .. } => "poison-rows",
            Self::PoisonMessages { .. } => "poison-messages",
            Self::Leaderless { .. } => "leaderless",
            Self::DiskFull { .. } => "disk-full",
            Self::SyncsFail { .. } => "syncs-fail",
            Self::SlowDisk { .. } => "slow-disk",
            Self::Rot { .. } => "rot",
        }
    }

    /// How long it lasts.
    #[must_use]
    pub fn lasts_ms(&self) -> u64 {
        match self {
            Self::Crash { down_ms, .. } | Self::PowerCut { down_ms, .. } => *down_ms,
            Self::GracefulRestart { drain_ms, .. } => *drain_ms,
            Self::Pause { for_ms, .. }
            | Self::ServerDown { for_ms, .. }
            | Self::Partition { for_ms, .. }
            | Self::Isolate { for_ms, .. }
            | Self::BadNetwork { for_ms, .. }
            | Self::Slow { for_ms, .. }
            | Self::LostAnswers { for_ms, .. }
            | Self::PoisonRows { for_ms, .. }
            | Self::PoisonMessages { for_ms, .. }
            | Self::Leaderless { for_ms, .. }
            | Self::DiskFull { for_ms }
            | Self::SlowDisk { for_ms, .. }
            | Self::Rot { for_ms, .. } => *for_ms,
            Self::RebalanceStorm { times, gap_ms, .. } => u64::from(*times) * gap_ms,
            Self::ClockJump { .. } | Self::LeasesLost | Self::SyncsFail { .. } => 0,
        }
    }
}
