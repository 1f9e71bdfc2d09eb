//! The embedded broker: partitions in memory, with Kafka's rules.
//!
//! Key = wallet, partition = hash of the key, order within a partition, delivery at least once: what a consumer has
//! not passed is delivered again after a restart. The offset of a message is its event's position in the log. Messages
//! stay decoded; the newest are kept in memory, older ones are read from the outbox, so a consumer that lags, or a broker
//! that has just started, loses nothing (INV-06, INV-07).
//!
//! A published event is kept by the outbox already, so publishing acknowledges everything, and again what it has seen.

pub mod kafka;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::event::Recorded;
use wallex_core::id::Position;
use wallex_core::projector::{Consumer, Message, message_of};

use crate::database::{DatabaseError, SqliteDatabase};
use ring::Ring;

/// Messages kept in memory.
pub const MESSAGES_KEPT_MAX: usize = 65_536;
/// Outbox rows looked at in one question.
const ROWS_READ_MAX: usize = 8_192;

/// The partitions; cheap to clone.
#[derive(Clone)]
pub struct Broker {
    database: SqliteDatabase,
    ring: Arc<Mutex<Ring>>,
    published: Arc<watch::Sender<Position>>,
}

impl Broker {
    /// A broker that has nothing in memory: what was published before stands in the outbox.
    ///
    /// # Errors
    /// When the database does not say how far that is.
    pub async fn start(database: SqliteDatabase) -> Result<Self, DatabaseError> {
        Self::with_capacity(database, MESSAGES_KEPT_MAX).await
    }

    /// Like [`Broker::start`], with another number of messages in memory.
    ///
    /// # Errors
    /// When the database does not say how far it was published.
    pub async fn with_capacity(database: SqliteDatabase, messages: usize) -> Result<Self, DatabaseError> {
        let (published, ends) = database.published_end().await?;
        let ring = Arc::new(Mutex::new(Ring::new(messages, published, ends)));
        Ok(Self { database, ring, published: Arc::new(watch::Sender::new(published)) })
    }

    /// Ticks when messages arrive; the value is the position of the last one.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Position> {
        self.published.subscribe()
    }

    /// Takes events, in order of position. For each, nothing when it is acknowledged, else why not.
    pub fn publish(&self, events: &[Recorded]) -> Vec<Option<Failure>> {
        let last = {
            let mut ring = self.ring();
            for Recorded { position, event } in events {
                ring.push(*position, || message_of(*position, event.clone()));
            }
            ring.last()
        };
        self.published.send_replace(last);
        vec![None; events.len()]
    }

    /// Messages that are there now, after the last offset taken of each partition. Within a partition they are in order
    /// and without a gap. None is an answer too.
    ///
    /// # Errors
    /// When older messages have to be read from the outbox and the database fails.
    pub async fn fetch(
        &self,
        _consumer: Consumer,
        after: &[(u16, u64)],
        limit: usize,
    ) -> Result<Vec<Message>, DatabaseError> {
        let old: Vec<(u16, u64)> = {
            let ring = self.ring();
            let (old, recent): (Vec<_>, Vec<_>) = after.iter().partition(|(one, offset)| ring.must_read(*one, *offset));
            if old.is_empty() {
                return Ok(ring.after(&recent, limit));
            }
            old
        };
        // Partitions that lag take no more than their share, so that they do not hold up the others.
        let share = (limit * old.len() / after.len()).max(1);
        let mut messages = self.read(&old, share).await?;
        let rest = limit.saturating_sub(messages.len());
        let ring = self.ring();
        // Memory has moved on meanwhile: a partition that now needs the outbox waits for the next fetch.
        let recent = after.iter().filter(|one| !old.contains(one) && !ring.must_read(one.0, one.1));
        messages.extend(ring.after(&recent.copied().collect::<Vec<_>>(), rest));
        Ok(messages)
    }

    /// Reads messages that are not in memory from the outbox.
    async fn read(&self, after: &[(u16, u64)], limit: usize) -> Result<Vec<Message>, DatabaseError> {
        let up_to = self.ring().floor();
        let wanted = |partition: u16, position: Position| {
            after.iter().any(|(wanted, offset)| *wanted == partition && position.0 > *offset)
        };
        let mut from = Position(after.iter().map(|(_, offset)| *offset).min().unwrap_or(0));
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let (rows, next) = self.database.published(from, up_to, ROWS_READ_MAX, wanted).await?;
            messages.extend(rows.into_iter().map(|row| message_of(row.position, row.event)));
            match next {
                Some(next) if messages.len() < limit => from = next,
                Some(_) => break,
                None => {
                    self.ring().read_up_to(up_to, after, &messages);
                    break;
                }
            }
        }
        messages.truncate(limit);
        Ok(messages)
    }

    /// Performs [`Effect::Publish`], [`Effect::PublishDead`] and [`Effect::Fetch`]; nothing for other effects.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Publish(id, events) => Some(Input::Published(id, Completion::Done(self.publish(&events)))),
            // The table of dead letters is all there is of them here.
            Effect::PublishDead(id, _) => Some(Input::DeadPublished(id, Completion::Done(()))),
            Effect::Fetch { effect, consumer, after, limit } => {
                let completion = match self.fetch(consumer, &after, limit).await {
                    Ok(messages) => Completion::Done(messages),
                    Err(error) => {
                        Completion::Failed(Failure { kind: FailureKind::Unavailable, reason: error.to_string() })
                    }
                };
                Some(Input::Fetched(effect, completion))
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::LoadFeederCheckpoint(_)
            | Effect::ReadLog { .. }
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::LoadVersions { .. }
            | Effect::ReadStream { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => None,
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
