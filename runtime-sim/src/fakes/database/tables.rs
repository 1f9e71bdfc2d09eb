//! All tables, and the one transaction that each effect is.
//!
//! Effects that are not the database's come to nothing. Says whether something was written, so that the module above
//! knows what a power cut may take; when it does, and whose answers are lost, is left to the world.

use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

use super::held::Held;
use super::keys::Keys;
use super::outbox::Outbox;
use super::projection::Projections;
use crate::fakes::Poison;

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) outbox: Outbox,
    pub(super) projections: Projections,
    pub(super) held: Held,
    pub(super) keys: Keys,
}

/// What an effect came to.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) input: Option<Input>,
    pub(super) has_written: bool,
}

/// Why a transaction is rolled back.
#[derive(Debug)]
pub(super) enum Stop {
    /// A checkpoint is elsewhere.
    Conflict,
    /// Rows contradict what is stored.
    Rejected(String),
}

fn read(input: Input) -> Performed {
    Performed { input: Some(input), has_written: false }
}

fn wrote(result: Result<(), Stop>, input: impl FnOnce(Completion<()>) -> Input) -> Performed {
    let has_written = result.is_ok();
    let completion = match result {
        Ok(()) => Completion::Done(()),
        Err(Stop::Conflict) => Completion::Conflict,
        Err(Stop::Rejected(reason)) => Completion::Failed(Failure { kind: FailureKind::Rejected, reason }),
    };
    Performed { input: Some(input(completion)), has_written }
}

impl Tables {
    pub(super) fn perform(&mut self, now: Timestamp, effect: Effect, poison: &Poison) -> Performed {
        match effect {
            Effect::Reserve(id, items) => {
                let found = Completion::Done(self.keys.reserve(now, &items));
                Performed { input: Some(Input::Reserved(id, found)), has_written: true }
            }
            Effect::StoreAnswers(id, records) => {
                let completion = if self.keys.store(records) { Completion::Done(()) } else { Completion::Conflict };
                Performed { input: Some(Input::AnswersStored(id, completion)), has_written: true }
            }
            Effect::ReleaseKeys(keys) => {
                self.keys.release(&keys);
                Performed { input: None, has_written: true }
            }
            Effect::LoadFeederCheckpoint(id) => {
                read(Input::FeederCheckpoint(id, Completion::Done(self.outbox.feeder())))
            }
            Effect::WriteOutbox { effect, expected, events, checkpoint } => {
                let result = self.outbox.write(expected, &events, checkpoint);
                wrote(result, |completion| Input::OutboxWritten(effect, completion))
            }
            Effect::LoadRelayProgress(id) => {
                let progress = self.outbox.progress(self.held.wallets(Consumer::Relay));
                read(Input::RelayProgress(id, Completion::Done(progress)))
            }
            Effect::ReadOutbox { effect, after, limit } => {
                read(Input::OutboxRead(effect, Completion::Done(self.outbox.read(after, limit))))
            }
            Effect::MarkPublished { effect, expected, checkpoint, at, held, released } => {
                let result = self.outbox.mark(expected, checkpoint, at);
                if result.is_ok() {
                    self.held.exchange(Consumer::Relay, &released, held);
                }
                wrote(result, |completion| Input::PublishedMarked(effect, completion))
            }
            Effect::LoadProgress { effect, consumer, partitions } => {
                let progress = self.projections.progress(consumer, &partitions, &self.held);
                read(Input::Progress(effect, Completion::Done(progress)))
            }
            Effect::LoadVersions { effect, consumer, wallets } => {
                read(Input::Versions(effect, self.projections.versions(consumer, &wallets)))
            }
            Effect::Project { effect, consumer, changes, checkpoints, held, released, at: _ } => {
                let result = self.projections.project(consumer, changes, &checkpoints, poison);
                if result.is_ok() {
                    self.held.exchange(consumer, &released, held);
                }
                wrote(result, |completion| Input::Projected(effect, completion))
            }
            Effect::LoadHeld { effect, consumer, wallet } => {
                read(Input::HeldLoaded(effect, Completion::Done(self.held.load(consumer, &wallet))))
            }
            Effect::Reply { .. }
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::ReadLog { .. }
            | Effect::Publish(..)
            | Effect::PublishDead(..)
            | Effect::Fetch { .. }
            | Effect::ReadStream { .. } => Performed { input: None, has_written: false },
        }
    }
}
