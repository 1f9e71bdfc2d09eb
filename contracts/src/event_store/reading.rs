//! What reads promise: loads from any known version, streams by range, the log from any position (INV-06).
//!
//! Nothing is left out, given twice or out of order, wherever a page ends; what does not exist is empty and no error. A
//! load may give a snapshot, if it is newer than what the reader knows. What is written, and when it counts, is in
//! `appending`.

use wallex_core::event::{Event, Recorded};
use wallex_core::id::Position;
use wallex_core::time::Timestamp;

use super::ask::{assert_loads, find, load, log, stream, whole_log, write};
use crate::Port;
use crate::ledger::{Ledger, together};

/// Two wallets with eleven events each, written by ten transfers and a little more.
async fn filled(store: &impl Port) -> Ledger {
    let mut ledger = Ledger::default();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
    }
    for round in 0..10 {
        let (from, to) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let transferred = ledger.transfer(from, to, "2.50");
        write(store, &mut ledger, &transferred).await;
    }
    ledger
}

fn events(log: &[Recorded]) -> Vec<Event> {
    log.iter().map(|recorded| recorded.event.clone()).collect()
}

/// From every version that a reader may know, its last one included.
pub async fn a_load_gives_what_is_new_since_the_known_version(store: &impl Port) {
    let ledger = filled(store).await;
    for name in ["a", "b"] {
        for known in 0..=11 {
            assert_loads(store, &ledger, name, known).await;
        }
    }
    let current = load(store, &[("a", 11)]).await;
    assert!(current[0].snapshot.is_none() && current[0].events.is_empty(), "nothing is new: {current:?}");
}

/// Among wallets that are there.
pub async fn a_load_of_an_unknown_wallet_gives_nothing(store: &impl Port) {
    filled(store).await;
    let loaded = load(store, &[("a", 0), ("unknown", 0), ("b", 0)]).await;
    assert!(loaded[1].snapshot.is_none() && loaded[1].events.is_empty(), "{loaded:?}");
    assert_eq!(stream(store, "unknown", 1, 5).await, []);
}

/// More wallets than can be read at once.
pub async fn many_wallets_are_loaded_in_the_order_asked_for(store: &impl Port) {
    let mut ledger = Ledger::default();
    let names: Vec<String> = (0..150).map(|number| format!("w{number}")).collect();
    let mut group = wallex_core::effect::Append { writes: Vec::new(), records: Vec::new() };
    let decided = Ledger::default();
    for name in &names {
        group = together(&group, &decided.create(name));
    }
    write(store, &mut ledger, &group).await;
    let wanted: Vec<(&str, u64)> = names.iter().rev().map(|name| (name.as_str(), 0)).collect();
    for (loaded, (name, _)) in load(store, &wanted).await.iter().zip(&wanted) {
        let snapshot = loaded.snapshot.as_ref().map(|snapshot| &snapshot.id);
        let id = snapshot.or_else(|| loaded.events.first().map(|event| &event.wallet_id));
        assert_eq!(id.map(|id| id.as_str()), Some(*name));
    }
}

/// Positions grow, versions of a wallet have no gap, and the order is that of the appends.
pub async fn the_log_gives_every_event_once_and_in_order(store: &impl Port) {
    let ledger = filled(store).await;
    for page in [1, 2, 3, 1_000] {
        let log = whole_log(store, page).await;
        assert!(log[0].position > Position(0), "0 is before the first event");
        assert!(log.windows(2).all(|pair| pair[0].position < pair[1].position), "positions grow: {log:?}");
        assert_eq!(events(&log), ledger.events, "in pages of {page}");
    }
}

