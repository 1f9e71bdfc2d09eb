//! One transaction on one connection, ended in exactly one of the four ways a completion knows.
//!
//! Before COMMIT every failure means that nothing was written. An error that the server sends for COMMIT says so too; a
//! COMMIT without an answer may have happened, and is `Unknown`. A connection that did not answer in time, or whose task
//! was cancelled half way, is given up: its socket is closed, so the server rolls back what it has not committed, and no
//! place in the pool stays taken.

use std::io;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgSeverity};
use sqlx::{Connection as _, Postgres, Transaction};
use tokio::time::{Instant, timeout_at};
use wallex_core::effect::Completion;

use super::error::{DatabaseError, Stop, postgres_error};
use super::options::transaction_timeout;
use crate::database::queries::QueryError;

/// A connection of the pool. It goes back when it is given back, and is closed otherwise.
struct Lease(Option<PoolConnection<Postgres>>);

impl Lease {
    async fn take(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a lease has a connection until it ends")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// What is true of a transaction when it is said to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It is on the disk of the server.
    Synced,
    /// It is committed, and a crash of the server may take it back within a second, together with every transaction
    /// that was committed after it and not synced. For what carries its own checkpoint, and is done again from there.
    Redone,
}

impl Durability {
    fn begin(self) -> &'static str {
        match self {
            Self::Synced => "BEGIN",
            Self::Redone => "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }
}

/// Begins, runs `work` and ends.
pub(super) async fn run<T>(
    pool: &PgPool,
    durability: Durability,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Stop>,
) -> Completion<T> {
    let mut lease = match Lease::take(pool).await {
        Ok(lease) => lease,
        Err(error) => return Stop::Sql(error).completion(),
    };
    let deadline = Instant::now() + transaction_timeout();
    let worked = timeout_at(deadline, begin_and_work(lease.connection(), durability, work)).await;
    let (completion, usable) = match worked.unwrap_or_else(|_| Err(Stop::Sql(no_answer()))) {
        Ok((transaction, value)) => commit(transaction, value, deadline).await,
        Err(stop) => {
            let usable = !stop.is_lost();
            (stop.completion(), usable)
        }
    };
    if usable {
        lease.give_back();
    }
    completion
}

/// Runs one statement that is a transaction of its own: one way to the server and back, where [`run`] takes three. The
/// statement may not fail here after it has succeeded there, and so checks nothing of what it has written.
pub(super) async fn run_one<T>(
    pool: &PgPool,
    statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Stop>,
) -> Completion<T> {
    let mut lease = match Lease::take(pool).await {
        Ok(lease) => lease,
        Err(error) => return Stop::Sql(error).completion(),
    };
    let deadline = Instant::now() + transaction_timeout();
    let done = timeout_at(deadline, statement(lease.connection())).await;
    let stop = match done.unwrap_or_else(|_| Err(Stop::Sql(no_answer()))) {
        Ok(value) => {
            lease.give_back();
            return Completion::Done(value);
        }
        Err(stop) => stop,
    };
    if !stop.is_lost() {
        lease.give_back();
    }
    // What the server refuses it has rolled back. Everything else may have happened.
    match &stop {
        Stop::Sql(error) if postgres_error(error).is_some_and(|error| error.severity() == PgSeverity::Error) => {
            stop.completion()
        }
        Stop::Sql(_) | Stop::Conflict | Stop::Rejected(_) => {
            tracing::warn!(?stop, "a statement has an unknown outcome");
            Completion::Unknown
        }
    }
}

/// Like [`run`], for an effect that writes nothing: then nothing can be unknown.
pub(super) async fn ask<T>(
    pool: &PgPool,
    question: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Stop>,
) -> Completion<T> {
    match read(pool, question).await {
        Ok(value) => Completion::Done(value),
        Err(stop) => stop.completion(),
    }
}

/// Runs statements that write nothing.
pub(super) async fn read<T, E: MayBeLost>(
    pool: &PgPool,
    question: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let mut lease = Lease::take(pool).await?;
    let deadline = Instant::now() + transaction_timeout();
    let answer = timeout_at(deadline, question(lease.connection())).await;
    let answer = answer.unwrap_or_else(|_| Err(no_answer().into()));
    if !answer.as_ref().is_err_and(E::is_lost) {
        lease.give_back();
    }
    answer
}

async fn begin_and_work<'c, T>(
    connection: &'c mut PgConnection,
    durability: Durability,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Stop>,
) -> Result<(Transaction<'c, Postgres>, T), Stop> {
    let mut transaction = connection.begin_with(durability.begin()).await?;
    // A transaction that is dropped on an error is rolled back before its connection is used again.
    let value = work(&mut transaction).await?;
    Ok((transaction, value))
}

/// Gives the completion, and whether the connection can be used again.
async fn commit<T>(transaction: Transaction<'_, Postgres>, value: T, deadline: Instant) -> (Completion<T>, bool) {
    let committed = timeout_at(deadline, transaction.commit()).await;
    let Err(error) = committed.unwrap_or_else(|_| Err(no_answer())) else { return (Completion::Done(value), true) };
    // What the server refuses to commit it has rolled back. A server that goes down while it commits says so too, with
    // a greater severity, and may have committed before.
    if postgres_error(&error).is_some_and(|error| error.severity() == PgSeverity::Error) {
        return (Stop::Sql(error).completion(), true);
    }
    tracing::warn!(%error, "a commit has an unknown outcome");
    (Completion::Unknown, false)
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database does not answer"))
}

/// An error that may mean that its connection is of no more use.
pub(super) trait MayBeLost: From<sqlx::Error> {
    /// Whether it does.
    fn is_lost(&self) -> bool;
}

impl MayBeLost for Stop {
    fn is_lost(&self) -> bool {
        match self {
            Self::Conflict | Self::Rejected(_) => false,
            Self::Sql(error) => breaks_connection(error),
        }
    }
}

impl MayBeLost for QueryError {
    fn is_lost(&self) -> bool {
        match self {
            Self::Database(DatabaseError::Query(error)) => breaks_connection(error),
            Self::Cursor(_) | Self::Database(_) => false,
        }
    }
}

fn breaks_connection(error: &sqlx::Error) -> bool {
    match postgres_error(error) {
        Some(error) => error.severity() != PgSeverity::Error,
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}
