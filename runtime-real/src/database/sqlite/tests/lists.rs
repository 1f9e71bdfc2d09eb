//! What readers see: lists that stay whole while rows arrive, histories, waiting for a version, statistics.

use std::time::Duration;

use proptest::prelude::*;
use rust_decimal::Decimal;
use wallex_core::effect::Completion;
use wallex_core::id::{OwnerId, Version, WalletId};
use wallex_core::projector::{Consumer, EntryKind, LedgerEntry};

use super::world::{World, at, database, id};
use crate::database::Queries;
use crate::database::queries::{Cursor, CursorError, QueryError, TransactionFilter, WalletFilter};
use crate::database::sqlite::SqliteDatabase;

async fn all_wallets(queries: &Queries, filter: &WalletFilter) -> Vec<String> {
    let mut filter = filter.clone();
    let mut ids = Vec::new();
    loop {
        let page = queries.wallets(&filter).await.unwrap();
        assert!(page.items.len() <= filter.limit);
        ids.extend(page.items.into_iter().map(|wallet| wallet.id.to_string()));
        match page.next {
            Some(next) => filter.after = Some(Cursor::decode(&next.encode()).unwrap()),
            None => return ids,
        }
    }
}

async fn all_entries(queries: &Queries, wallet: &str, filter: &TransactionFilter) -> Vec<LedgerEntry> {
    let mut filter = filter.clone();
    let mut entries = Vec::new();
    loop {
        let page = queries.transactions(&id(wallet), &filter).await.unwrap();
        entries.extend(page.items);
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return entries,
        }
    }
}

/// Two wallets with a history of many epochs.
async fn long_history() -> (tempfile::TempDir, SqliteDatabase, World) {
    let (directory, database) = database().await;
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 1_000_000);
    world.create("bob", "owner-2", "USD", 0);
    for number in 0..120 {
        world.transfer("alice", "bob", 1 + number);
        world.credit("bob", 1);
    }
    let mut done = 0;
    while done < world.log.len() {
        let step = (done + 17).min(world.log.len());
        database.take(world.log[done..step].to_vec()).await;
        done = step;
    }
    (directory, database, world)
}

#[tokio::test]
async fn wallets_are_filtered_by_owner_and_by_balance_in_units_of_their_currency() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    world.create("usd-10", "one", "USD", 1_000);
    world.create("jpy-10", "one", "JPY", 10);
    world.create("bhd-10", "two", "BHD", 10_000);
    world.create("clf-9.9999", "two", "CLF", 99_999);
    world.create("usd-0", "two", "USD", 0);
    database.take(world.log.clone()).await;
    let queries = database.queries();
    let list = async |owner: Option<&str>, min: Option<Decimal>, max: Option<Decimal>| {
        let owner_id = owner.map(|owner| OwnerId::parse(owner).unwrap());
        let filter = WalletFilter { owner_id, min_balance: min, max_balance: max, after: None, limit: 2 };
        all_wallets(&queries, &filter).await
    };
    assert_eq!(list(None, None, None).await, ["usd-10", "jpy-10", "bhd-10", "clf-9.9999", "usd-0"]);
    assert_eq!(list(Some("two"), None, None).await, ["bhd-10", "clf-9.9999", "usd-0"]);
    assert_eq!(list(None, Some(Decimal::TEN), None).await, ["usd-10", "jpy-10", "bhd-10"]);
    assert_eq!(list(None, Some(Decimal::new(99_999, 4)), None).await, ["usd-10", "jpy-10", "bhd-10", "clf-9.9999"]);
    assert_eq!(list(None, None, Some(Decimal::new(99_999, 4))).await, ["clf-9.9999", "usd-0"]);
    assert_eq!(list(Some("one"), Some(Decimal::ONE), Some(Decimal::TEN)).await, ["usd-10", "jpy-10"]);
    assert_eq!(list(None, Some(Decimal::MAX), None).await, [""; 0]);
    assert_eq!(list(None, Some(Decimal::MIN), Some(Decimal::MAX)).await.len(), 5);
    assert_eq!(list(Some("three"), None, None).await, [""; 0]);
}

