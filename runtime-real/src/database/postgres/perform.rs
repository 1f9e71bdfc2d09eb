//! Effects of the pipeline and of the idempotency port, each performed in one transaction.
//!
//! Rows, what is set aside and the checkpoint change together, and not at all when the checkpoint is elsewhere (INV-06,
//! INV-08, INV-11). Only a reservation has a second transaction: for keys that are not new (INV-05). Owns which effect
//! must be synced to count; the statements are in the file of each table.

use sqlx::postgres::PgConnection;
use wallex_core::command::KeyHash;
use wallex_core::effect::{Completion, Effect, Input, RelayProgress, Reservation, Reserve};
use wallex_core::event::Recorded;
use wallex_core::id::{CommandId, EventId, Position, Version, WalletId};
use wallex_core::projector::{Consumer, HeldEvent, Projection};
use wallex_core::time::Timestamp;

use super::error::Stop;
use super::transaction::{Durability, ask, run, run_one};
use super::{PostgresDatabase, checkpoints, held, keys, ledger, outbox, read_model};
use crate::database::{FEEDER, now};

impl PostgresDatabase {
    /// Performs an effect of the feeder, the relay or a projector, or one on idempotency keys, and gives its completion;
    /// nothing for effects that are not the database's or need no completion.
    ///
    /// What was written is there when the completion says `Done`, all of it or none (what is made from the log,
    /// a crash of the server may take back together with its checkpoint): a checkpoint that is not where the
    /// effect expects it is `Conflict`, rows that contradict what is stored are `Failed(Rejected)`, trouble of the
    /// database is `Failed(Unavailable)`, and a COMMIT without a clear answer is `Unknown`.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        let pool = &self.pool;
        Some(match effect {
            Effect::Reserve(id, items) => Input::Reserved(id, self.reserve(&items).await),
            Effect::StoreAnswers(id, records) => {
                let work = async |connection: &mut PgConnection| keys::store(connection, &records).await;
                let stored = if keys::are_vouched_for(&records) {
                    run_one(pool, work).await
                } else {
                    run(pool, Durability::Synced, work).await
                };
                let stored = match stored {
                    Completion::Done(true) => Completion::Done(()),
                    Completion::Done(false) | Completion::Conflict => Completion::Conflict,
                    Completion::Failed(failure) => Completion::Failed(failure),
                    Completion::Unknown => Completion::Unknown,
                };
                Input::AnswersStored(id, stored)
            }
            Effect::ReleaseKeys(released) => {
                self.release_keys(released).await;
                return None;
            }
            Effect::LoadFeederCheckpoint(id) => {
                let question = async |connection: &mut PgConnection| checkpoints::read(connection, FEEDER).await;
                Input::FeederCheckpoint(id, ask(pool, question).await)
            }
            Effect::WriteOutbox { effect, expected, events, checkpoint } => {
                Input::OutboxWritten(effect, self.write_outbox(expected, &events, checkpoint).await)
            }
            Effect::LoadRelayProgress(id) => Input::RelayProgress(id, self.relay_progress().await),
            Effect::ReadOutbox { effect, after, limit } => {
                let question = async |connection: &mut PgConnection| outbox::read(connection, after, limit).await;
                Input::OutboxRead(effect, ask(pool, question).await)
            }
            Effect::MarkPublished { effect, expected, checkpoint, at, held, released } => {
                let marked = self.mark_published(expected, checkpoint, at, &held, &released).await;
                Input::PublishedMarked(effect, marked)
            }
            Effect::LoadProgress { effect, consumer, partitions } => {
                let question = async |connection: &mut PgConnection| {
                    checkpoints::progress(connection, consumer, &partitions).await
                };
                Input::Progress(effect, ask(pool, question).await)
            }
            Effect::LoadVersions { effect, consumer, wallets } => {
                Input::Versions(effect, self.versions(consumer, &wallets).await)
            }
            Effect::Project { effect, consumer, changes, checkpoints, held, released, at } => {
                let step = Step { consumer, checkpoints, held, released, at };
                Input::Projected(effect, self.project(&changes, step).await)
            }
            Effect::LoadHeld { effect, consumer, wallet } => {
                let question = async |connection: &mut PgConnection| held::load(connection, consumer, &wallet).await;
                Input::HeldLoaded(effect, ask(pool, question).await)
            }
            Effect::Reply { .. }
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::PublishDead(..)
            | Effect::ReadLog { .. }
            | Effect::Publish(..)
            | Effect::Fetch { .. }
            | Effect::ReadStream { .. } => return None,
        })
    }

    /// Nearly every key is new, and then one statement is all.
    async fn reserve(&self, items: &[Reserve]) -> Completion<Vec<Reservation>> {
        let insert = async |connection: &mut PgConnection| keys::reserve_new(connection, items).await;
        let new = match run_one(&self.pool, insert).await {
            Completion::Done(new) if new.len() == items.len() => {
                return Completion::Done(vec![Reservation::New; items.len()]);
            }
            Completion::Done(new) => new,
            Completion::Conflict => return Completion::Conflict,
            Completion::Failed(failure) => return Completion::Failed(failure),
            Completion::Unknown => return Completion::Unknown,
        };
        let others = async |connection: &mut PgConnection| keys::reserve(connection, items, &new).await;
        match run(&self.pool, Durability::Synced, others).await {
            // Some are reserved, whatever became of the others.
            Completion::Failed(_) | Completion::Conflict if !new.is_empty() => Completion::Unknown,
            done @ (Completion::Done(_) | Completion::Conflict | Completion::Failed(_) | Completion::Unknown) => done,
        }
    }

    async fn release_keys(&self, released: Vec<(KeyHash, CommandId)>) {
        let work = async |connection: &mut PgConnection| keys::release(connection, &released).await;
        let completion = run_one(&self.pool, work).await;
        if completion != Completion::Done(()) {
            // They stay reserved until their attempt counts as dead.
            tracing::warn!(keys = released.len(), ?completion, "idempotency keys were not released");
        }
    }

    async fn write_outbox(&self, expected: Position, events: &[Recorded], checkpoint: Position) -> Completion<()> {
        let work = async |connection: &mut PgConnection| {
            checkpoints::advance(connection, FEEDER, expected, checkpoint, now()).await?;
            outbox::insert(connection, events).await
        };
        run(&self.pool, Durability::Redone, work).await
    }

    async fn relay_progress(&self) -> Completion<RelayProgress> {
        // The checkpoint first: a wallet that another instance sets aside in between comes with a later checkpoint, and
        // whoever goes on from this one meets a conflict.
        let question = async |connection: &mut PgConnection| {
            let checkpoint = checkpoints::read(connection, Consumer::Relay.name()).await?;
            Ok(RelayProgress { checkpoint, held_wallets: held::wallets(connection, Consumer::Relay).await? })
        };
        ask(&self.pool, question).await
    }

    async fn mark_published(
        &self,
        expected: Position,
        checkpoint: Position,
        at: Timestamp,
        held: &[HeldEvent],
        released: &[EventId],
    ) -> Completion<()> {
        let work = async |connection: &mut PgConnection| {
            let relay = Consumer::Relay;
            checkpoints::advance(connection, relay.name(), expected, checkpoint, at).await?;
            outbox::record_published(connection, expected, checkpoint, at).await?;
            held::release(connection, relay, released).await?;
            held::hold(connection, held, at).await
        };
        run(&self.pool, durability(held, released), work).await
    }

    async fn versions(&self, consumer: Consumer, wallets: &[WalletId]) -> Completion<Vec<Version>> {
        let question = async |connection: &mut PgConnection| match consumer {
            Consumer::ReadModel => read_model::versions(connection, wallets).await,
            Consumer::Ledger => ledger::versions(connection, wallets).await,
            Consumer::Relay => Err(Stop::Rejected("the relay projects nothing, so it has no versions".to_owned())),
        };
        ask(&self.pool, question).await
    }

    async fn project(&self, changes: &Projection, step: Step) -> Completion<()> {
        let work = async |connection: &mut PgConnection| {
            step.write(connection, changes).await?;
            match changes {
                Projection::ReadModel(changes) => read_model::apply(connection, changes, step.at).await,
                Projection::Ledger(entries) => ledger::insert(connection, entries, step.at).await,
            }
        };
        let completion = run(&self.pool, durability(&step.held, &step.released), work).await;
        if let (Completion::Done(()), Projection::ReadModel(changes)) = (&completion, changes) {
            self.waiting.projected(changes);
        }
        completion
    }
}

/// What follows from the log or the topic and moves a checkpoint with it is done again when a crash takes both back: the
/// machine meets a conflict at its next step, or begins at the older checkpoint. What an operator ordered, or what was
/// announced as a dead letter, is not taken back.
fn durability(held: &[HeldEvent], released: &[EventId]) -> Durability {
    if held.is_empty() && released.is_empty() { Durability::Redone } else { Durability::Synced }
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
    async fn write(&self, connection: &mut PgConnection, changes: &Projection) -> Result<(), Stop> {
        let applied = match changes {
            Projection::ReadModel(changes) => read_model::events(changes),
            Projection::Ledger(entries) => ledger::events(entries),
        };
        checkpoints::advance_partitions(connection, self.consumer, &self.checkpoints, applied, self.at).await?;
        held::release(connection, self.consumer, &self.released).await?;
        held::hold(connection, &self.held, self.at).await
    }
}
