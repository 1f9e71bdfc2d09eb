//! Effects of the pipeline, each performed in one transaction.
//!
//! Rows, what is set aside and the checkpoint change together, and not at all when the checkpoint is elsewhere (INV-06,
//! INV-08, INV-11). Everything goes through the one writer, reads of effects too; the statements are in the file of
//! each table. Idempotency keys are not here: the embedded profile keeps them in the journal.

use sqlx::sqlite::SqliteConnection;
use wallex_core::effect::{Completion, Effect, Input, RelayProgress};
use wallex_core::event::Recorded;
use wallex_core::id::{EventId, Position, Version, WalletId};
use wallex_core::projector::{Consumer, HeldEvent, PartitionProgress, Projection};
use wallex_core::time::Timestamp;

use super::error::Stop;
use super::known::Known;
use super::{SqliteDatabase, checkpoints, held, ledger, outbox, read_model};
use crate::database::{FEEDER, now};

impl SqliteDatabase {
    /// Performs an effect of the feeder, the relay or a projector, and gives its completion; nothing for effects that
    /// are not the database's.
    ///
    /// What was written is there when the completion says `Done`, all of it or none: a checkpoint that is not where the
    /// effect expects it is `Conflict`, rows that contradict what is stored are `Failed(Rejected)`, trouble of the
    /// database is `Failed(Unavailable)`, and a COMMIT without a clear answer is `Unknown`.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        Some(match effect {
            Effect::LoadFeederCheckpoint(id) => Input::FeederCheckpoint(id, self.feeder_checkpoint().await),
            Effect::WriteOutbox { effect, expected, events, checkpoint } => {
                Input::OutboxWritten(effect, self.write_outbox(expected, &events, checkpoint).await)
            }
            Effect::LoadRelayProgress(id) => Input::RelayProgress(id, self.relay_progress().await),
            Effect::ReadOutbox { effect, after, limit } => {
                Input::OutboxRead(effect, self.read_outbox(after, limit).await)
            }
            Effect::MarkPublished { effect, expected, checkpoint, at, held, released } => {
                let marked = self.mark_published(expected, checkpoint, at, &held, &released).await;
                Input::PublishedMarked(effect, marked)
            }
            Effect::LoadProgress { effect, consumer, partitions } => {
                Input::Progress(effect, self.progress(consumer, &partitions).await)
            }
            Effect::LoadVersions { effect, consumer, wallets } => {
                Input::Versions(effect, self.versions(consumer, &wallets).await)
            }
            Effect::Project { effect, consumer, changes, checkpoints, held, released, at } => {
                let step = Step { consumer, checkpoints, held, released, at };
                Input::Projected(effect, self.project(&changes, step).await)
            }
            Effect::LoadHeld { effect, consumer, wallet } => {
                Input::HeldLoaded(effect, self.load_held(consumer, &wallet).await)
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
            | Effect::PublishDead(..)
            | Effect::ReadLog { .. }
            | Effect::Publish(..)
            | Effect::Fetch { .. }
            | Effect::ReadStream { .. } => return None,
        })
    }

    async fn feeder_checkpoint(&self) -> Completion<Position> {
        self.writer.ask(async |connection, _| checkpoints::read(connection, FEEDER).await).await
    }

    async fn write_outbox(&self, expected: Position, events: &[Recorded], checkpoint: Position) -> Completion<()> {
        let work = async |connection: &mut SqliteConnection, known: &mut Known| {
            let at = now();
            checkpoints::advance(connection, FEEDER, 0, expected.0, checkpoint.0, at).await?;
            outbox::insert(connection, known, events).await
        };
        self.writer.run(work).await
    }

    async fn relay_progress(&self) -> Completion<RelayProgress> {
        let question = async |connection: &mut SqliteConnection, _: &mut Known| {
            Ok(RelayProgress {
                checkpoint: checkpoints::read(connection, Consumer::Relay.name()).await?,
                held_wallets: held::wallets(connection, Consumer::Relay).await?,
            })
        };
        self.writer.ask(question).await
    }

    async fn read_outbox(&self, after: Position, limit: usize) -> Completion<Vec<Recorded>> {
        self.writer.ask(async |connection, _| Ok(outbox::read(connection, after, limit).await?)).await
    }

    async fn mark_published(
        &self,
        expected: Position,
        checkpoint: Position,
        at: Timestamp,
        held: &[HeldEvent],
        released: &[EventId],
    ) -> Completion<()> {
        let work = async |connection: &mut SqliteConnection, _: &mut Known| {
            let relay = Consumer::Relay;
            checkpoints::advance(connection, relay.name(), 0, expected.0, checkpoint.0, at).await?;
            outbox::record_published(connection, expected, checkpoint, at).await?;
            held::release(connection, relay, released).await?;
            Ok(held::hold(connection, held, at).await?)
        };
        self.writer.run(work).await
    }

    async fn progress(&self, consumer: Consumer, partitions: &[u16]) -> Completion<Vec<PartitionProgress>> {
        self.writer.ask(async |connection, _| checkpoints::progress(connection, consumer, partitions).await).await
    }

    async fn versions(&self, consumer: Consumer, wallets: &[WalletId]) -> Completion<Vec<Version>> {
        let question = async |connection: &mut SqliteConnection, known: &mut Known| match consumer {
            Consumer::ReadModel => Ok(read_model::versions(connection, wallets).await?),
            Consumer::Ledger => Ok(ledger::versions(connection, known, wallets).await?),
            Consumer::Relay => Err(Stop::Rejected("the relay projects nothing, so it has no versions".to_owned())),
        };
        self.writer.ask(question).await
    }

    async fn project(&self, changes: &Projection, step: Step) -> Completion<()> {
        let work = async |connection: &mut SqliteConnection, known: &mut Known| {
            step.write(connection).await?;
            match changes {
                Projection::ReadModel(changes) => read_model::apply(connection, &mut known.numbers, changes).await,
                Projection::Ledger(entries) => ledger::insert(connection, known, entries).await,
            }
        };
        let completion = self.writer.run(work).await;
        if let (Completion::Done(()), Projection::ReadModel(changes)) = (&completion, changes) {
            self.waiting.projected(changes);
        }
        completion
    }

    async fn load_held(&self, consumer: Consumer, wallet: &WalletId) -> Completion<Vec<HeldEvent>> {
        self.writer.ask(async |connection, _| held::load(connection, consumer, wallet).await).await
    }
}

/// What a projector's transaction writes beside its rows.
struct Step {
    consumer: Consumer,
    checkpoints: Vec<(u16, u64, u64)>,
    held: Vec<HeldEvent>,
    released: Vec<EventId>,
    at: Timestamp,
}

impl Step {
    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), Stop> {
        let Self { consumer, at, .. } = *self;
        checkpoints::advance_all(connection, consumer, &self.checkpoints, at).await?;
        held::release(connection, consumer, &self.released).await?;
        Ok(held::hold(connection, &self.held, at).await?)
    }
}
