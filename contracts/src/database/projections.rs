//! What projectors are promised: rows and checkpoints together, no row twice, dead letters that stay (INV-07, INV-08,
//! INV-11).
//!
//! What does not speak of one table alone is said of both projectors. The database refuses what does not fit; skipping
//! what is there already is the core's affair (`core/src/projector/batch.rs`).

use wallex_core::effect::Completion;
use wallex_core::id::Position;
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::{Consumer, Projection, partition_of};

use super::ask::{
    Step, assert_rejected, from_zero, held, no_rows, offset, progress, project, rows, set_aside, update_of, versions,
    write,
};
use super::log::{Log, changes, entries, id};
use crate::Port;

const PROJECTORS: [Consumer; 2] = [Consumer::ReadModel, Consumer::Ledger];

/// A log of two wallets whose events are in the outbox, as they are before any projector sees them.
async fn fed(port: &impl Port) -> Log {
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    log
}

/// Takes a log's rows from the beginning.
async fn take(port: &impl Port, consumer: Consumer, log: &Log) {
    let step = Step { checkpoints: from_zero(&log.rows), ..Step::default() };
    assert_eq!(project(port, consumer, rows(consumer, &log.rows), step).await, Completion::Done(()));
}

/// Every partition of every projector begins at zero.
pub async fn a_projector_begins_at_zero_in_every_partition(port: &impl Port) {
    for consumer in PROJECTORS {
        let all = progress(port, consumer).await;
        assert_eq!(all.iter().map(|one| one.partition).collect::<Vec<_>>(), (0..PARTITIONS).collect::<Vec<_>>());
        assert!(all.iter().all(|one| one.offset == 0 && one.held_wallets.is_empty()), "{all:?}");
    }
}

/// Rows and the checkpoints of their partitions are there together; the other projector has its own.
pub async fn rows_and_their_checkpoints_are_written_together(port: &impl Port) {
    let log = fed(port).await;
    take(port, Consumer::ReadModel, &log).await;
    assert_eq!(versions(port, Consumer::ReadModel, &["alice", "bob"]).await, [3, 4]);
    for (partition, _, end) in from_zero(&log.rows) {
        let all = progress(port, Consumer::ReadModel).await;
        assert_eq!(all[usize::from(partition)].offset, end);
    }
    assert_eq!(versions(port, Consumer::Ledger, &["alice", "bob"]).await, [0, 0]);
    take(port, Consumer::Ledger, &log).await;
    assert_eq!(versions(port, Consumer::Ledger, &["alice", "bob"]).await, [3, 4]);
}

/// Versions come in the order asked for; a wallet that a projection does not have is at zero.
pub async fn versions_come_in_the_order_asked_for(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        take(port, consumer, &log).await;
        assert_eq!(versions(port, consumer, &["bob", "nobody", "alice", "bob"]).await, [4, 0, 3, 4]);
        assert_eq!(versions(port, consumer, &[]).await, [0_u64; 0]);
    }
}

/// A transaction that expects a checkpoint elsewhere is a conflict, and changes nothing: not its rows, not the checkpoints
/// of its other partitions, not what is held.
pub async fn a_checkpoint_that_is_elsewhere_is_a_conflict_and_changes_nothing(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        let mut checkpoints = from_zero(&log.rows);
        let (other, _, _) = checkpoints[0];
        let free = (0..PARTITIONS).find(|partition| checkpoints.iter().all(|one| one.0 != *partition));
        checkpoints.push((free.expect("ten partitions, two wallets"), 0, 9));
        checkpoints[0].1 = 1;
        let held_now = vec![set_aside(consumer, log.row(0), Some("no"))];
        let step = Step { checkpoints, held: held_now, released: Vec::new() };
        assert_eq!(project(port, consumer, rows(consumer, &log.rows), step).await, Completion::Conflict);
        assert!(progress(port, consumer).await.iter().all(|one| one.offset == 0), "partition {other}");
        assert_eq!(versions(port, consumer, &["alice", "bob"]).await, [0, 0]);
        assert_eq!(held(port, consumer, "alice").await, []);
    }
}

