//! Idempotency records: reserved, completed, released, taken over (INV-05).
//!
//! What is dead and what has expired is decided by the database's own clock.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::command::{FinalAnswer, Fingerprint, KeyHash};
use wallex_core::effect::{KeyRecord, Reservation, Reserve};
use wallex_core::id::CommandId;
use wallex_core::time::Timestamp;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The payload.
    pub fingerprint: Fingerprint,
    /// The command that runs or ran under the key.
    pub command_id: CommandId,
    /// The attempt that holds it.
    pub attempt: CommandId,
    /// When it was first reserved.
    pub reserved_at: Timestamp,
    /// When it was last reserved or taken over.
    pub touched_at: Timestamp,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
    /// Nothing while the command runs.
    pub answer: Option<FinalAnswer>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    records: BTreeMap<KeyHash, StoredKey>,
}

impl Keys {
    pub(super) fn all(&self) -> impl Iterator<Item = (&KeyHash, &StoredKey)> {
        self.records.iter()
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.records.retain(|_, record| record.expires_at > now);
    }

    pub(super) fn reserve(&mut self, now: Timestamp, items: &[Reserve]) -> Vec<Reservation> {
        let mut given = BTreeSet::new();
        items.iter().map(|item| self.reserve_one(now, item, given.insert(item.idempotency.key))).collect()
    }

    /// Of two items with one key in one batch, the second meets the first.
    fn reserve_one(&mut self, now: Timestamp, item: &Reserve, is_first: bool) -> Reservation {
        let found = self.records.get_mut(&item.idempotency.key);
        let Some(record) = found.filter(|record| record.expires_at > now || !is_first) else {
            self.records.insert(item.idempotency.key, StoredKey::new(now, item));
            return Reservation::New;
        };
        let fingerprint = record.fingerprint;
        if let Some(answer) = record.answer.clone() {
            return Reservation::Finished { fingerprint, answer };
        }
        let is_dead = record.touched_at.plus(item.dead_after) <= now && is_first;
        if !is_dead || fingerprint != item.idempotency.fingerprint {
            return Reservation::Pending { fingerprint };
        }
        (record.touched_at, record.attempt) = (now, item.command_id);
        record.expires_at = record.expires_at.max(now.plus(item.kept_for));
        Reservation::TakenOver { fingerprint, command_id: record.command_id, reserved_at: record.reserved_at }
    }

    /// Stores answers where the reservation is held by the command; the first answer stands. Whether none was kept out by
    /// somebody else's reservation.
    pub(super) fn store(&mut self, answers: Vec<KeyRecord>) -> bool {
        let mut all = true;
        for KeyRecord { idempotency, command_id, expires_at, held_by, answer } in answers {
            let record = self.records.get_mut(&idempotency.key).filter(|record| record.command_id == command_id);
            let is_held = held_by.is_none_or(|attempt| record.as_ref().is_some_and(|one| one.attempt == attempt));
            all &= is_held;
            if let Some(record) = record.filter(|record| is_held && record.answer.is_none()) {
                record.answer = Some(answer);
                record.expires_at = expires_at;
            }
        }
        all
    }

    /// Forgets reservations of these attempts that have no answer and were never taken over: the first attempt may have
    /// happened, whatever the one that took over knows of itself.
    pub(super) fn release(&mut self, keys: &[(KeyHash, CommandId)]) {
        for (key, attempt) in keys {
            let held =
                |record: &StoredKey| [record.attempt, record.command_id] == [*attempt; 2] && record.answer.is_none();
            if self.records.get(key).is_some_and(held) {
                self.records.remove(key);
            }
        }
    }
}

impl StoredKey {
    fn new(now: Timestamp, item: &Reserve) -> Self {
        Self {
            fingerprint: item.idempotency.fingerprint,
            command_id: item.command_id,
            attempt: item.command_id,
            reserved_at: now,
            touched_at: now,
            expires_at: now.plus(item.kept_for),
            answer: None,
        }
    }
}
