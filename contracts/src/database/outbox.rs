//! What feeder and relay are promised: rows and checkpoint together, in order, and once (INV-06, INV-11).
//!
//! A checkpoint moves by compare-and-set: a write that expects it elsewhere is a conflict, one that contradicts stored
//! rows is rejected, and neither changes anything. What projectors are promised is in `projections`.

use wallex_core::effect::{Completion, RelayProgress};
use wallex_core::id::Position;
use wallex_core::projector::Consumer;

use super::ask::{assert_rejected, feeder, held, mark, read, relay, set_aside, write};
use super::log::{Log, POSITION_STEP, id};
use crate::Port;

/// Before anything was written every checkpoint is at zero and nothing is held.
pub async fn a_new_database_is_at_the_beginning(port: &impl Port) {
    assert_eq!(feeder(port).await, Position(0));
    assert_eq!(relay(port).await, RelayProgress { checkpoint: Position(0), held_wallets: Vec::new() });
    assert_eq!(read(port, 0, 10).await, []);
}

/// Rows come back as they were written, every part of every event, and the checkpoint stands at their end.
pub async fn outbox_rows_and_their_checkpoint_are_written_together(port: &impl Port) {
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    assert_eq!(feeder(port).await, log.end());
    assert_eq!(read(port, 0, 100).await, log.rows);
}

/// A checkpoint may move over positions without events.
pub async fn a_checkpoint_moves_without_rows(port: &impl Port) {
    assert_eq!(write(port, 0, &[]).await, Completion::Done(()));
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    assert_eq!(write(port, log.end().0, &[]).await, Completion::Done(()));
    assert_eq!(feeder(port).await, log.end());
}

/// A write that is repeated, or that expects the checkpoint elsewhere, is a conflict and changes nothing.
pub async fn a_repeated_write_of_the_outbox_is_a_conflict(port: &impl Port) {
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows[..4]).await, Completion::Done(()));
    for expected in [0, log.row(0).position.0, log.end().0] {
        assert_eq!(write(port, expected, &log.rows).await, Completion::Conflict);
        assert_eq!(write(port, expected, &log.rows[4..]).await, Completion::Conflict);
    }
    assert_eq!(feeder(port).await, log.row(3).position);
    assert_eq!(read(port, 0, 100).await, log.rows[..4]);
    assert_eq!(write(port, log.row(3).position.0, &log.rows[4..]).await, Completion::Done(()));
    assert_eq!(read(port, 0, 100).await, log.rows);
}

/// A version of a wallet that the outbox has is refused, and with it every row of its write and the checkpoint.
pub async fn a_version_that_the_outbox_has_refuses_the_whole_write(port: &impl Port) {
    let mut log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    let end = log.end().0;
    log.create("carol", 1);
    let mut rows = vec![log.rows.last().cloned().expect("the creation")];
    let mut again = log.row(2).clone();
    again.position = Position(end + 2 * POSITION_STEP);
    rows.push(again);
    assert_rejected(&write(port, end, &rows).await);
    assert_eq!(feeder(port).await, Position(end));
    assert_eq!(read(port, end, 100).await, []);
    assert_eq!(write(port, end, &rows[..1]).await, Completion::Done(()));
}

/// The outbox is read in the order of positions, after a position, and no more than the limit.
pub async fn the_outbox_is_read_in_order_and_within_the_limit(port: &impl Port) {
    let log = Log::of_two();
    let (first, second) = log.rows.split_at(3);
    assert_eq!(write(port, 0, first).await, Completion::Done(()));
    assert_eq!(write(port, first[2].position.0, second).await, Completion::Done(()));
    assert_eq!(read(port, 0, 2).await, log.rows[..2]);
    for (at, row) in log.rows.iter().enumerate() {
        assert_eq!(read(port, row.position.0, 2).await, log.rows[at + 1..(at + 3).min(log.rows.len())]);
        assert_eq!(read(port, row.position.0 - 1, 1).await, std::slice::from_ref(row), "a position without an event");
    }
}

/// The relay's checkpoint moves from where it is, and from nowhere else.
pub async fn what_is_published_is_marked_once(port: &impl Port) {
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    let (third, end) = (log.row(2).position.0, log.end().0);
    assert_eq!(mark(port, 0, third, Vec::new(), Vec::new()).await, Completion::Done(()));
    for expected in [0, end] {
        assert_eq!(mark(port, expected, end, Vec::new(), Vec::new()).await, Completion::Conflict);
    }
    assert_eq!(relay(port).await.checkpoint, Position(third));
    assert_eq!(mark(port, third, end, Vec::new(), Vec::new()).await, Completion::Done(()));
    assert_eq!(relay(port).await.checkpoint, Position(end));
}

/// A conflict of the relay sets nothing aside and releases nothing.
pub async fn a_conflict_of_the_relay_changes_nothing_that_is_held(port: &impl Port) {
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    let end = log.end().0;
    let dead = set_aside(Consumer::Relay, log.row(1), Some("too large"));
    assert_eq!(mark(port, 0, end, vec![dead.clone()], Vec::new()).await, Completion::Done(()));
    let other = set_aside(Consumer::Relay, log.row(0), Some("too large"));
    assert_eq!(mark(port, 0, end, vec![other], vec![dead.event_id]).await, Completion::Conflict);
    assert_eq!(relay(port).await.held_wallets, [id("bob")]);
    assert_eq!(held(port, Consumer::Relay, "bob").await, [dead]);
    assert_eq!(held(port, Consumer::Relay, "alice").await, []);
}

/// What the relay sets aside comes with the checkpoint, in version order, and stays until it is released.
pub async fn what_the_relay_sets_aside_stays_until_it_is_released(port: &impl Port) {
    let log = Log::of_two();
    assert_eq!(write(port, 0, &log.rows).await, Completion::Done(()));
    let end = log.end().0;
    let bobs: Vec<_> = log.rows.iter().filter(|row| row.event.wallet_id == id("bob")).collect();
    let dead = set_aside(Consumer::Relay, bobs[0], Some("too large"));
    let waiting: Vec<_> = bobs[1..].iter().map(|row| set_aside(Consumer::Relay, row, None)).collect();
    let backwards = waiting.iter().rev().chain([&dead]).cloned().collect();
    assert_eq!(mark(port, 0, end, backwards, Vec::new()).await, Completion::Done(()));
    let all: Vec<_> = std::iter::once(&dead).chain(&waiting).cloned().collect();
    assert_eq!(held(port, Consumer::Relay, "bob").await, all);
    assert_eq!(held(port, Consumer::Ledger, "bob").await, [], "another consumer holds nothing");
    assert_eq!(mark(port, end, end, Vec::new(), vec![dead.event_id]).await, Completion::Done(()));
    assert_eq!(held(port, Consumer::Relay, "bob").await, waiting);
    let rest = waiting.iter().map(|one| one.event_id).collect();
    assert_eq!(mark(port, end, end, Vec::new(), rest).await, Completion::Done(()));
    assert_eq!(relay(port).await, RelayProgress { checkpoint: Position(end), held_wallets: Vec::new() });
}