/// A step that is repeated is a conflict.
pub async fn a_repeated_step_is_a_conflict_and_changes_nothing(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        take(port, consumer, &log).await;
        let step = Step { checkpoints: from_zero(&log.rows), ..Step::default() };
        assert_eq!(project(port, consumer, rows(consumer, &log.rows), step).await, Completion::Conflict);
        assert_eq!(versions(port, consumer, &["alice", "bob"]).await, [3, 4]);
    }
}

/// Rows of wallets go on from where they are, step by step.
pub async fn a_projection_goes_on_from_where_it_is(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        for row in &log.rows {
            let name = row.event.wallet_id.as_str();
            let from = offset(port, consumer, name).await;
            let checkpoints = vec![(partition_of(&row.event.wallet_id), from, row.position.0)];
            let one = rows(consumer, std::slice::from_ref(row));
            let step = Step { checkpoints, ..Step::default() };
            assert_eq!(project(port, consumer, one, step).await, Completion::Done(()));
            assert_eq!(versions(port, consumer, &[name]).await, [row.event.version.0]);
        }
    }
}

/// A row of the read model that is not at the version that an update expects refuses the transaction.
pub async fn a_row_at_another_version_refuses_the_whole_transaction(port: &impl Port) {
    let mut log = fed(port).await;
    take(port, Consumer::ReadModel, &log).await;
    let known = log.rows.len();
    log.credit("alice", 1);
    log.credit("alice", 1);
    log.credit("bob", 1);
    // Without the first of the two credits.
    let late = Projection::ReadModel(changes(&log.rows[known + 1..]));
    assert_rejected(&project(port, Consumer::ReadModel, late, Step::default()).await);
    let again = update_of("alice", changes(&log.rows[..known]));
    assert_rejected(&project(port, Consumer::ReadModel, again, Step::default()).await);
    let mut strangers = Log::default();
    strangers.create("carol", 1);
    strangers.credit("carol", 1);
    let unknown = Projection::ReadModel(changes(&strangers.rows[1..]));
    assert_rejected(&project(port, Consumer::ReadModel, unknown, Step::default()).await);
    assert_eq!(versions(port, Consumer::ReadModel, &["alice", "bob", "carol"]).await, [3, 4, 0]);
}

/// An entry for a version, or for an event, that the ledger has refuses the transaction; its checkpoints stay.
pub async fn an_entry_that_the_ledger_has_refuses_the_whole_transaction(port: &impl Port) {
    let mut log = fed(port).await;
    take(port, Consumer::Ledger, &log).await;
    let before = progress(port, Consumer::Ledger).await;
    let known = log.rows.len();
    log.credit("bob", 1);
    log.credit("alice", 1);
    let partition = partition_of(&id("bob"));
    let checkpoints = || vec![(partition, before[usize::from(partition)].offset, log.end().0)];
    let mut twice = entries(&log.rows[known..]);
    twice.push(entries(&log.rows[..1]).remove(0));
    let step = Step { checkpoints: checkpoints(), ..Step::default() };
    assert_rejected(&project(port, Consumer::Ledger, Projection::Ledger(twice), step).await);
    // The next version, under the id of an event that has an entry.
    let mut disguised = entries(&log.rows[known..]);
    disguised[1].event_id = log.row(0).event.event_id;
    let step = Step { checkpoints: checkpoints(), ..Step::default() };
    assert_rejected(&project(port, Consumer::Ledger, Projection::Ledger(disguised), step).await);
    assert_eq!(versions(port, Consumer::Ledger, &["alice", "bob"]).await, [3, 4]);
    assert_eq!(progress(port, Consumer::Ledger).await, before);
    let step = Step { checkpoints: checkpoints(), ..Step::default() };
    let rest = Projection::Ledger(entries(&log.rows[known..]));
    assert_eq!(project(port, Consumer::Ledger, rest, step).await, Completion::Done(()));
}

