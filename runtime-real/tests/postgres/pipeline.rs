//! Effects as the pipeline's machines ask for them, over a small log.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex::database::PostgresDatabase;
use wallex_contracts::database::{Log, at, changes, entries};
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, EventId, Position};
use wallex_core::projector::{Consumer, HeldEvent, Projection, partition_of};

pub(crate) const EFFECT: EffectId = EffectId(7);

pub(crate) async fn write(database: &PostgresDatabase, expected: u64, events: &[Recorded]) -> Completion<()> {
    let checkpoint = events.last().map_or(Position(expected), |last| last.position);
    let (expected, events) = (Position(expected), Arc::new(events.to_vec()));
    match database.perform(Effect::WriteOutbox { effect: EFFECT, expected, events, checkpoint }).await {
        Some(Input::OutboxWritten(EFFECT, completion)) => completion,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn feeder(database: &PostgresDatabase) -> Completion<Position> {
    match database.perform(Effect::LoadFeederCheckpoint(EFFECT)).await {
        Some(Input::FeederCheckpoint(EFFECT, completion)) => completion,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn mark(
    database: &PostgresDatabase,
    expected: u64,
    checkpoint: u64,
    held: Vec<HeldEvent>,
    released: Vec<EventId>,
) -> Completion<()> {
    let (expected, checkpoint, effect) = (Position(expected), Position(checkpoint), EFFECT);
    let at = at(1_000);
    match database.perform(Effect::MarkPublished { effect, expected, checkpoint, at, held, released }).await {
        Some(Input::PublishedMarked(EFFECT, completion)) => completion,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn project(
    database: &PostgresDatabase,
    consumer: Consumer,
    changes: Projection,
    checkpoints: Vec<(u16, u64, u64)>,
    held: Vec<HeldEvent>,
) -> Completion<()> {
    let (effect, at, released) = (EFFECT, at(2_000), Vec::new());
    match database.perform(Effect::Project { effect, consumer, changes, checkpoints, held, released, at }).await {
        Some(Input::Projected(EFFECT, completion)) => completion,
        other => panic!("{other:?}"),
    }
}

/// Takes events through a projector, from its checkpoints as they are. Offsets are the broker's, not positions.
pub(crate) async fn take(database: &PostgresDatabase, consumer: Consumer, events: &[Recorded]) {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for row in events {
        *counts.entry(partition_of(&row.event.wallet_id)).or_default() += 1;
    }
    let effect = Effect::LoadProgress { effect: EFFECT, consumer, partitions: counts.keys().copied().collect() };
    let Some(Input::Progress(EFFECT, Completion::Done(progress))) = database.perform(effect).await else { panic!() };
    let checkpoints =
        progress.iter().map(|one| (one.partition, one.offset, one.offset + counts[&one.partition])).collect();
    let rows = match consumer {
        Consumer::ReadModel => Projection::ReadModel(changes(events)),
        Consumer::Ledger | Consumer::Relay => Projection::Ledger(entries(events)),
    };
    assert_eq!(project(database, consumer, rows, checkpoints, Vec::new()).await, Completion::Done(()));
}

/// Takes the events of a log after `from` rows through the whole pipeline.
pub(crate) async fn take_all(database: &PostgresDatabase, log: &Log, from: usize) {
    let before = if from == 0 { 0 } else { log.row(from - 1).position.0 };
    let events = &log.rows[from..];
    assert_eq!(write(database, before, events).await, Completion::Done(()));
    assert_eq!(mark(database, before, log.end().0, Vec::new(), Vec::new()).await, Completion::Done(()));
    take(database, Consumer::ReadModel, events).await;
    take(database, Consumer::Ledger, events).await;
}
