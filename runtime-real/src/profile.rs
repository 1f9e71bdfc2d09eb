//! The running service without HTTP, whatever it stands on.
//!
//! The one place that knows both profiles: HTTP and the command line ask [`Running`] for what they need. Owns the
//! core's settings that both have in common. Starting, stopping and their order are left to [`crate::embedded`] and
//! [`crate::production`].

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wallex_core::config::Roles;
use wallex_journal::JournalError;
use wallex_kurrentdb::client::ConnectError;

use crate::broker::kafka;
use crate::config::{Config, Profile};
use crate::database::{Database, DatabaseError, Queries};
use crate::driver::{Engine, Gauges, PipelineControl};
use crate::embedded::Embedded;
use crate::flight::FlightRecorder;
use crate::leases::redis::VersionError;
use crate::log::Log;
use crate::production::{Production, Servers};
use crate::telemetry::Telemetry;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made or entered.
    #[error("cannot use the data directory {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal is locked, damaged or unreadable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// KurrentDB cannot be used.
    #[error(transparent)]
    EventStore(#[from] ConnectError),
    /// Kafka cannot be used.
    #[error(transparent)]
    Broker(#[from] kafka::StartError),
    /// Redis cannot be used.
    #[error(transparent)]
    Leases(#[from] VersionError),
    /// A setting that only its client can judge.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it, without repeating it.
        reason: String,
    },
    /// The flight recorder cannot write.
    #[error("cannot record below {path}: {source}")]
    FlightRecorder {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl StartError {
    pub(crate) fn setting(setting: &'static str, error: &impl ToString) -> Self {
        Self::Setting { setting, reason: error.to_string() }
    }
}

/// What runs.
pub enum Running {
    /// One process, one directory.
    Embedded(Box<Embedded>),
    /// An instance over servers.
    Production(Box<Production>),
}

impl Running {
    /// Starts what the configuration's profile says, with nodes from `recorder`. `address` is that of the HTTP interface.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; nothing runs then.
    pub async fn start(config: &Config, address: SocketAddr, recorder: FlightRecorder) -> Result<Self, StartError> {
        match config.profile {
            Profile::Embedded => Ok(Self::Embedded(Box::new(Embedded::start(config, address, recorder).await?))),
            Profile::Production => Ok(Self::Production(Box::new(Production::start(config, recorder).await?))),
        }
    }

    /// The way to the command path.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Embedded(running) => running.engine(),
            Self::Production(running) => running.engine(),
        }
    }

    /// The way to the read side.
    #[must_use]
    pub fn queries(&self) -> Queries {
        match self {
            Self::Embedded(running) => running.queries(),
            Self::Production(running) => running.queries(),
        }
    }

    /// The database, for its own upkeep.
    #[must_use]
    pub fn database(&self) -> Database {
        match self {
            Self::Embedded(running) => running.database(),
            Self::Production(running) => running.database(),
        }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Log {
        match self {
            Self::Embedded(running) => running.log(),
            Self::Production(running) => running.log(),
        }
    }

    /// What the command path shows.
    #[must_use]
    pub fn gauges(&self) -> Arc<Gauges> {
        match self {
            Self::Embedded(running) => running.gauges(),
            Self::Production(running) => running.gauges(),
        }
    }

    /// Looks at the pipeline and orders.
    #[must_use]
    pub fn pipeline(&self) -> PipelineControl {
        match self {
            Self::Embedded(running) => running.pipeline(),
            Self::Production(running) => running.pipeline(),
        }
    }

    /// The traces.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        match self {
            Self::Embedded(running) => running.telemetry(),
            Self::Production(running) => running.telemetry(),
        }
    }

    /// The servers, in production.
    #[must_use]
    pub fn servers(&self) -> Option<Servers> {
        match self {
            Self::Embedded(_) => None,
            Self::Production(running) => Some(running.servers()),
        }
    }

    /// What it stands on, for the line that says that the service is ready.
    #[must_use]
    pub fn describe(&self, config: &Config) -> String {
        match self {
            Self::Embedded(running) => format!(
                "profile embedded, data in {}, {} events recovered",
                config.data_dir.display(),
                running.recovery().position
            ),
            Self::Production(_) => format!(
                "profile production, {}, {}, kafka {}, {}, connected",
                config.kurrentdb.url.0,
                config.postgres.url.0,
                config.kafka.brokers.as_str(),
                config.redis.url.0
            ),
        }
    }

    /// Finishes what is begun and stops everything. Nobody may submit any more.
    pub async fn stop(self) {
        match self {
            Self::Embedded(running) => running.stop().await,
            Self::Production(running) => running.stop().await,
        }
    }
}

/// The core's settings that do not depend on the profile. Embedded, one process writes, and records are decided by the
/// append itself: that is the core's default.
pub(crate) fn core_config(config: &Config, roles: Roles) -> wallex_core::config::Config {
    wallex_core::config::Config {
        commands_pending_max: config.limits.pending_commands,
        wallets_cached_max: config.limits.cached_wallets,
        idempotency_ttl: Duration::from_secs(u64::from(config.idempotency.ttl_hours) * 3_600),
        hash_seed: random_seed(),
        roles,
        ..wallex_core::config::Config::default()
    }
}

/// Clients choose wallet ids, so the seed of the hash tables is theirs to guess.
pub(crate) fn random_seed() -> u64 {
    let mut seed = [0; 8];
    // Without randomness from the system the seed is fixed: slower under an attack on the tables, and no less right.
    let _fixed = getrandom::fill(&mut seed);
    u64::from_le_bytes(seed)
}