/// Whoever stops anywhere, in the middle of an append too, goes on with the very next event.
pub async fn the_log_is_read_on_from_every_position(store: &impl Port) {
    let mut ledger = filled(store).await;
    // One append whose events are many more than a page.
    let mut decided = ledger.clone();
    let mut group = wallex_core::effect::Append { writes: Vec::new(), records: Vec::new() };
    for _ in 0..30 {
        let transferred = decided.transfer("a", "b", "0.01");
        decided.accept(&transferred);
        group = together(&group, &transferred);
    }
    write(store, &mut ledger, &group).await;

    let log_positions = whole_log(store, 1_000).await;
    for (at, last) in log_positions.iter().enumerate() {
        let rest = log(store, last.position, 2).await;
        let expected: Vec<Recorded> = log_positions[at + 1..].iter().take(2).cloned().collect();
        assert_eq!(rest, expected, "after {:?}", last.position);
    }
}

/// At the end of the log there is nothing.
pub async fn the_log_gives_no_more_than_the_limit(store: &impl Port) {
    assert_eq!(log(store, Position(0), 10).await, []);
    let ledger = filled(store).await;
    for limit in [0, 1, 5, 22] {
        let found = log(store, Position(0), limit).await;
        assert_eq!(events(&found), ledger.events[..limit], "{limit}");
    }
    let all = log(store, Position(0), 1_000).await;
    let end = all[all.len() - 1].position;
    assert_eq!(log(store, end, 10).await, []);
}

/// Names that are prefixes of each other, and all characters that a name may have.
pub async fn a_wallet_whose_name_begins_like_another_is_not_mixed_up_with_it(store: &impl Port) {
    let mut ledger = Ledger::default();
    let names = ["a", "a-b", "a-b:c", "wallet-a", "A.z_9"];
    for (at, name) in names.iter().enumerate() {
        let created = ledger.create(name);
        write(store, &mut ledger, &created).await;
        for _ in 0..at {
            let credited = ledger.credit(name, "1");
            write(store, &mut ledger, &credited).await;
        }
    }
    for name in names {
        assert_eq!(stream(store, name, 1, 100).await, ledger.stream(name), "{name}");
        assert_loads(store, &ledger, name, 0).await;
    }
}

/// Both ends are part of the range; what is not there is not given.
pub async fn a_stream_is_read_from_version_to_version(store: &impl Port) {
    let ledger = filled(store).await;
    let all = ledger.stream("a");
    for (from, to) in [(1, 1), (1, 11), (3, 7), (11, 11)] {
        assert_eq!(stream(store, "a", from, to).await, all[from as usize - 1..to as usize], "{from} to {to}");
    }
    assert_eq!(stream(store, "a", 9, 50).await, all[8..], "beyond the end");
    assert_eq!(stream(store, "a", 12, 50).await, [], "behind the end");
}

/// A transfer is in both wallets; two commands of one append are told apart.
pub async fn a_command_is_found_in_its_wallets_and_nowhere_else(store: &impl Port) {
    let mut ledger = filled(store).await;
    let other = ledger.create("c");
    write(store, &mut ledger, &other).await;
    let begin = Timestamp::from_micros(0);
    for event in ledger.events.clone() {
        let name = event.wallet_id.as_str();
        assert_eq!(find(store, name, event.command_id, begin).await.as_slice(), std::slice::from_ref(&event));
        if name != "c" {
            assert_eq!(find(store, "c", event.command_id, begin).await, []);
        }
        assert_eq!(find(store, "unknown", event.command_id, begin).await, []);
    }
}

/// What is not older than the bound is found; what is older may be left out, and nothing else is given instead.
pub async fn a_search_for_a_command_need_not_go_back_further_than_asked(store: &impl Port) {
    let ledger = filled(store).await;
    let stream = ledger.stream("a");
    let (old, newest) = (&stream[0], &stream[stream.len() - 1]);
    assert_eq!(find(store, "a", newest.command_id, newest.occurred_at).await.as_slice(), std::slice::from_ref(newest));
    let found = find(store, "a", old.command_id, newest.occurred_at).await;
    assert!(found.is_empty() || found == [old.clone()], "{found:?}");
}
