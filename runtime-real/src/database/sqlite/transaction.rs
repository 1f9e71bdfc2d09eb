//! One transaction of the writer: begun, filled, and ended in exactly one of the four ways a completion knows.
//!
//! A transaction that is dropped half way (its task was cancelled) is rolled back before the next one begins. After a
//! rollback what was learnt in it is forgotten with it.

use std::path::PathBuf;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard};
use wallex_core::effect::{Completion, Failure, FailureKind};

use super::connection::open_writer;
use super::error::Stop;
use super::known::Known;

/// The only connection that writes.
pub(super) struct Writer {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// None after the connection was lost.
    connection: Option<SqliteConnection>,
    known: Known,
    /// A transaction was begun and not ended.
    begun: bool,
}

/// A transaction that is open.
pub(super) struct Transaction<'w> {
    state: MutexGuard<'w, State>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, connection: SqliteConnection) -> Self {
        let state = State { connection: Some(connection), known: Known::new(), begun: false };
        Self { path, state: Mutex::new(state) }
    }

    /// Waits for its turn, then begins.
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Stop> {
        let mut state = self.state.lock().await;
        if state.begun {
            state.roll_back().await;
        }
        if state.connection.is_none() {
            state.connection = Some(open_writer(&self.path).await?);
        }
        let mut transaction = Transaction { state };
        transaction.state.begun = true;
        let began = sqlx::query("BEGIN IMMEDIATE").execute(transaction.connection()).await;
        match began {
            Ok(_) => Ok(transaction),
            Err(error) => Err(transaction.abandon(Stop::Sql(error)).await),
        }
    }

    /// Begins, runs `work` and ends.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection, &mut Known) -> Result<T, Stop>,
    ) -> Completion<T> {
        let mut transaction = match self.begin().await {
            Ok(transaction) => transaction,
            Err(stop) => return stop.completion(),
        };
        let (connection, known) = transaction.parts();
        let result = work(connection, known).await;
        transaction.end(result).await
    }

    /// Waits for the transaction that runs, then closes the connection.
    pub(super) async fn close(&self) {
        let heads = async |connection: &mut SqliteConnection, known: &mut Known| {
            known.outbox.write(connection).await?;
            known.ledger.write(connection).await
        };
        if !matches!(self.run(heads).await, Completion::Done(())) {
            tracing::warn!("the last versions were not written; the next start reads them from the rows");
        }
        let mut state = self.state.lock().await;
        if state.begun {
            state.roll_back().await;
        }
        if let Some(connection) = state.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database was not closed in order; the next start goes through its log");
        }
    }

    /// Runs a question on the same connection, so that it sees what was written last; it writes nothing.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut SqliteConnection, &mut Known) -> Result<T, Stop>,
    ) -> Completion<T> {
        match self.run(question).await {
            // Nothing was written, so nothing can be unknown.
            Completion::Unknown => Completion::Failed(Failure {
                kind: FailureKind::Unavailable,
                reason: "the database does not answer".to_owned(),
            }),
            answered @ (Completion::Done(_) | Completion::Conflict | Completion::Failed(_)) => answered,
        }
    }
}

impl Transaction<'_> {
    fn connection(&mut self) -> &mut SqliteConnection {
        self.parts().0
    }

    pub(super) fn parts(&mut self) -> (&mut SqliteConnection, &mut Known) {
        let state = &mut *self.state;
        (state.connection.as_mut().expect("a transaction has a connection"), &mut state.known)
    }

    /// Commits what went well, rolls back what did not.
    pub(super) async fn end<T>(mut self, result: Result<T, Stop>) -> Completion<T> {
        let value = match result {
            Ok(value) => value,
            Err(stop) => return self.abandon(stop).await.completion(),
        };
        match sqlx::query("COMMIT").execute(self.connection()).await {
            Ok(_) => {
                self.state.begun = false;
                Completion::Done(value)
            }
            Err(error) => {
                // It may stand in the WAL or not: what the checkpoints say decides.
                tracing::warn!(%error, "a commit of the pipeline's database has an unknown outcome");
                drop(self.abandon(Stop::Sql(error)).await);
                Completion::Unknown
            }
        }
    }

    async fn abandon(mut self, stop: Stop) -> Stop {
        self.state.roll_back().await;
        if let Stop::Sql(error) = &stop
            && is_lost_connection(error)
        {
            self.state.connection = None;
        }
        stop
    }
}

impl State {
    async fn roll_back(&mut self) {
        self.begun = false;
        self.known.clear();
        if let Some(connection) = &mut self.connection {
            // SQLite may have rolled back by itself; that there is nothing to roll back is no error here.
            let _already_over = sqlx::query("ROLLBACK").execute(connection).await;
        }
    }
}

/// Whether the connection itself is of no more use, so that the next transaction needs a new one.
fn is_lost_connection(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) | sqlx::Error::Protocol(_))
}
