//! The statement of a wallet: all its entries, read page by page, so that no reader holds a transaction open.

use wallex_core::id::WalletId;
use wallex_core::projector::LedgerEntry;

use super::{Queries, QueryError, TransactionFilter};

/// Entries of a statement that are read at once.
const STATEMENT_CHUNK: usize = 1_000;

/// The entries of a wallet from one end to the other, read in chunks.
pub struct Statement {
    queries: Queries,
    wallet: WalletId,
    filter: TransactionFilter,
    ended: bool,
}

impl Queries {
    /// All entries that the filter takes, in chunks; its cursor and limit do not count.
    #[must_use]
    pub fn statement(&self, wallet: &WalletId, filter: TransactionFilter) -> Statement {
        let filter = TransactionFilter { after: None, limit: STATEMENT_CHUNK, ..filter };
        Statement { queries: self.clone(), wallet: wallet.clone(), filter, ended: false }
    }
}

impl Statement {
    /// The next entries; nothing at the end.
    ///
    /// # Errors
    /// [`QueryError::Database`].
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<LedgerEntry>>, QueryError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.queries.transactions(&self.wallet, &self.filter).await?;
        self.ended = page.next.is_none();
        self.filter.after = page.next;
        Ok(if page.items.is_empty() { None } else { Some(page.items) })
    }
}
