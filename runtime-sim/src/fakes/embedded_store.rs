//! The embedded event store: the very journal of the service, on a disk that can fail (INV-04, INV-14).
//!
//! Performs the event store's effects and, as idempotency records are part of the append here, the look-up of keys.
//! What is not synced is lost or torn when the power goes ([`EmbeddedStore::power_cut`]): the next life opens what the
//! disk is found with.

use std::sync::Arc;

use wallex_core::effect::{Append, Completion, Effect, Failure, FailureKind, Input, Reservation};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, Position};
use wallex_core::time::Timestamp;
use wallex_journal::{Journal, JournalError, Options, Recovery};

use super::Disk;

/// A journal that is open, and its disk.
#[derive(Debug)]
pub struct EmbeddedStore {
    journal: Journal<Disk>,
    disk: Disk,
}

impl EmbeddedStore {
    /// Opens the journal on a disk.
    ///
    /// # Errors
    /// As [`Journal::open`]: damage that is no torn end, or a disk that fails.
    pub fn open(disk: Disk, segment_bytes: u64) -> Result<(Self, Recovery), JournalError> {
        let options = Options { segment_bytes, ..Options::default() };
        let (journal, recovery) = Journal::open(disk.clone(), options)?;
        Ok((Self { journal, disk }, recovery))
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The disk as the next life finds it; a seed says what of the unsynced is there.
    #[must_use]
    pub fn power_cut(self, seed: u64) -> Disk {
        self.disk.restart(seed)
    }

    /// Why the journal takes nothing more in this life, when it does not.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.journal.stopped()
    }

    /// The last durable event.
    #[must_use]
    pub fn position(&self) -> Position {
        self.journal.position()
    }

    /// Reads and checks everything that the journal has, what a snapshot covers too.
    ///
    /// # Errors
    /// When something is damaged.
    pub fn verify(&self) -> Result<(), JournalError> {
        self.journal.reader().verify().map(|_| ())
    }

    /// Everything that is durable, in order.
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub fn log(&self) -> Result<Vec<Recorded>, JournalError> {
        let mut log: Vec<Recorded> = Vec::new();
        loop {
            let after = log.last().map(|recorded| recorded.position).unwrap_or_default();
            let more = self.journal.reader().read_all(after, READ_MAX)?;
            if more.is_empty() {
                return Ok(log);
            }
            log.extend(more);
        }
    }

    /// What a service does in the background: the next segment, indexes, a snapshot.
    ///
    /// # Errors
    /// A disk that fails or is full. Nothing is lost then.
    pub fn maintain(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let maintenance = self.journal.maintenance();
        maintenance.prepare_next_segment()?;
        maintenance.build_indexes()?;
        maintenance.write_snapshot(now)?;
        self.journal.forget_expired_keys(now, READ_MAX);
        Ok(())
    }

    /// Appends what was decided in one turn with one sync.
    pub fn append(&mut self, now: Timestamp, group: &[(EffectId, Arc<Append>)]) -> Vec<Input> {
        let appends: Vec<&Append> = group.iter().map(|(_, append)| &**append).collect();
        let outcomes = self.journal.append(&appends, now);
        group.iter().zip(outcomes).map(|((effect, _), outcome)| Input::Appended(*effect, outcome)).collect()
    }

    /// Performs an effect; nothing for effects that have no completion or are not the event store's.
    pub fn perform(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
        let reader = self.journal.reader();
        Some(match effect {
            Effect::Append(id, append) => return self.append(now, &[(id, append)]).pop(),
            Effect::Reserve(id, items) => {
                let found = items.iter().map(|item| {
                    let stored = self.journal.reserve(&item.idempotency.key, now)?;
                    Ok(stored.map_or(Reservation::New, |(fingerprint, answer)| Reservation::Finished {
                        fingerprint,
                        answer,
                    }))
                });
                Input::Reserved(id, completion(found.collect()))
            }
            // Records are part of the append, and nothing is reserved.
            Effect::StoreAnswers(id, _) => Input::AnswersStored(id, Completion::Done(())),
            Effect::Load(id, loads) => {
                Input::Loaded(id, Completion::Done(loads.iter().map(|load| self.journal.load(load)).collect()))
            }
            Effect::FindCommand { effect, wallet, command, not_before } => {
                Input::Found(effect, completion(reader.find_command(&wallet, command, not_before)))
            }
            Effect::ReadLog { effect, after, limit } => {
                Input::LogRead(effect, completion(reader.read_all(after, limit)))
            }
            Effect::ReadStream { effect, wallet, from, to } => {
                let limit = usize::try_from((to.0 + 1).saturating_sub(from.0)).unwrap_or(usize::MAX);
                let events = reader.read_stream(&wallet, from, limit);
                let events = events.map(|events| events.into_iter().map(|recorded| recorded.event).collect());
                Input::StreamRead(effect, completion(events))
            }
            Effect::Reply { .. }
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::ReleaseKeys(_)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::LoadFeederCheckpoint(_)
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::Publish(..)
            | Effect::PublishDead(..)
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::Fetch { .. }
            | Effect::LoadVersions { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => return None,
        })
    }
}

/// Events or keys looked at in one step.
const READ_MAX: usize = 4_096;

fn completion<T>(result: Result<T, JournalError>) -> Completion<T> {
    match result {
        Ok(value) => Completion::Done(value),
        Err(error) => Completion::Failed(Failure { kind: FailureKind::Unavailable, reason: error.to_string() }),
    }
}