#[tokio::test]
async fn one_wallet_is_what_the_events_add_up_to() {
    let (_directory, database, world) = long_history().await;
    let queries = database.queries();
    for wallet in world.wallets.values() {
        assert_eq!(queries.wallet(&wallet.id).await.unwrap().as_ref(), Some(wallet));
    }
    assert_eq!(queries.wallet(&id("nobody")).await.unwrap(), None);
    queries.ping().await.unwrap();
}

#[tokio::test]
async fn a_history_is_whole_in_both_orders_across_epochs() {
    let (_directory, database, world) = long_history().await;
    let queries = database.queries();
    let mut expected = world.entries_of("bob");
    let filter = TransactionFilter { limit: 7, ascending: true, ..TransactionFilter::default() };
    assert_eq!(all_entries(&queries, "bob", &filter).await, expected);
    expected.reverse();
    let filter = TransactionFilter { limit: 11, ..TransactionFilter::default() };
    assert_eq!(all_entries(&queries, "bob", &filter).await, expected);
    assert_eq!(all_entries(&queries, "nobody", &filter).await, []);
    let mut statement = queries.statement(&id("bob"), filter);
    let mut streamed = Vec::new();
    while let Some(chunk) = statement.next_chunk().await.unwrap() {
        streamed.extend(chunk);
    }
    assert_eq!(streamed, expected);
}

#[tokio::test]
async fn a_history_is_filtered_by_kind_and_time() {
    let (_directory, database, world) = long_history().await;
    let queries = database.queries();
    for (kind, from, to) in [
        (Some(EntryKind::TransferIn), None, None),
        (Some(EntryKind::Create), None, None),
        (Some(EntryKind::Debit), None, None),
        (None, Some(at(100)), Some(at(200))),
        (None, Some(at(300)), None),
        (Some(EntryKind::Credit), None, Some(at(50))),
        (None, Some(at(100_000)), None),
    ] {
        let filter = TransactionFilter { kind, from, to, ascending: true, after: None, limit: 5 };
        let mut expected = world.entries_of("bob");
        expected.retain(|entry| {
            kind.is_none_or(|kind| entry.kind == kind)
                && from.is_none_or(|from| entry.occurred_at >= from)
                && to.is_none_or(|to| entry.occurred_at < to)
        });
        assert_eq!(all_entries(&queries, "bob", &filter).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_question_and_a_damaged_one_are_refused() {
    let (_directory, database, _world) = long_history().await;
    let queries = database.queries();
    let filter = TransactionFilter { limit: 3, ..TransactionFilter::default() };
    let cursor = queries.transactions(&id("bob"), &filter).await.unwrap().next.unwrap();
    let foreign = |error: QueryError| matches!(error, QueryError::Cursor(CursorError::Foreign));
    let after = Some(cursor);
    let other_order = TransactionFilter { ascending: true, after, ..filter.clone() };
    assert!(foreign(queries.transactions(&id("bob"), &other_order).await.unwrap_err()));
    let same = TransactionFilter { after, ..filter };
    assert!(foreign(queries.transactions(&id("alice"), &same).await.unwrap_err()));
    let wallets = WalletFilter { after, limit: 3, ..WalletFilter::default() };
    assert!(foreign(queries.wallets(&wallets).await.unwrap_err()));
    assert!(queries.transactions(&id("bob"), &same).await.is_ok());
    let text = cursor.encode();
    for at in 0..text.len() {
        let mut damaged = text.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).unwrap();
        assert_eq!(Cursor::decode(&damaged), Err(CursorError::Damaged), "{damaged}");
    }
    for text in ["", "AAAA", "not base64!", &text[1..], &format!("{text}AAAA")] {
        assert_eq!(Cursor::decode(text), Err(CursorError::Damaged), "{text}");
    }
}

#[tokio::test]
async fn a_reader_that_waits_for_a_version_gets_it_as_soon_as_it_is_projected() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    world.create("alice", "owner-1", "USD", 1_000);
    database.take(world.log.clone()).await;
    let queries = database.queries();
    let wait = async |version: u64, timeout: Duration| {
        let found = queries.wait_for_version(&id("alice"), Version(version), timeout).await.unwrap();
        found.map(|wallet| wallet.version.0)
    };
    assert_eq!(wait(1, Duration::ZERO).await, Some(1));
    assert_eq!(wait(2, Duration::from_millis(1)).await, Some(1), "the time runs out");
    let long = Duration::from_secs(3_600);
    world.credit("alice", 1);
    world.credit("alice", 1);
    let mut ticks = queries.projected();
    let project = async {
        tokio::task::yield_now().await;
        database.take(world.log[1..2].to_vec()).await;
        database.take(world.log[2..3].to_vec()).await;
    };
    let (second, third, also_third, ()) = tokio::join!(wait(2, long), wait(3, long), wait(3, long), project);
    assert!(second >= Some(2));
    assert_eq!((third, also_third), (Some(3), Some(3)));
    assert!(ticks.has_changed().unwrap());
    assert!(*ticks.borrow_and_update() >= 2);
}

#[tokio::test]
async fn statistics_count_what_each_consumer_has_not_passed() {
    let (_directory, database) = database().await;
    let mut world = World::default();
    for number in 0..8 {
        world.create(&format!("wallet-{number}"), "owner", "USD", 100);
    }
    database.take(world.log[..4].to_vec()).await;
    assert_eq!(database.do_write(4, world.after(4)).await, Completion::Done(()));
    assert_eq!(database.do_mark(4, 6, Vec::new(), Vec::new()).await, Completion::Done(()));
    database.project_all(Consumer::ReadModel, &world.log[4..6]).await;
    let statistics = database.queries().statistics().await.unwrap();
    assert_eq!(statistics.outbox_filled.0, 8);
    assert_eq!((statistics.outbox_lag_events, statistics.outbox_oldest), (2, Some(world.log[6].event.occurred_at)));
    let lag = |consumer| {
        let one = statistics.consumers.iter().find(|one| one.consumer == consumer).unwrap();
        (one.lag_events, one.oldest)
    };
    assert_eq!(lag(Consumer::Relay), (2, Some(world.log[6].event.occurred_at)));
    assert_eq!(lag(Consumer::ReadModel), (2, Some(world.log[6].event.occurred_at)));
    assert_eq!(lag(Consumer::Ledger), (4, Some(world.log[4].event.occurred_at)));
    assert_eq!(statistics.dead_letters, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn pages_show_every_row_once_while_rows_arrive(
        before in 1_usize..30, arriving in proptest::collection::vec(0_usize..6, 1..20), limit in 1_usize..7,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (shown, there) = runtime.block_on(pages_while_rows_arrive(before, arriving, limit));
        let mut once = shown.clone();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), shown.len(), "a wallet was shown twice");
        prop_assert!(there.iter().all(|wallet| once.contains(wallet)), "a wallet was left out");
    }
}

