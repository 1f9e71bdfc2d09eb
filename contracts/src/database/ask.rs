//! Effects with their completions taken out of the input that carries them.
//!
//! One function for each effect, so that the statements in `outbox` and `projections` read as what they claim. A read
//! must be done; a write gives its completion, because conflicts and refusals are what statements are about. The
//! completion of another effect fails the statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input, RelayProgress};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, EventId, Position, Version};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{
    Consumer, DeadLetter, HeldEvent, PartitionProgress, Projection, WalletChange, partition_of,
};

use super::log::{at, changes, entries, id};
use crate::Port;

const EFFECT: EffectId = EffectId(7);

macro_rules! ask {
    ($port:expr, $effect:expr, $input:path) => {
        match $port.perform($effect).await {
            Some($input(EFFECT, completion)) => completion,
            other => panic!("not the completion of this effect: {other:?}"),
        }
    };
}

pub(super) async fn write(port: &impl Port, expected: u64, events: &[Recorded]) -> Completion<()> {
    let checkpoint = events.last().map_or(Position(expected), |last| last.position);
    let (expected, events) = (Position(expected), Arc::new(events.to_vec()));
    ask!(port, Effect::WriteOutbox { effect: EFFECT, expected, events, checkpoint }, Input::OutboxWritten)
}

pub(super) async fn feeder(port: &impl Port) -> Position {
    done(ask!(port, Effect::LoadFeederCheckpoint(EFFECT), Input::FeederCheckpoint))
}

pub(super) async fn read(port: &impl Port, after: u64, limit: usize) -> Vec<Recorded> {
    done(ask!(port, Effect::ReadOutbox { effect: EFFECT, after: Position(after), limit }, Input::OutboxRead))
}

pub(super) async fn mark(
    port: &impl Port,
    expected: u64,
    checkpoint: u64,
    held: Vec<HeldEvent>,
    released: Vec<EventId>,
) -> Completion<()> {
    let (effect, at) = (EFFECT, at(1_000));
    let (expected, checkpoint) = (Position(expected), Position(checkpoint));
    ask!(port, Effect::MarkPublished { effect, expected, checkpoint, at, held, released }, Input::PublishedMarked)
}

pub(super) async fn relay(port: &impl Port) -> RelayProgress {
    done(ask!(port, Effect::LoadRelayProgress(EFFECT), Input::RelayProgress))
}

/// What a projector writes in one transaction.
#[derive(Default)]
pub(super) struct Step {
    pub(super) checkpoints: Vec<(u16, u64, u64)>,
    pub(super) held: Vec<HeldEvent>,
    pub(super) released: Vec<EventId>,
}

pub(super) async fn project(port: &impl Port, consumer: Consumer, changes: Projection, step: Step) -> Completion<()> {
    let Step { checkpoints, held, released } = step;
    let (effect, at) = (EFFECT, at(2_000));
    ask!(port, Effect::Project { effect, consumer, changes, checkpoints, held, released, at }, Input::Projected)
}

/// The rows that a consumer makes of events.
pub(super) fn rows(consumer: Consumer, events: &[Recorded]) -> Projection {
    match consumer {
        Consumer::ReadModel => Projection::ReadModel(changes(events)),
        Consumer::Ledger | Consumer::Relay => Projection::Ledger(entries(events)),
    }
}

/// No rows of a consumer.
pub(super) fn no_rows(consumer: Consumer) -> Projection {
    rows(consumer, &[])
}

/// Moves from zero in the partitions of these events, to the position of the last event in each.
pub(super) fn from_zero(events: &[Recorded]) -> Vec<(u16, u64, u64)> {
    let mut ends: BTreeMap<u16, u64> = BTreeMap::new();
    for row in events {
        ends.insert(partition_of(&row.event.wallet_id), row.position.0);
    }
    ends.into_iter().map(|(partition, end)| (partition, 0, end)).collect()
}

pub(super) async fn progress(port: &impl Port, consumer: Consumer) -> Vec<PartitionProgress> {
    let partitions = (0..PARTITIONS).collect();
    done(ask!(port, Effect::LoadProgress { effect: EFFECT, consumer, partitions }, Input::Progress))
}

/// The offset that a consumer reached in the partition of a wallet.
pub(super) async fn offset(port: &impl Port, consumer: Consumer, wallet: &str) -> u64 {
    let partition = partition_of(&id(wallet));
    let all = progress(port, consumer).await;
    all.iter().find(|one| one.partition == partition).expect("every partition has an answer").offset
}

pub(super) async fn versions(port: &impl Port, consumer: Consumer, names: &[&str]) -> Vec<u64> {
    let wallets = names.iter().map(|name| id(name)).collect();
    let found = done(ask!(port, Effect::LoadVersions { effect: EFFECT, consumer, wallets }, Input::Versions));
    found.into_iter().map(|Version(version)| version).collect()
}

pub(super) async fn held(port: &impl Port, consumer: Consumer, wallet: &str) -> Vec<HeldEvent> {
    done(ask!(port, Effect::LoadHeld { effect: EFFECT, consumer, wallet: id(wallet) }, Input::HeldLoaded))
}

/// An event that a consumer sets aside: dead with a reason, waiting without.
pub(super) fn set_aside(consumer: Consumer, row: &Recorded, reason: Option<&str>) -> HeldEvent {
    HeldEvent {
        consumer,
        wallet_id: row.event.wallet_id.clone(),
        event_id: row.event.event_id,
        version: row.event.version,
        partition: partition_of(&row.event.wallet_id),
        offset: row.position.0,
        event: Some(row.event.clone()),
        dead: reason.map(|reason| DeadLetter { reason: reason.to_owned(), attempts: 8 }),
    }
}

pub(super) fn done<T: std::fmt::Debug>(completion: Completion<T>) -> T {
    match completion {
        Completion::Done(value) => value,
        other @ (Completion::Conflict | Completion::Failed(_) | Completion::Unknown) => panic!("not done: {other:?}"),
    }
}

/// Asserts that the request itself was refused: a repetition would be, too.
pub(super) fn assert_rejected(completion: &Completion<()>) {
    let rejected = matches!(completion, Completion::Failed(Failure { kind: FailureKind::Rejected, .. }));
    assert!(rejected, "not rejected: {completion:?}");
}

/// The wallet that an update is about.
pub(super) fn update_of(name: &str, all: Vec<WalletChange>) -> Projection {
    let of_wallet = |change: &WalletChange| match change {
        WalletChange::Insert(wallet) => wallet.id == id(name),
        WalletChange::Update { wallet_id, .. } => *wallet_id == id(name),
    };
    Projection::ReadModel(all.into_iter().filter(of_wallet).collect())
}
