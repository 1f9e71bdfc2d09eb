//! The proof behind `wallex verify`: whether INV-01, 02, 03, 06 and 08 hold of the log and the tables.
//!
//! Read-only, of a directory or of servers, in use or not. The tables are read first, in one transaction, then the log,
//! which by then holds all that they can know. Arithmetic of its own ([`fold`]); memory grows with wallets alone.
//!
//! | module | owns |
//! |---|---|
//! | [`fold`] | the fold of the log; INV-01, INV-02, INV-03 |
//! | [`progress`] | how far everybody got, and where an event stands with them |
//! | [`tables`], [`server_tables`], `columns` | the tables of SQLite and of Postgres, and their rows as events |
//! | [`compare`] | log against tables; INV-06, INV-08 |
//! | [`report`] | the verdicts, as a table and as JSON |

mod columns;
pub mod compare;
pub mod fold;
pub mod progress;
pub mod report;
pub mod server_tables;
pub mod tables;

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use wallex_core::event::Recorded;
use wallex_core::id::Position;
use wallex_core::projector::Consumer;
use wallex_journal::{Damage, JournalError};

use crate::config::Config;
use crate::layout;
use crate::server_log::{ServerLog, ServerLogError};
use compare::OutboxCheck;
use fold::LogFold;
use progress::Progress;
use report::{ConsumerLag, Report};
use server_tables::ServerTables;
use tables::{OutboxRow, Shown, Tables};

/// How long SQLite may wait for a lock that a running service holds for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Events read from the log at once.
const CHUNK: usize = 8_192;

/// Why a verification could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be read, or shows damage.
    #[error("the event log: {0}")]
    Log(#[from] JournalError),
    /// KurrentDB cannot be read.
    #[error(transparent)]
    Server(#[from] ServerLogError),
    /// The tables cannot be read.
    #[error("the database {file}: {error}")]
    Tables {
        /// The file, or the server.
        file: String,
        /// What it says.
        error: sqlx::Error,
    },
    /// The operating system refuses what a runtime needs.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

impl Error {
    /// Which bytes of the journal are damaged, when it is they.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Log(JournalError::Damaged(damage)) => Some(damage),
            Self::Log(_) | Self::Server(_) | Self::Tables { .. } | Self::Start(_) => None,
        }
    }

    /// Whether stored bytes are not what was written: a finding, not an outage.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(error) => matches!(
                error,
                JournalError::Damaged(_) | JournalError::Unreadable { .. } | JournalError::Inconsistent { .. }
            ),
            Self::Server(_) | Self::Tables { .. } | Self::Start(_) => false,
        }
    }
}

/// Verifies the directory of an embedded service.
///
/// # Errors
/// [`Error`] when something cannot be read; what it found is in the [`Report`].
pub fn run(data_dir: &Path) -> Result<Report, Error> {
    let runtime = runtime()?;
    let file = layout::database(data_dir);
    let trouble = |error| Error::Tables { file: file.display().to_string(), error };
    let mut tables = runtime.block_on(Tables::open(&file)).map_err(trouble)?;
    // Only now: whatever the tables know is in the log.
    let log = layout::read_journal(data_dir)?;
    let (progress, shown) = (tables.progress.clone(), std::mem::take(&mut tables.shown));
    let known = Known { progress, shown, retained_from: tables.retained_from };
    let outbox = |after| runtime.block_on(tables.outbox_after(after)).map_err(trouble);
    verify(&known, |after| Ok(log.read_all(after, CHUNK)?), outbox)
}

/// Verifies the servers of a production system, beside running instances or without.
///
/// # Errors
/// [`Error`] when something cannot be read; what it found is in the [`Report`].
pub fn run_on_servers(config: &Config) -> Result<Report, Error> {
    let runtime = runtime()?;
    let url = &config.postgres.url.0;
    let trouble = |error| Error::Tables { file: url.to_string(), error };
    let mut tables = runtime.block_on(ServerTables::open(url.reveal())).map_err(trouble)?;
    // Only now: whatever the tables know is in the log.
    let log = runtime.block_on(ServerLog::connect(config))?;
    let (progress, shown) = (tables.progress.clone(), std::mem::take(&mut tables.shown));
    let known = Known { progress, shown, retained_from: tables.retained_from };
    let outbox = |after| runtime.block_on(tables.outbox_after(after)).map_err(trouble);
    verify(&known, |after| Ok(runtime.block_on(log.read_all(after, CHUNK))?), outbox)
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)
}

