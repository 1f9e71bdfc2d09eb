//! Postgres: every effect is one transaction, all of it or nothing (INV-06, INV-08, INV-11).
//!
//! What a transaction would refuse is found before anything is written. A commit whose answer is lost is for the network
//! to make. Committed is durable, as with Postgres; with [`Durability::AtSync`] a power cut takes the newest commits,
//! as with SQLite in WAL mode without a sync for each.
//!
//! | file | owns |
//! |---|---|
//! | `outbox` | rows, the feeder's and the relay's checkpoints, what is published |
//! | `projection` | read model and ledger, with the consumers' checkpoints |
//! | `held` | events set aside |
//! | `keys` | idempotency records |

mod held;
mod keys;
mod outbox;
mod projection;
mod tables;

pub use keys::StoredKey;

use tables::Tables;
use wallex_core::command::KeyHash;
use wallex_core::effect::{Effect, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{Position, WalletId};
use wallex_core::projector::{Consumer, HeldEvent, LedgerEntry};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use super::Poison;

/// When a commit is safe from a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// At once (Postgres).
    #[default]
    AtCommit,
    /// At the next [`Database::sync`] (SQLite).
    AtSync,
}

/// The database.
#[derive(Clone, Debug, Default)]
pub struct Database {
    tables: Tables,
    poison: Poison,
    durability: Durability,
    /// The tables at the last sync, and what was committed since; empty with [`Durability::AtCommit`].
    synced: Tables,
    unsynced: Vec<(Timestamp, Effect)>,
}

impl Database {
    /// An empty database.
    #[must_use]
    pub fn new(durability: Durability) -> Self {
        Self { durability, ..Self::default() }
    }

    /// Performs an effect; nothing for effects that have no completion or are not the database's.
    pub fn perform(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        let again = (self.durability == Durability::AtSync).then(|| (now, effect.clone()));
        let performed = self.tables.perform(now, effect, &self.poison);
        self.unsynced.extend(again.filter(|_| performed.has_written));
        performed.input
    }

    /// What is committed is safe from now on.
    pub fn sync(&mut self) {
        // Done once more on the older tables, which is cheaper than a copy of the newer ones.
        for (at, effect) in self.unsynced.drain(..) {
            self.synced.perform(at, effect, &Poison::default());
        }
    }

    /// Commits that a power cut may take.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// A power cut: of the commits since the last sync the first `kept` survive, and no later one.
    pub fn crash(&mut self, kept: usize) {
        if kept >= self.unsynced.len() {
            return;
        }
        self.tables = self.synced.clone();
        self.unsynced.truncate(kept);
        for (at, effect) in &self.unsynced {
            // They were committed, whatever is refused now.
            self.tables.perform(*at, effect.clone(), &Poison::default());
        }
    }

    /// Rows that are refused from now on.
    pub fn poison(&mut self) -> &mut Poison {
        &mut self.poison
    }

    /// The outbox, in order.
    pub fn outbox(&self) -> impl Iterator<Item = &Recorded> {
        self.tables.outbox.rows()
    }

    /// The rows of the outbox after a position, in order.
    pub fn outbox_after(&self, position: Position) -> impl Iterator<Item = &Recorded> {
        self.tables.outbox.rows_after(position)
    }

    /// How far the outbox is filled.
    #[must_use]
    pub fn feeder_checkpoint(&self) -> Position {
        self.tables.outbox.feeder()
    }

    /// How far the topic is filled.
    #[must_use]
    pub fn relay_checkpoint(&self) -> Position {
        self.tables.outbox.relay()
    }

    /// Consumer, partition and the last offset taken.
    pub fn offsets(&self) -> impl Iterator<Item = (Consumer, u16, u64)> {
        self.tables.projections.offsets()
    }

    /// The read model.
    pub fn wallets(&self) -> impl Iterator<Item = &Wallet> {
        self.tables.projections.wallets()
    }

    /// One row of the read model.
    #[must_use]
    pub fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.tables.projections.wallet(id)
    }

    /// The ledger, by wallet and version.
    pub fn ledger(&self) -> impl Iterator<Item = &LedgerEntry> {
        self.tables.projections.ledger()
    }

    /// Events set aside, by consumer.
    pub fn held(&self) -> impl Iterator<Item = &HeldEvent> {
        self.tables.held.all()
    }

    /// The idempotency records.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyHash, &StoredKey)> {
        self.tables.keys.all()
    }

    /// Forgets idempotency records that have expired, as the service does from time to time.
    pub fn forget_keys(&mut self, now: Timestamp) {
        self.tables.keys.forget(now);
    }
}
