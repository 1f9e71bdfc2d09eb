//! The ways to stored data: the read model and the ledger in the database, histories in the event store.
//!
//! Owns the mapping of their errors to problems, and keeps blocking reads of files away from the threads that serve
//! requests. Trouble with storage is 503: nothing was done, and but for damage it may pass.

use std::time::Duration;

use wallex_core::event::Event;
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::LedgerEntry;
use wallex_core::wallet::Wallet;

use super::problem::{Code, Problem};
use super::state::Service;
use crate::database::queries::{Cursor, CursorError, Page, QueryError, TransactionFilter, WalletFilter};
use crate::log::{LogError, Moment};

/// A wallet of the read model.
pub(super) async fn wallet(service: &Service, id: &WalletId) -> Result<Option<Wallet>, Problem> {
    service.queries.wallet(id).await.map_err(of_query)
}

/// A wallet of the read model at `min_version` or later (INV-12); nothing when it did not get there in time.
pub(super) async fn wallet_at_least(
    service: &Service,
    id: &WalletId,
    min_version: Version,
) -> Result<Option<Wallet>, Problem> {
    let wait = Duration::from_millis(service.config.http.min_version_wait_ms);
    if service.queries.wallet(id).await.map_err(of_query)?.is_none() && !is_in_log(service, id).await? {
        return Ok(None);
    }
    let found = service.queries.wait_for_version(id, min_version, wait).await.map_err(of_query)?;
    Ok(found.filter(|wallet| wallet.version >= min_version))
}

/// Whether a wallet exists: nobody has to wait for one that does not.
async fn is_in_log(service: &Service, id: &WalletId) -> Result<bool, Problem> {
    Ok(wallet_at(service, id, Moment::Version(Version(1))).await?.is_some())
}

/// Wallets of the read model.
pub(super) async fn wallets(service: &Service, filter: &WalletFilter) -> Result<Page<Wallet>, Problem> {
    service.queries.wallets(filter).await.map_err(of_query)
}

/// Entries of the ledger.
pub(super) async fn transactions(
    service: &Service,
    id: &WalletId,
    filter: &TransactionFilter,
) -> Result<Page<LedgerEntry>, Problem> {
    service.queries.transactions(id, filter).await.map_err(of_query)
}

/// A wallet as it was, from the event store.
pub(super) async fn wallet_at(service: &Service, id: &WalletId, moment: Moment) -> Result<Option<Wallet>, Problem> {
    service.log.wallet_at(id, moment).await.map_err(|error| of_log(&error))
}

/// Events of a wallet from a version on, from the event store.
pub(super) async fn events(
    service: &Service,
    id: &WalletId,
    from: Version,
    limit: usize,
) -> Result<Vec<Event>, Problem> {
    service.log.events(id, from, limit).await.map_err(|error| of_log(&error))
}

/// The cursor in a request.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<Cursor>, Problem> {
    text.map(Cursor::decode).transpose().map_err(|error| of_cursor(&error))
}

pub(super) fn of_query(error: QueryError) -> Problem {
    match error {
        QueryError::Cursor(error) => of_cursor(&error),
        QueryError::Database(error) => {
            let problem = Problem::new(Code::Unavailable, "the database is not available");
            problem.caused_by("the database could not be read", &error)
        }
    }
}

fn of_cursor(error: &CursorError) -> Problem {
    match error {
        CursorError::Damaged => Problem::new(Code::CursorInvalid, "the cursor is damaged"),
        CursorError::Foreign => Problem::new(Code::CursorInvalid, "the cursor belongs to another list or filter"),
    }
}

fn of_log(error: &LogError) -> Problem {
    Problem::unavailable(error.unavailable()).caused_by("the event store could not be read", error)
}