/// Pages through all wallets and through one wallet's history while both grow; gives what was shown and what was there
/// at the beginning.
async fn pages_while_rows_arrive(before: usize, arriving: Vec<usize>, limit: usize) -> (Vec<String>, Vec<String>) {
    let (_directory, database) = database().await;
    let queries = database.queries();
    let mut world = World::default();
    world.create("hot", "owner", "USD", 0);
    for number in 0..before {
        world.create(&format!("z{}", number * 7_919 % 1_000), "owner", "USD", 0);
        world.credit("hot", 1);
    }
    database.take(world.log.clone()).await;
    let entry = |version: u64| format!("entry {version}");
    let mut there: Vec<String> = world.wallets.keys().map(WalletId::to_string).collect();
    there.extend((1..=world.wallets[&id("hot")].version.0).map(entry));
    let mut wallets = WalletFilter { limit, ..WalletFilter::default() };
    let mut history = TransactionFilter { limit, ..TransactionFilter::default() };
    let (mut shown, mut arriving) = (Vec::new(), arriving.into_iter());
    let (mut more_wallets, mut more_history) = (true, true);
    while more_wallets || more_history {
        if more_wallets {
            let page = queries.wallets(&wallets).await.unwrap();
            shown.extend(page.items.iter().map(|wallet| wallet.id.to_string()));
            more_wallets = page.next.is_some();
            wallets.after = page.next;
        }
        if more_history {
            let page = queries.transactions(&id("hot"), &history).await.unwrap();
            shown.extend(page.items.iter().map(|one| entry(one.version.0)));
            more_history = page.next.is_some();
            history.after = page.next;
        }
        let done = world.log.len() as u64;
        for number in 0..arriving.next().unwrap_or(0) {
            world.create(&format!("a{done}-{number}"), "owner", "USD", 0);
            world.credit("hot", 1);
        }
        database.take(world.after(done)).await;
    }
    (shown, there)
}
