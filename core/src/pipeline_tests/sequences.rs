//! Whole lists of effects of each machine of the pipeline, in order and to the last field, from its start until it has
//! nothing left to do.

use std::time::Duration;

use super::*;
use crate::id::EffectId;
use crate::projector::EntryKind;

/// Most events that any machine of the pipeline asks for at once.
const LIMIT: usize = 4_096;

/// A world in which the node runs one kind of machine only.
fn world(feeder: bool, relay: bool, projectors: bool) -> World {
    let mut world = World::new();
    world.config.roles = Roles { feeder, relay, projectors };
    world.node = Node::new(world.config.clone(), world.now);
    world
}

/// The events of wallets, at the positions from 1.
fn recorded(events: &[Event]) -> Vec<Recorded> {
    (1..).zip(events).map(|(at, event)| Recorded { position: Position(at), event: event.clone() }).collect()
}

/// Performs everything honestly for so long; gives every effect, in order.
fn effects_within(world: &mut World, duration: Duration) -> Vec<Effect> {
    let mut all = Vec::new();
    let end = world.now.plus(duration);
    loop {
        while let Some(effect) = world.node.poll_effect() {
            all.push(effect.clone());
            let input = world.perform(effect);
            world.node.handle(world.now, input);
        }
        match world.node.poll_timeout() {
            Some((at, _)) if at <= end => {
                world.now = at;
                world.node.handle_timeout(at);
            }
            Some(_) | None => return all,
        }
    }
}

/// Up to the first look at an idle source, and not to the second one.
const ONE_LOOK: Duration = Duration::from_millis(700);

#[test]
fn the_feeder_reads_its_checkpoint_then_the_log_and_writes_rows_with_the_checkpoint() {
    let mut world = world(true, false, false);
    world.log = recorded(&[event("a", 1), event("b", 1), event("a", 2)]);
    let events = Arc::new(world.log.clone());
    assert_eq!(
        effects_within(&mut world, ONE_LOOK),
        [
            Effect::LoadFeederCheckpoint(EffectId(9)),
            Effect::ReadLog { effect: EffectId(17), after: Position(0), limit: LIMIT },
            Effect::WriteOutbox { effect: EffectId(25), expected: Position(0), events, checkpoint: Position(3) },
            Effect::ReadLog { effect: EffectId(33), after: Position(3), limit: LIMIT },
        ]
    );
    assert_eq!((world.outbox, world.feeder), (world.log, Position(3)));
}

#[test]
fn the_relay_reads_its_progress_then_the_outbox_publishes_and_moves_its_checkpoint_after_that() {
    let mut world = world(false, true, false);
    world.outbox = recorded(&[event("a", 1), event("b", 1), event("a", 2)]);
    let (rows, at) = (Arc::new(world.outbox.clone()), world.now);
    assert_eq!(
        effects_within(&mut world, Duration::ZERO),
        [
            Effect::LoadRelayProgress(EffectId(10)),
            Effect::ReadOutbox { effect: EffectId(18), after: Position(0), limit: LIMIT },
            Effect::Publish(EffectId(26), rows),
            Effect::MarkPublished {
                effect: EffectId(34),
                expected: Position(0),
                checkpoint: Position(3),
                at,
                held: Vec::new(),
                released: Vec::new(),
            },
            // Somebody else may fill the outbox: the relay looks until it is empty.
            Effect::ReadOutbox { effect: EffectId(42), after: Position(3), limit: LIMIT },
        ]
    );
    assert_eq!((world.topic.len(), world.relay), (3, Position(3)));
}

#[test]
fn the_relay_publishes_what_the_feeder_wrote_without_reading_it_back() {
    let mut world = world(true, true, false);
    assert_eq!(
        effects_within(&mut world, Duration::ZERO),
        [
            Effect::LoadFeederCheckpoint(EffectId(9)),
            Effect::ReadLog { effect: EffectId(17), after: Position(0), limit: LIMIT },
            Effect::LoadRelayProgress(EffectId(10)),
            Effect::ReadOutbox { effect: EffectId(18), after: Position(0), limit: LIMIT },
        ]
    );
    world.happen("a");
    let (events, at) = (Arc::new(world.log.clone()), world.now);
    assert_eq!(
        effects_within(&mut world, Duration::ZERO),
        [
            Effect::ReadLog { effect: EffectId(25), after: Position(0), limit: LIMIT },
            Effect::WriteOutbox {
                effect: EffectId(33),
                expected: Position(0),
                events: Arc::clone(&events),
                checkpoint: Position(1),
            },
            Effect::Publish(EffectId(26), events),
            Effect::MarkPublished {
                effect: EffectId(34),
                expected: Position(0),
                checkpoint: Position(1),
                at,
                held: Vec::new(),
                released: Vec::new(),
            },
        ]
    );
}

