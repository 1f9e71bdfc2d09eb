//! The pool: waiting for the server, its version, the migrations, and the first checkpoints.
//!
//! Runs at the start, before anything else uses the database; instances that start together migrate one after the
//! other. From then on every checkpoint exists, so moving one is always an update (INV-06). Addresses and bounds are in
//! `options`.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tokio::time::Instant;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::error::{DatabaseError, postgres_error};
use super::options::PostgresOptions;
use crate::database::FEEDER;

/// The oldest server that the statements work on.
const VERSION_NEEDED: u32 = 13;
/// Between two attempts to reach a server that is away.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// A connection that was idle for longer is tried before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// Connects and migrates; gives the pool.
pub(super) async fn open(options: &PostgresOptions) -> Result<PgPool, DatabaseError> {
    let mut connection = first_connection(options).await?;
    check_version(&mut connection, options).await?;
    // Migrations may take longer than a statement of the service may. The migrator holds an advisory lock meanwhile, and
    // another instance that starts waits for it.
    sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
    sqlx::query("SET lock_timeout = 0").execute(&mut connection).await?;
    MIGRATIONS
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|source| DatabaseError::Migrate { path: PathBuf::from(options.server()), source })?;
    seed_checkpoints(&mut connection).await?;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the connection of the migrations was not closed in order");
    }
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max)
        .min_connections(1)
        .acquire_timeout(options.acquire_wait)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options.connect_options())
        .await
        .map_err(|source| DatabaseError::Connect { server: options.server(), source })?;
    Ok(pool)
}

/// The first connection, as soon as the server takes one.
async fn first_connection(options: &PostgresOptions) -> Result<PgConnection, DatabaseError> {
    let deadline = Instant::now() + options.startup_wait;
    loop {
        let attempt = tokio::time::timeout_at(deadline, options.connect_options().connect()).await;
        let error = match attempt {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        if !may_pass(&error) || Instant::now() + RECONNECT_PAUSE >= deadline {
            return Err(DatabaseError::Connect { server: options.server(), source: error });
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Whether waiting can help: a server that is away, starting or full comes back; a wrong password does not.
fn may_pass(error: &sqlx::Error) -> bool {
    match postgres_error(error) {
        Some(error) => error.code().starts_with("57") || error.code().starts_with("53"),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)),
    }
}

async fn check_version(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), DatabaseError> {
    let (number, found): (String, String) =
        sqlx::query_as("SELECT current_setting('server_version_num'), current_setting('server_version')")
            .fetch_one(connection)
            .await?;
    let major = number.parse::<u32>().unwrap_or(0) / 10_000;
    if major < VERSION_NEEDED {
        return Err(DatabaseError::Version { server: options.server(), found, needed: VERSION_NEEDED });
    }
    Ok(())
}

/// Every checkpoint exists from the start, so that moving one is always an update of a row that is where it should be.
async fn seed_checkpoints(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let projectors = [Consumer::ReadModel, Consumer::Ledger];
    let of_partitions = projectors.iter().flat_map(|one| (0..PARTITIONS).map(|partition| (one.name(), partition)));
    let all = [(FEEDER, 0), (Consumer::Relay.name(), 0)].into_iter().chain(of_partitions);
    let (names, partitions): (Vec<&str>, Vec<i16>) =
        all.map(|(name, partition)| (name, super::checkpoints::small(partition))).unzip();
    sqlx::query(
        "INSERT INTO projector_checkpoints (consumer_name, partition, position)
         SELECT name, part, 0 FROM unnest($1::text[], $2::smallint[]) AS seed (name, part) ORDER BY name, part
         ON CONFLICT DO NOTHING",
    )
    .bind(names)
    .bind(partitions)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO outbox_partitions (partition, events)
         SELECT part, 0 FROM generate_series(0, $1::integer - 1) AS part ORDER BY part ON CONFLICT DO NOTHING",
    )
    .bind(i32::from(PARTITIONS))
    .execute(connection)
    .await?;
    Ok(())
}
