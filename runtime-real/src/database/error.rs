//! What can go wrong with the database, and which class of outcome it is.
//!
//! An error before COMMIT means that nothing was written; an error of COMMIT itself means that nobody knows
//! ([`Completion::Unknown`](wallex_core::effect::Completion)). Only a broken constraint is the fault of the request:
//! everything else (busy, full disk, IO, damage) is the database's, and must never make a dead letter of an event.

use std::path::PathBuf;

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
        /// The file.
        path: PathBuf,
        /// Which migration, and why.
        source: sqlx::migrate::MigrateError,
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
    /// SQLite failed.
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
            damaged @ (DatabaseError::Damaged(_) | DatabaseError::Open { .. } | DatabaseError::Migrate { .. }) => {
                Self::Rejected(damaged.to_string())
            }
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
                let kind = if is_constraint(&error) { FailureKind::Rejected } else { FailureKind::Unavailable };
                Completion::Failed(Failure { kind, reason: error.to_string() })
            }
        }
    }
}

/// Whether a constraint of the schema was broken: SQLITE_CONSTRAINT, whatever its extended code.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    const SQLITE_CONSTRAINT: i32 = 19;
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == SQLITE_CONSTRAINT)
}

/// Whether the connection itself is of no more use, so that the next transaction needs a new one.
pub(super) fn is_lost_connection(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) | sqlx::Error::Protocol(_))
}