/// A world whose topic has three messages of two wallets, in one consumer's partitions; and the checkpoints to be
/// written.
fn topic_for(consumer: Consumer) -> (World, Vec<(u16, u64, u64)>) {
    let mut world = world(false, false, true);
    world.log = recorded(&[event("a", 1), event("b", 1), event("a", 2)]);
    world.topic = world.log.iter().map(|one| message_of(one.position, one.event.clone())).collect();
    let [a, b] = ["a", "b"].map(|name| partition_of(&WalletId::parse(name).unwrap()));
    assert_ne!(a, b, "each wallet has a partition of its own");
    world.node.handle(world.now, Input::PartitionsAssigned(consumer, vec![a, b]));
    let mut checkpoints = vec![(a, 0, 3), (b, 0, 2)];
    checkpoints.sort_unstable();
    (world, checkpoints)
}

/// What a projector does from its start until it looks at an idle topic, with the rows that it writes.
fn projector_effects(
    consumer: Consumer,
    ids: [u64; 5],
    changes: Projection,
    at: Timestamp,
    checkpoints: Vec<(u16, u64, u64)>,
) -> Vec<Effect> {
    let [progress, fetch, versions, project, again] = ids.map(EffectId);
    let wallets = ["a", "b"].map(|name| WalletId::parse(name).unwrap()).to_vec();
    let partitions = checkpoints.iter().map(|(partition, ..)| *partition).collect();
    let before = checkpoints.iter().map(|(partition, expected, _)| (*partition, *expected)).collect();
    let after = checkpoints.iter().map(|(partition, _, offset)| (*partition, *offset)).collect();
    vec![
        Effect::LoadProgress { effect: progress, consumer, partitions },
        Effect::Fetch { effect: fetch, consumer, after: before, limit: LIMIT },
        Effect::LoadVersions { effect: versions, consumer, wallets },
        Effect::Project { effect: project, consumer, changes, checkpoints, held: Vec::new(), released: Vec::new(), at },
        Effect::Fetch { effect: again, consumer, after, limit: LIMIT },
    ]
}

fn usd(digits: &str) -> Money {
    Money::parse(digits, Currency::parse("USD").unwrap()).unwrap()
}

#[test]
fn the_read_models_projector_loads_its_progress_fetches_guards_and_writes_one_row_for_each_wallet() {
    let (mut world, checkpoints) = topic_for(Consumer::ReadModel);
    let row = |name: &str, version: u64| {
        WalletChange::Insert(Wallet {
            id: WalletId::parse(name).unwrap(),
            owner_id: OwnerId::parse("o").unwrap(),
            currency: Currency::parse("USD").unwrap(),
            balance: usd(&version.to_string()),
            version: Version(version),
            created_at: Timestamp::from_micros(1),
            updated_at: Timestamp::from_micros(version as i64),
        })
    };
    let changes = Projection::ReadModel(vec![row("a", 2), row("b", 1)]);
    let ids = [11, 19, 27, 35, 43];
    let expected = projector_effects(Consumer::ReadModel, ids, changes, world.now, checkpoints.clone());
    assert_eq!(effects_within(&mut world, ONE_LOOK), expected);
    let written: Vec<_> = world.offsets.iter().map(|((_, partition), offset)| (*partition, 0, *offset)).collect();
    assert_eq!(written, checkpoints);
}

#[test]
fn the_ledgers_projector_loads_its_progress_fetches_guards_and_writes_one_entry_for_each_event() {
    let (mut world, checkpoints) = topic_for(Consumer::Ledger);
    let entry = |name: &str, version: u64, kind: EntryKind| LedgerEntry {
        event_id: event(name, version).event_id,
        wallet_id: WalletId::parse(name).unwrap(),
        version: Version(version),
        kind,
        amount: usd("1"),
        balance: usd(&version.to_string()),
        currency: Currency::parse("USD").unwrap(),
        transfer_id: None,
        counterparty: None,
        description: None,
        occurred_at: Timestamp::from_micros(version as i64),
        command_id: event(name, version).command_id,
        correlation_id: CorrelationId::parse("c").unwrap(),
    };
    let entries =
        vec![entry("a", 1, EntryKind::Create), entry("b", 1, EntryKind::Create), entry("a", 2, EntryKind::Credit)];
    let ids = [12, 20, 28, 36, 44];
    let changes = Projection::Ledger(entries);
    let expected = projector_effects(Consumer::Ledger, ids, changes, world.now, checkpoints.clone());
    assert_eq!(effects_within(&mut world, ONE_LOOK), expected);
    let written: Vec<_> = world.offsets.iter().map(|((_, partition), offset)| (*partition, 0, *offset)).collect();
    assert_eq!(written, checkpoints);
}
