//! The outbox: rows written once, the checkpoints of feeder and relay, and when what was published (INV-06).
//!
//! A checkpoint moves by compare-and-set, and everything is checked before anything is changed. What the relay sets
//! aside is in `held`; that both change together is left to `tables`.

use std::collections::BTreeMap;

use wallex_core::effect::RelayProgress;
use wallex_core::event::Recorded;
use wallex_core::id::{Position, Version, WalletId};
use wallex_core::time::Timestamp;

use super::tables::Stop;

#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    rows: BTreeMap<Position, Recorded>,
    /// The last version of each wallet: rows of a wallet come in version order.
    heads: BTreeMap<WalletId, Version>,
    feeder: Position,
    relay: Position,
    /// Last position of a batch, and when it was published.
    published: BTreeMap<Position, Timestamp>,
}

impl Outbox {
    pub(super) fn rows(&self) -> impl Iterator<Item = &Recorded> {
        self.rows.values()
    }

    pub(super) fn rows_after(&self, position: Position) -> impl Iterator<Item = &Recorded> {
        self.rows.range(position.next()..).map(|(_, row)| row)
    }

    pub(super) fn feeder(&self) -> Position {
        self.feeder
    }

    pub(super) fn relay(&self) -> Position {
        self.relay
    }

    pub(super) fn progress(&self, held_wallets: Vec<WalletId>) -> RelayProgress {
        RelayProgress { checkpoint: self.relay, held_wallets }
    }

    pub(super) fn read(&self, after: Position, limit: usize) -> Vec<Recorded> {
        self.rows.range(after.next()..).take(limit).map(|(_, row)| row.clone()).collect()
    }

    pub(super) fn write(&mut self, expected: Position, events: &[Recorded], checkpoint: Position) -> Result<(), Stop> {
        if self.feeder != expected {
            return Err(Stop::Conflict);
        }
        let mut moved: BTreeMap<&WalletId, Version> = BTreeMap::new();
        for Recorded { position, event } in events {
            let (wallet, version) = (&event.wallet_id, event.version);
            let head = moved.get(wallet).or_else(|| self.heads.get(wallet)).copied().unwrap_or_default();
            if version <= head {
                let reason = format!("wallet {wallet}: the outbox has version {version} or a later one already");
                return Err(Stop::Rejected(reason));
            }
            if self.rows.contains_key(position) {
                return Err(Stop::Rejected(format!("the outbox has a row at position {position} already")));
            }
            moved.insert(wallet, version);
        }
        self.heads.extend(moved.into_iter().map(|(wallet, version)| (wallet.clone(), version)));
        self.rows.extend(events.iter().map(|row| (row.position, row.clone())));
        self.feeder = checkpoint;
        Ok(())
    }

    pub(super) fn mark(&mut self, expected: Position, checkpoint: Position, at: Timestamp) -> Result<(), Stop> {
        if self.relay != expected {
            return Err(Stop::Conflict);
        }
        if checkpoint > expected {
            self.published.insert(checkpoint, at);
        }
        self.relay = checkpoint;
        Ok(())
    }
}
