//! What can go wrong with the database, and which class of outcome it is.
//!
//! An error before COMMIT means that nothing was written; an error of COMMIT itself mostly means that nobody knows
//! ([`Completion::Unknown`](wallex_core::effect::Completion)). Only a broken constraint or a value that no column takes is
//! the fault of the request: everything else (busy, full disk, IO, deadlock, damage) is the database's, and must never
//! make a dead letter of an event.

use std::path::PathBuf;

use sqlx::postgres::PgDatabaseError;
use wallex_core::effect::{Completion, Failure, FailureKind};

/// Why the database could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file cannot be opened or created.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// The schema cannot be brought to this version's.
    #[error("cannot migrate the database {path}: {source}")]
    Migrate {
        /// The file, or the server.
        path: PathBuf,
        /// Which migration, and why.
        source: sqlx::migrate::MigrateError,
    },
    /// The URL says nothing that a server could be reached by. It is not repeated here: it may hold a password.
    #[error("the URL of the database is not understood: {0}")]
    Url(String),
    /// The server cannot be reached, or does not let this service in.
    #[error("cannot connect to the database {server}: {source}")]
    Connect {
        /// Host, port and database; never a password.
        server: String,
        /// What is in the way.
        source: sqlx::Error,
    },
    /// The server is too old.
    #[error("the database {server} is PostgreSQL {found}; {needed} or newer is needed")]
    Version {
        /// Host, port and database.
        server: String,
        /// As the server calls itself.
        found: String,
        /// The oldest that works.
        needed: u32,
    },
    /// A statement failed.
    #[error("the database failed: {0}")]
    Query(#[from] sqlx::Error),
    /// A row holds what this service never writes.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

/// Why a transaction ends without a COMMIT.
#[derive(Debug)]
pub(super) enum Stop {
    /// The checkpoint is elsewhere.
    Conflict,
    /// The rows contradict what is stored.
    Rejected(String),
    /// The database failed.
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Query(error) => Self::Sql(error),
            damaged @ (DatabaseError::Damaged(_)
            | DatabaseError::Open { .. }
            | DatabaseError::Migrate { .. }
            | DatabaseError::Url(_)
            | DatabaseError::Connect { .. }
            | DatabaseError::Version { .. }) => Self::Rejected(damaged.to_string()),
        }
    }
}

impl Stop {
    /// The class of outcome, nothing having been written.
    pub(super) fn completion<T>(self) -> Completion<T> {
        match self {
            Self::Conflict => Completion::Conflict,
            Self::Rejected(reason) => Completion::Failed(Failure { kind: FailureKind::Rejected, reason }),
            Self::Sql(error) => {
                let kind = if is_rejection(&error) { FailureKind::Rejected } else { FailureKind::Unavailable };
                Completion::Failed(Failure { kind, reason: reason_of(&error) })
            }
        }
    }
}

/// Whether the request itself was refused, so that it would be again.
fn is_rejection(error: &sqlx::Error) -> bool {
    is_constraint(error) || sqlstate(error).is_some_and(|state| state.starts_with("22") || state.starts_with("23"))
}

/// Whether a constraint of SQLite's schema was broken: SQLITE_CONSTRAINT, whatever its extended code.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    const SQLITE_CONSTRAINT: i32 = 19;
    if sqlstate(error).is_some() {
        return false;
    }
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == SQLITE_CONSTRAINT)
}

/// What Postgres calls the error.
fn sqlstate(error: &sqlx::Error) -> Option<&str> {
    postgres_error(error).map(PgDatabaseError::code)
}

/// The error as the Postgres server sent it, if it is one.
pub(super) fn postgres_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
}

/// For people; a broken constraint with the row that broke it.
fn reason_of(error: &sqlx::Error) -> String {
    match postgres_error(error).and_then(PgDatabaseError::detail) {
        Some(detail) => format!("{error}: {detail}"),
        None => error.to_string(),
    }
}
