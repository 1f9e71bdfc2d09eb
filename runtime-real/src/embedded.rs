//! The embedded profile, put together: recovery, the threads, and their end.
//!
//! Owns the order of things. At the start: lock and recover the journal, open the database, then the command path, then
//! the pipeline, then upkeep. At the end: the command path first, so that everything acknowledged is in the log; what the
//! pipeline has not done yet is done after the next start.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use wallex_core::config::Roles;
use wallex_core::id::Position;
use wallex_journal::{Journal, Maintenance, Options, OsStorage, Reader, Recovery};

use crate::broker::Broker;
use crate::config::Config;
use crate::database::{Database, Queries, SqliteDatabase};
use crate::driver::{CommandThread, Engine, Gauges, Pipeline, PipelineControl, now};
use crate::flight::FlightRecorder;
use crate::layout;
use crate::leases::LeaseTable;
use crate::log::Log;
use crate::priority;
use crate::profile::{StartError, core_config, random_seed};
use crate::telemetry::Telemetry;

/// How often the upkeep thread looks for work.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(100);
/// How often it tries what did not work.
const UPKEEP_RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// The running parts of an embedded service, without HTTP.
pub struct Embedded {
    commands: CommandThread,
    pipeline: Pipeline,
    upkeep: JoinHandle<()>,
    recorder: FlightRecorder,
    stop: Arc<AtomicBool>,
    database: Database,
    log: Reader<OsStorage>,
    gauges: Arc<Gauges>,
    appended: watch::Receiver<Position>,
    recovery: Recovery,
    telemetry: Telemetry,
}

impl Embedded {
    /// Recovers the data directory and starts everything, with nodes from `recorder`. `address` is left in the lock file,
    /// for whoever finds the directory locked.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; nothing runs then.
    pub async fn start(config: &Config, address: SocketAddr, mut recorder: FlightRecorder) -> Result<Self, StartError> {
        let telemetry = Telemetry::start(&config.otlp).map_err(|error| StartError::setting("otlp.endpoint", &error))?;
        let journal_dir = layout::journal(&config.data_dir);
        let storage = OsStorage::create(&journal_dir)
            .map_err(|source| StartError::Directory { path: config.data_dir.clone(), source })?;
        let options = Options { segment_bytes: config.journal.segment_bytes, hash_seed: random_seed() };
        let (journal, recovery) = Journal::open(storage, options)?;
        report(&recovery);
        journal.describe(&format!("http://{address}"))?;
        let database = SqliteDatabase::open(layout::database(&config.data_dir)).await?;
        let broker = Broker::start(database.clone()).await?;
        let database = Database::from(database);
        let (log, maintenance) = (journal.reader(), journal.maintenance());
        let (appended_sender, appended) = watch::channel(journal.position());
        let gauges = Arc::new(Gauges::default());
        let roles = Roles { feeder: false, relay: false, projectors: false };
        let node = recorder.node(core_config(config, roles), "commands")?;
        let (leases, shown) = (LeaseTable::new(), Arc::clone(&gauges));
        let commands = CommandThread::start(journal, node, leases, shown, appended_sender, telemetry.clone())
            .map_err(StartError::Thread)?;
        let roles = Roles { feeder: true, relay: true, projectors: config.projectors.auto_start };
        let node = recorder.node(core_config(config, roles), "pipeline")?;
        let (projectors, growing, traced) = (roles.projectors, appended.clone(), telemetry.clone());
        let pipeline = Pipeline::start(node, projectors, log.clone(), database.clone(), broker, growing, traced)
            .map_err(StartError::Thread)?;
        let stop = Arc::new(AtomicBool::new(false));
        let upkeep = start_upkeep(maintenance, config.journal.snapshot_every_events, Arc::clone(&stop))
            .map_err(StartError::Thread)?;
        Ok(Self { commands, pipeline, upkeep, recorder, stop, database, log, gauges, appended, recovery, telemetry })
    }

    /// The way to the command path.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.commands.engine()
    }

    /// The way to the read side.
    #[must_use]
    pub fn queries(&self) -> Queries {
        self.database.queries()
    }

    /// The database, for its own upkeep.
    #[must_use]
    pub fn database(&self) -> Database {
        self.database.clone()
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Log {
        Log::Journal(self.log.clone())
    }

    /// What the command path shows.
    #[must_use]
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// Looks at the pipeline and orders.
    #[must_use]
    pub fn pipeline(&self) -> PipelineControl {
        self.pipeline.control()
    }

    /// The end of the log, as it grows.
    #[must_use]
    pub fn appended(&self) -> watch::Receiver<Position> {
        self.appended.clone()
    }

    /// The traces.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// What was found at the start.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Finishes what is begun and stops everything. Nobody may submit any more.
    pub async fn stop(self) {
        let Self { commands, pipeline, upkeep, recorder, stop, database, telemetry, .. } = self;
        stop.store(true, Ordering::Release);
        let ended = tokio::task::spawn_blocking(move || {
            let journal = commands.drain();
            pipeline.stop();
            telemetry.stop();
            recorder.finish();
            if upkeep.join().is_err() {
                tracing::error!("the upkeep thread has panicked");
            }
            match journal.map(|journal| journal.close(now())) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::error!(%error, "the journal could not be closed; it recovers at the next start")
                }
                None => tracing::error!("the command thread has panicked; the journal recovers at the next start"),
            }
        });
        if ended.await.is_err() {
            tracing::error!("stopping has panicked");
        }
        database.close().await;
    }
}

/// What the start found and an operator should know.
fn report(recovery: &Recovery) {
    if let Some(torn) = &recovery.torn {
        let (segment, offset, bytes) = (&torn.segment, torn.offset, torn.bytes);
        tracing::warn!(%segment, offset, bytes, "cut the end of a write that was never acknowledged");
    }
    for damage in &recovery.damaged_snapshots {
        tracing::warn!(%damage, "a snapshot cannot be used; the log is read instead");
    }
}

/// Prepares segments, builds indexes and makes snapshots, away from the writer.
fn start_upkeep(
    maintenance: Maintenance<OsStorage>,
    snapshot_every: u64,
    stop: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    let work = move || {
        priority::step_back();
        let mut troubled = false;
        while !stop.load(Ordering::Acquire) {
            let snapshot = if maintenance.events_since_snapshot() >= snapshot_every {
                maintenance.write_snapshot(now()).map(drop)
            } else {
                Ok(())
            };
            // A full disk keeps one of them from working and not the others.
            let steps = [maintenance.prepare_next_segment().map(drop), maintenance.build_indexes().map(drop), snapshot];
            let error = steps.into_iter().find_map(Result::err);
            // Said when it begins and when it ends, not ten times a second.
            match (&error, troubled) {
                (Some(error), false) => {
                    tracing::warn!(%error, "upkeep of the journal is not possible; it is tried again");
                }
                (None, true) => tracing::info!("upkeep of the journal is possible again"),
                (Some(_), true) | (None, false) => {}
            }
            troubled = error.is_some();
            std::thread::park_timeout(if troubled { UPKEEP_RETRY_INTERVAL } else { UPKEEP_INTERVAL });
        }
    };
    std::thread::Builder::new().name("wallex-upkeep".to_owned()).spawn(work)
}
