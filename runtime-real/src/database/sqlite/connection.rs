//! Opening the file: one connection that writes, a pool that reads, and the settings of both.
//!
//! WAL with synchronous=NORMAL: commits are atomic and need no fdatasync of their own. A power loss can take the newest
//! transactions, and with them the checkpoints that they moved, so the pipeline does them again from the journal, which
//! is what is durable (INV-06). The WAL is copied into the file in small steps: the journal is on the same disk.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::error::DatabaseError;
use crate::database::FEEDER;
use crate::priority;

/// Bytes of a page. 8 KiB: the append-only tables fill pages, and a transaction of thousands of rows changes most leaves
/// of the unique indexes anyway.
const PAGE_BYTES: u32 = 8_192;
/// KiB of pages that the writer keeps: enough for the hot leaves of the unique indexes.
const WRITER_CACHE_KIB: u32 = 98_304;
/// KiB of pages that each reader keeps.
const READER_CACHE_KIB: u32 = 8_192;
/// Bytes of the file that readers map.
const MMAP_BYTES: u64 = 1 << 30;
/// Pages in the WAL before it is copied into the file: 4 MiB. Both files are synced then, and a sync of the journal that
/// meets it waits for all of its bytes: the worst answer under load takes as long as without any copying, and three times
/// as long at 64 MiB. Copying hot pages more often costs too little to measure.
const WAL_PAGES: u32 = 512;
/// Bytes that the WAL is cut back to when it is empty.
const WAL_BYTES_KEPT: u64 = 32 << 20;
/// Statements that the writer keeps prepared: all that it has, in every size of chunk.
const STATEMENTS_KEPT: usize = 160;
/// Connections that read.
const READERS: u32 = 4;
/// How long a connection waits for another one's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

pub(super) fn writer_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        .pragma("wal_autocheckpoint", WAL_PAGES.to_string())
        .pragma("journal_size_limit", WAL_BYTES_KEPT.to_string())
        .pragma("temp_store", "memory")
        .pragma("cache_spill", "false")
        .statement_cache_capacity(STATEMENTS_KEPT)
        .thread_name(|_| "wallex-sqlite-writer".to_owned())
        .disable_statement_logging()
}

/// Creates or opens the file and brings its schema to this version's.
pub(super) async fn open_writer(path: &Path) -> Result<SqliteConnection, DatabaseError> {
    let mut connection = connect_behind(path).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|source| DatabaseError::Migrate { path: path.to_owned(), source })?;
    seed_checkpoints(&mut connection).await?;
    Ok(connection)
}

/// Connects, with a SQLite thread that steps back: a thread has the priority of the one that starts it.
async fn connect_behind(path: &Path) -> Result<SqliteConnection, DatabaseError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let options = writer_options(path);
    let connect = move || {
        priority::step_back();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let connected = runtime.map_err(sqlx::Error::Io).and_then(|runtime| runtime.block_on(options.connect()));
        // Whoever asked may have gone.
        drop(sender.send(connected));
    };
    let started = std::thread::Builder::new().name("wallex-connect".to_owned()).spawn(connect);
    let connected = match started {
        Ok(_) => receiver.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)),
        Err(error) => Err(sqlx::Error::Io(error)),
    };
    connected.map_err(|source| DatabaseError::Open { path: path.to_owned(), source })
}

/// Every checkpoint exists from the start, so that moving one is always an update of a row that is where it should be.
async fn seed_checkpoints(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let projectors = [Consumer::ReadModel, Consumer::Ledger];
    let of_partitions = projectors.iter().flat_map(|one| (0..PARTITIONS).map(|partition| (one.name(), partition)));
    let all = [(FEEDER, 0), (Consumer::Relay.name(), 0)].into_iter().chain(of_partitions);
    for (consumer, partition) in all {
        sqlx::query(
            "INSERT OR IGNORE INTO projector_checkpoints (consumer_name, partition, position) VALUES (?, ?, 0)",
        )
        .bind(consumer)
        .bind(partition)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn open_readers(path: &Path) -> Result<SqlitePool, DatabaseError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .pragma("mmap_size", MMAP_BYTES.to_string())
        .pragma("temp_store", "memory")
        .row_buffer_size(512)
        .thread_name(|number| format!("wallex-sqlite-{number}"))
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(1)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(|source| DatabaseError::Open { path: path.to_owned(), source })
}
