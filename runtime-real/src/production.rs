//! The production profile, put together: KurrentDB, Postgres, Kafka, Redis, and one node that drives them.
//!
//! Owns the order of things. At the start: the servers that nothing works without (event store, database), then the rest,
//! then the node. At the end: the node first, so that every command that was begun has its answer; then the consumers
//! leave their groups, so that other instances take over at once. Any number of instances may run; each takes any
//! request.

use std::sync::Arc;

use wallex_core::config::{Gathering, IdempotencyMode, Roles};
use wallex_core::effect::{Effect, Input};
use wallex_core::projector::Consumer;
use wallex_kurrentdb::client::ConnectionString;
use wallex_kurrentdb::store::{EventStore, Options};

use crate::broker::kafka::{KafkaBroker, KafkaSettings};
use crate::config::Config;
use crate::database::{Database, PostgresDatabase, PostgresOptions, Queries};
use crate::driver::{Engine, Gauges, Hints, Instance, Perform, PipelineControl};
use crate::flight::FlightRecorder;
use crate::leases::redis::RedisLeases;
use crate::log::Log;
use crate::profile::{StartError, core_config};
use crate::telemetry::Telemetry;

/// The running parts of a production instance, without HTTP.
pub struct Production {
    instance: Instance,
    servers: Servers,
    recorder: FlightRecorder,
    gauges: Arc<Gauges>,
    telemetry: Telemetry,
}

/// The servers, as this instance reaches them; cheap to clone.
#[derive(Clone)]
pub struct Servers {
    /// KurrentDB.
    pub store: EventStore,
    /// Postgres.
    pub database: PostgresDatabase,
    /// Kafka.
    pub broker: KafkaBroker,
    /// Redis.
    pub leases: RedisLeases,
}

impl Production {
    /// Connects to the servers and starts the node. Must be called inside the runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`StartError`] says which server is in the way and why; nothing runs then.
    pub async fn start(config: &Config, mut recorder: FlightRecorder) -> Result<Self, StartError> {
        let telemetry = Telemetry::start(&config.otlp).map_err(|error| StartError::setting("otlp.endpoint", &error))?;
        let url = config.kurrentdb.url.0.reveal();
        let settings = ConnectionString::parse(url).map_err(|error| StartError::setting("kurrentdb.url", &error))?;
        let options = PostgresOptions::parse(config.postgres.url.0.reveal())
            .map_err(|error| StartError::setting("postgres.url", &error))?
            .connections_max(config.postgres.connections_max)
            .application_name("wallex");
        let leases = RedisLeases::new(config.redis.url.0.reveal(), &config.redis.key_prefix)
            .map_err(|error| StartError::setting("redis.url", &error))?;
        let (store, database, version) = tokio::join!(
            EventStore::connect(&settings, Options::default()),
            PostgresDatabase::connect(&options),
            leases.check_version(),
        );
        let (store, database) = (store?, database?);
        version?;
        let consumers: &[Consumer] =
            if config.projectors.auto_start { &[Consumer::ReadModel, Consumer::Ledger] } else { &[] };
        let (broker, inputs) = KafkaBroker::start(kafka_settings(config), consumers).await?;
        let servers = Servers { store, database, broker, leases };
        let roles = Roles { feeder: true, relay: true, projectors: config.projectors.auto_start };
        let core = wallex_core::config::Config {
            sole_writer: false,
            idempotency: IdempotencyMode::Separate,
            leadership: true,
            gathering: Gathering::BEFORE_SERVERS,
            ..core_config(config, roles)
        };
        let gauges = Arc::new(Gauges::default());
        let hints = Hints { appended: servers.store.follow(), broker: inputs };
        let node = recorder.node(core, "instance")?;
        let instance = Instance::start(node, servers.clone(), hints, Arc::clone(&gauges), telemetry.clone())
            .map_err(StartError::Thread)?;
        Ok(Self { instance, servers, recorder, gauges, telemetry })
    }

    /// The way to the command path.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.instance.engine()
    }

    /// The way to the read side.
    #[must_use]
    pub fn queries(&self) -> Queries {
        self.servers.database.queries()
    }

    /// The database, for its own upkeep.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::Postgres(self.servers.database.clone())
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Log {
        Log::Server(self.servers.store.clone())
    }

    /// What the command path shows.
    #[must_use]
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// Looks at the pipeline and orders.
    #[must_use]
    pub fn pipeline(&self) -> PipelineControl {
        self.instance.control()
    }

    /// The traces.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// The servers, for health.
    #[must_use]
    pub fn servers(&self) -> Servers {
        self.servers.clone()
    }

    /// Finishes what is begun and stops everything. Nobody may submit any more.
    pub async fn stop(self) {
        let Self { instance, servers, recorder, telemetry, .. } = self;
        let broker = servers.broker.clone();
        let ended = tokio::task::spawn_blocking(move || {
            instance.stop();
            broker.stop();
            telemetry.stop();
            recorder.finish();
        });
        if ended.await.is_err() {
            tracing::error!("stopping has panicked");
        }
        servers.database.close().await;
    }
}

fn kafka_settings(config: &Config) -> KafkaSettings {
    KafkaSettings {
        prefix: config.kafka.topic_prefix.clone(),
        replication: u16::try_from(config.kafka.replication).unwrap_or(1),
        ..KafkaSettings::new(config.kafka.brokers.as_str())
    }
}

impl Perform for Servers {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        match &effect {
            Effect::Append(..)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::ReadStream { .. }
            | Effect::ReadLog { .. } => self.store.perform(effect).await,
            Effect::Lease { .. } | Effect::Unlease(_) | Effect::Lead { .. } | Effect::Resign => {
                self.leases.perform(effect).await
            }
            Effect::Publish(..) | Effect::PublishDead(..) | Effect::Fetch { .. } => self.broker.perform(effect).await,
            Effect::Reserve(..)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::LoadFeederCheckpoint(_)
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::LoadVersions { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => self.database.perform(effect).await,
            // The driver answers requests itself.
            Effect::Reply { .. } => None,
        }
    }
}