/// What a projector sets aside is loaded in version order, dead letters and what waits behind them, readable or not.
pub async fn held_events_are_loaded_in_version_order(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        let bobs: Vec<_> = log.rows.iter().filter(|row| row.event.wallet_id == id("bob")).collect();
        let mut unreadable = set_aside(consumer, bobs[0], Some("the bytes are no event"));
        unreadable.event = None;
        let waiting: Vec<_> = bobs[1..].iter().map(|row| set_aside(consumer, row, None)).collect();
        let backwards = waiting.iter().rev().chain([&unreadable]).cloned().collect();
        let partition = partition_of(&id("bob"));
        let step = Step { checkpoints: vec![(partition, 0, log.end().0)], held: backwards, released: Vec::new() };
        assert_eq!(project(port, consumer, no_rows(consumer), step).await, Completion::Done(()));
        let all: Vec<_> = std::iter::once(&unreadable).chain(&waiting).cloned().collect();
        assert_eq!(held(port, consumer, "bob").await, all);
        let found = progress(port, consumer).await;
        for one in found {
            let wallets = if one.partition == partition { vec![id("bob")] } else { Vec::new() };
            assert_eq!(one.held_wallets, wallets);
        }
        assert_eq!(held(port, Consumer::Relay, "bob").await, []);
    }
}

/// Held events are applied and forgotten in one transaction; those that are not named stay.
pub async fn what_is_released_is_applied_in_the_same_transaction(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        let bobs: Vec<_> = log.rows.iter().filter(|row| row.event.wallet_id == id("bob")).cloned().collect();
        let mut all = vec![set_aside(consumer, &bobs[0], Some("refused"))];
        all.extend(bobs[1..].iter().map(|row| set_aside(consumer, row, None)));
        let checkpoints = vec![(partition_of(&id("bob")), 0, log.end().0)];
        let step = Step { checkpoints, held: all.clone(), released: Vec::new() };
        assert_eq!(project(port, consumer, no_rows(consumer), step).await, Completion::Done(()));
        let released = all[..2].iter().map(|one| one.event_id).collect();
        let step = Step { released, ..Step::default() };
        assert_eq!(project(port, consumer, rows(consumer, &bobs[..2]), step).await, Completion::Done(()));
        assert_eq!(held(port, consumer, "bob").await, all[2..]);
        assert_eq!(versions(port, consumer, &["bob"]).await, [2]);
        // A transaction that is refused releases nothing.
        let released = vec![all[2].event_id];
        let step = Step { released, ..Step::default() };
        assert_rejected(&project(port, consumer, rows(consumer, &bobs[..1]), step).await);
        assert_eq!(held(port, consumer, "bob").await, all[2..]);
    }
}

/// An event that is set aside again takes the newer reason, and is there once.
pub async fn an_event_that_is_held_again_takes_the_newer_reason(port: &impl Port) {
    let log = fed(port).await;
    for consumer in PROJECTORS {
        for reason in ["the first", "the second: \u{fc}ber \"quoted\" \\ 'text'"] {
            let held = vec![set_aside(consumer, log.row(0), Some(reason))];
            let step = Step { held, ..Step::default() };
            assert_eq!(project(port, consumer, no_rows(consumer), step).await, Completion::Done(()));
        }
        let found = held(port, consumer, "alice").await;
        let reasons: Vec<_> = found.iter().filter_map(|one| one.dead.as_ref()).map(|dead| &dead.reason).collect();
        assert_eq!(reasons, ["the second: \u{fc}ber \"quoted\" \\ 'text'"]);
    }
}

/// A batch as large as batches get is written whole and read back whole.
pub async fn a_large_batch_is_written_whole(port: &impl Port) {
    let mut log = Log::default();
    log.create("alice", 1_000_000);
    for number in 0..200 {
        log.create(&format!("wallet-{number}"), 0);
        log.transfer("alice", &format!("wallet-{number}"), 1);
    }
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    assert_eq!(super::ask::read(port, 0, 10_000).await, log.rows);
    for consumer in PROJECTORS {
        take(port, consumer, &log).await;
        assert_eq!(versions(port, consumer, &["wallet-0", "alice", "wallet-199"]).await, [2, 201, 2]);
    }
    assert_eq!(super::ask::feeder(port).await, Position(log.end().0));
}