/// What the tables know, but for the outbox.
struct Known {
    progress: Progress,
    shown: Shown,
    retained_from: u64,
}

/// Folds the log and compares. Both readers give what comes after a position, and nothing at the end.
fn verify(
    tables: &Known,
    mut read_log: impl FnMut(Position) -> Result<Vec<Recorded>, Error>,
    read_outbox: impl FnMut(u64) -> Result<Vec<OutboxRow>, Error>,
) -> Result<Report, Error> {
    let fed = tables.progress.feeder.positions.get(&0).copied().unwrap_or(0);
    let mut fold = LogFold::new(&tables.progress);
    let mut check = OutboxCheck::default();
    let mut outbox = OutboxWalk::new(read_outbox);
    let mut position = Position(0);
    loop {
        let events: Vec<Recorded> = read_log(position)?;
        let Some(last) = events.last() else { break };
        position = last.position;
        for recorded in &events {
            let at = recorded.position.0;
            fold.take(at, &recorded.event);
            if at <= fed {
                let row = outbox.row_at(at, &mut check)?;
                check.compare(at, &recorded.event, row.as_ref(), at < tables.retained_from);
            }
        }
    }
    outbox.finish(&mut check)?;

    let (events, log_head, counts) = (fold.events, fold.head, fold.counts.clone());
    let (wallets, [inv_01, inv_02, inv_03]) = fold.finish();
    let [inv_06, inv_08] = check.finish(&tables.shown, &wallets, &counts);
    let consumers = [
        ("outbox-feeder", &counts.feeder),
        (Consumer::Relay.name(), &counts.relay),
        (Consumer::ReadModel.name(), &counts.read_model),
        (Consumer::Ledger.name(), &counts.ledger),
    ];
    let verdicts = vec![inv_01, inv_02, inv_03, inv_06, inv_08];
    Ok(Report {
        holds: verdicts.iter().all(report::Verdict::holds),
        events,
        log_head,
        wallets: wallets.len() as u64,
        consumers: consumers
            .into_iter()
            .map(|(name, counts)| ConsumerLag { name, lag: counts.ahead, held: counts.held })
            .collect(),
        verdicts,
    })
}

/// The rows of the outbox in position order, beside the log.
struct OutboxWalk<F> {
    read: F,
    rows: VecDeque<OutboxRow>,
    position: u64,
    over: bool,
}

impl<F: FnMut(u64) -> Result<Vec<OutboxRow>, Error>> OutboxWalk<F> {
    /// `read` gives the next rows after a position.
    fn new(read: F) -> Self {
        Self { read, rows: VecDeque::new(), position: 0, over: false }
    }

    /// The row at a position of the log; rows before it belong to no event.
    fn row_at(&mut self, position: u64, check: &mut OutboxCheck) -> Result<Option<OutboxRow>, Error> {
        loop {
            self.fill()?;
            match self.rows.pop_front_if(|row| row.position <= position) {
                Some(row) if row.position == position => return Ok(Some(row)),
                Some(row) => check.surplus(row.position),
                None => return Ok(None),
            }
        }
    }

    /// Whatever is left belongs to no event.
    fn finish(mut self, check: &mut OutboxCheck) -> Result<(), Error> {
        loop {
            self.fill()?;
            match self.rows.pop_front() {
                Some(row) => check.surplus(row.position),
                None => return Ok(()),
            }
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() && !self.over {
            self.rows.extend((self.read)(self.position)?);
            self.over = self.rows.is_empty();
            self.position = self.rows.back().map_or(self.position, |row| row.position);
        }
        Ok(())
    }
}
