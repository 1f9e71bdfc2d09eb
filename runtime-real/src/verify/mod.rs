//! The proof behind `wallex verify`: reads the log and the tables, and says of INV-01, 02, 03, 06 and 08 whether they
//! hold.
//!
//! Read-only, beside a running service or on a stopped directory: the tables are read in one transaction first, then
//! the log, which by then holds everything that the tables can know. Arithmetic of its own ([`fold`]); memory grows
//! with wallets, not with events.
//!
//! | module | owns |
//! |---|---|
//! | [`fold`] | the fold of the log; INV-01, INV-02, INV-03 |
//! | [`tables`] | the tables, in one transaction |
//! | [`compare`] | log against tables; INV-06, INV-08 |
//! | [`report`] | the verdicts, as a table and as JSON |

mod columns;
pub mod compare;
pub mod fold;
pub mod report;
pub mod tables;

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use wallex_core::event::Recorded;
use wallex_core::id::Position;
use wallex_core::projector::Consumer;
use wallex_journal::JournalError;

use crate::layout;
use compare::OutboxCheck;
use fold::LogFold;
use report::{ConsumerLag, Report};
use tables::{OutboxRow, Tables};

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
    /// The tables cannot be read.
    #[error("the database {file}: {error}")]
    Tables {
        /// The file.
        file: String,
        /// What SQLite says.
        error: sqlx::Error,
    },
    /// The operating system refuses what a runtime needs.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

impl Error {
    /// Whether stored bytes are not what was written: a finding, not an outage.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(error) => matches!(
                error,
                JournalError::Damaged(_) | JournalError::Unreadable { .. } | JournalError::Inconsistent { .. }
            ),
            Self::Tables { .. } | Self::Start(_) => false,
        }
    }
}

/// Verifies the directory of an embedded service.
///
/// # Errors
/// [`Error`] when something cannot be read; what it found is in the [`Report`].
pub fn run(data_dir: &Path) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let file = layout::database(data_dir);
    let trouble = |error| Error::Tables { file: file.display().to_string(), error };
    let mut tables = runtime.block_on(Tables::open(&file)).map_err(trouble)?;
    // Only now: whatever the tables know is in the log.
    let log = layout::read_journal(data_dir)?;

    let progress = tables.progress.clone();
    let retained_from = tables.retained_from;
    let fed = progress.feeder.positions.get(&0).copied().unwrap_or(0);
    let mut fold = LogFold::new(&progress);
    let mut check = OutboxCheck::default();
    let mut outbox = OutboxWalk::new(|after| runtime.block_on(tables.outbox_after(after)).map_err(trouble));
    let mut position = Position(0);
    loop {
        let events: Vec<Recorded> = log.read_all(position, CHUNK)?;
        let Some(last) = events.last() else { break };
        position = last.position;
        for recorded in &events {
            let at = recorded.position.0;
            fold.take(at, &recorded.event);
            if at <= fed {
                let row = outbox.row_at(at, &mut check)?;
                check.compare(at, &recorded.event, row.as_ref(), at < retained_from);
            }
        }
    }
    outbox.finish(&mut check)?;

    let (events, log_head, counts) = (fold.events, fold.head, fold.counts);
    let (wallets, [inv_01, inv_02, inv_03]) = fold.finish();
    let [inv_06, inv_08] = check.finish(&tables.shown, &wallets, &counts);
    let consumers = [
        ("outbox-feeder", counts.feeder),
        (Consumer::Relay.name(), counts.relay),
        (Consumer::ReadModel.name(), counts.read_model),
        (Consumer::Ledger.name(), counts.ledger),
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
