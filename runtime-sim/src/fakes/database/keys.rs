//! Idempotency records: reserved, completed, released, taken over (INV-05).
//!
//! Times come with the requests, from clocks that may differ, as they do when several instances share a database.

use std::collections::BTreeMap;

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

    pub(super) fn reserve(&mut self, items: &[Reserve]) -> Vec<Reservation> {
        items.iter().map(|item| self.reserve_one(item)).collect()
    }

    fn reserve_one(&mut self, item: &Reserve) -> Reservation {
        let found = self.records.get_mut(&item.idempotency.key).filter(|record| record.expires_at > item.now);
        let Some(record) = found else {
            self.records.insert(item.idempotency.key, StoredKey::new(item));
            return Reservation::New;
        };
        let fingerprint = record.fingerprint;
        if let Some(answer) = record.answer.clone() {
            return Reservation::Finished { fingerprint, answer };
        }
        if record.touched_at >= item.dead_before || fingerprint != item.idempotency.fingerprint {
            return Reservation::Pending { fingerprint };
        }
        record.touched_at = item.now;
        record.expires_at = record.expires_at.max(item.expires_at);
        Reservation::TakenOver { fingerprint, command_id: record.command_id, reserved_at: record.reserved_at }
    }

    /// Stores answers where the reservation is held by the command; the first answer stands. Whether none was kept out by
    /// somebody else's reservation.
    pub(super) fn store(&mut self, answers: Vec<KeyRecord>) -> bool {
        let mut all = true;
        for KeyRecord { idempotency, command_id, expires_at, held_since, answer } in answers {
            let record = self.records.get_mut(&idempotency.key).filter(|record| record.command_id == command_id);
            let is_held = held_since.is_none_or(|since| record.as_ref().is_some_and(|one| one.touched_at == since));
            all &= is_held;
            if let Some(record) = record.filter(|record| is_held && record.answer.is_none()) {
                record.answer = Some(answer);
                record.expires_at = expires_at;
            }
        }
        all
    }

    /// Forgets reservations that are still held by these commands and have no answer. One that was taken over is its
    /// first holder's no more, though the command is the same.
    pub(super) fn release(&mut self, keys: &[(KeyHash, CommandId)]) {
        for (key, command) in keys {
            let held = |record: &StoredKey| {
                record.command_id == *command && record.answer.is_none() && record.touched_at == record.reserved_at
            };
            if self.records.get(key).is_some_and(held) {
                self.records.remove(key);
            }
        }
    }
}

impl StoredKey {
    fn new(item: &Reserve) -> Self {
        Self {
            fingerprint: item.idempotency.fingerprint,
            command_id: item.command_id,
            reserved_at: item.now,
            touched_at: item.now,
            expires_at: item.expires_at,
            answer: None,
        }
    }
}
