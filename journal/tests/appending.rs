//! What an append answers, and what is in the journal afterwards.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

mod world;

use wallex_core::command::{FinalAnswer, Success};
use wallex_core::effect::{Append, Completion, FailureKind, Load, StreamWrite};
use wallex_core::id::{Position, Version};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Rejection;
use wallex_journal::testing::FaultyStorage;
use world::*;

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let (storage, ledger) = filled(40);
    let (journal, recovery) = open(&storage.restart(1));
    ledger.assert_same(&journal);
    assert_eq!(recovery.position, Position(ledger.events.len() as u64));
    assert_eq!((recovery.wallets, recovery.keys, recovery.torn), (3, 43, None));
    assert!(recovery.segments > 1, "the run is to cross segments");
    assert_eq!(journal.reader().verify().unwrap().events, ledger.events.len() as u64);
}

#[test]
fn appends_of_a_group_see_each_other_in_order() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let group: Vec<Append> =
        [ledger.create("a"), ledger.create("b"), ledger.transfer("a", "b", "1"), ledger.transfer("b", "a", "2")].into();
    let before = storage.operations();
    assert_eq!(journal.append(&group, NOW), [done(), done(), done(), done()]);
    let making_the_segment = 7;
    assert_eq!(storage.operations() - before, making_the_segment + 2, "one write and one sync for the group");
    ledger.assert_same(&journal);
    ledger.assert_same(&open(&storage.restart(1)).0);
}

#[test]
fn a_conflict_leaves_no_trace_and_does_not_touch_its_group() {
    let (_, ledger) = filled(0);
    let storage = FaultyStorage::default();
    let mut ours = Ledger::default();
    let (mut journal, _) = open(&storage);
    ours.fill(&mut journal, 0);
    // Decided on the state before the first: the second leg conflicts after the first was staged.
    let mut stale = ledger.clone();
    let late = stale.pending_transfer("c", "a", "5");
    let group = [ours.transfer("a", "b", "1"), late, ours.transfer("b", "c", "1")];
    assert_eq!(journal.append(&group, NOW), [done(), Completion::Conflict, done()]);
    ours.assert_same(&journal);
    ours.assert_same(&open(&storage.restart(1)).0);
}

#[test]
fn a_group_of_nothing_but_conflicts_writes_nothing() {
    let (storage, ledger) = filled(3);
    let storage = storage.restart(1);
    let (mut journal, _) = open(&storage);
    let mut stale = Ledger::default();
    stale.create("a");
    stale.create("b");
    let late = stale.pending_transfer("a", "b", "5");
    let before = storage.operations();
    assert_eq!(journal.append(&[late], NOW), [Completion::Conflict]);
    assert_eq!(storage.operations(), before);
    ledger.assert_same(&journal);
}

#[test]
fn an_append_that_is_repeated_is_done_again_without_effect() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 5);
    let transfer = ledger.transfer("a", "b", "1");
    let twice = [transfer.clone(), transfer.clone()];
    assert_eq!(journal.append(&twice, NOW), [done(), done()], "within a group");
    ledger.fill(&mut journal, 50);
    let before = storage.operations();
    assert_eq!(journal.append(&[&transfer], NOW), [done()], "after others");
    assert_eq!(storage.operations(), before);
    drop(journal);
    let (mut journal, _) = open(&storage.restart(1));
    assert_eq!(journal.append(&[transfer], NOW), [done()], "after a restart");
    ledger.assert_same(&journal);
}

#[test]
fn an_append_that_is_only_half_there_is_a_conflict() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 0);
    let transfer = ledger.transfer("a", "b", "1");
    assert_eq!(journal.append(&[&transfer], NOW), [done()]);
    let mut longer = transfer.clone();
    let third = ledger.pending_transfer("b", "c", "1");
    longer.writes.push(third.writes[1].clone());
    assert_eq!(journal.append(&[longer], NOW), [Completion::Conflict]);
    ledger.assert_same(&journal);
}

#[test]
fn events_that_break_an_invariant_are_refused() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 0);
    let good = ledger.pending_transfer("a", "b", "1");
    let mut wrong_balance = good.clone();
    wrong_balance.writes[1].events[0].balance = wrong_balance.writes[0].events[0].balance;
    let mut wrong_version = good.clone();
    wrong_version.writes[1].events[0].version = Version(9);
    let mut wrong_wallet = good.clone();
    wrong_wallet.writes[1].events[0].wallet_id = wallet("c");
    let mut named_twice = good.clone();
    named_twice.writes[1] = named_twice.writes[0].clone();
    let mut key_twice = good.clone();
    key_twice.records.push(key_twice.records[0].clone());
    for bad in [wrong_balance, wrong_version, wrong_wallet, named_twice, key_twice] {
        let [Completion::Failed(failure)] = &journal.append(&[bad], NOW)[..] else { panic!("taken") };
        assert_eq!(failure.kind, FailureKind::Rejected);
    }
    ledger.assert_same(&journal);
    assert_eq!(journal.append(&[&good], NOW), [done()], "the right one is still welcome");
    ledger.accept(&good);
    ledger.assert_same(&journal);
}

#[test]
fn a_new_wallet_named_twice_in_one_append_is_refused() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let mut create = ledger.clone().create("a");
    create.writes.push(create.writes[0].clone());
    assert!(is_failed(&journal.append(&[create], NOW)[0]));
    ledger.fill(&mut journal, 1);
    ledger.assert_same(&journal);
}

#[test]
fn expectations_without_events_are_checked_and_write_nothing() {
    let (storage, _) = filled(0);
    let storage = storage.restart(1);
    let (mut journal, _) = open(&storage);
    let expect = |version| Append {
        writes: vec![StreamWrite { wallet: wallet("a"), expected: Version(version), events: Vec::new() }],
        records: Vec::new(),
    };
    let before = storage.operations();
    assert_eq!(journal.append(&[expect(1), expect(2)], NOW), [done(), Completion::Conflict]);
    assert_eq!(storage.operations(), before);
}

#[test]
fn a_load_gives_the_newest_state_or_nothing_new() {
    let (storage, ledger) = filled(3);
    let (journal, _) = open(&storage.restart(1));
    let load = |name: &str, known| journal.load(&Load { wallet: wallet(name), known: Version(known) });
    assert_eq!(load("a", 0).snapshot.as_ref(), ledger.wallets.get(&wallet("a")));
    assert_eq!(load("a", 2).snapshot.as_ref(), ledger.wallets.get(&wallet("a")));
    assert_eq!(load("a", 3).snapshot, None);
    assert_eq!(load("nobody", 0).snapshot, None);
    assert!(load("a", 0).events.is_empty());
}

#[test]
fn answers_come_back_byte_for_byte_in_whatever_form_they_are_stored() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let mut appends = vec![ledger.create("a"), ledger.create("b"), ledger.transfer("a", "b", "2.50")];
    appends.push(ledger.pending_transfer("a", "nobody", "1"));
    let refused = appends[3].records[0].answer.outcome.clone();
    assert!(matches!(refused, Err(Rejection::WalletNotFound { .. })));
    // An answer that does not follow from the events is kept as it is.
    let mut odd = ledger.transfer("b", "a", "1");
    let Ok(Success::Transfer { from, .. }) = &mut odd.records[0].answer.outcome else { panic!("a transfer") };
    from.updated_at = LATER;
    appends.push(odd);
    let mut batch = ledger.transfer("b", "a", "1");
    let answer = batch.records[0].answer.clone();
    batch.records[0].answer = FinalAnswer { outcome: Ok(Success::Batch(vec![answer.outcome, refused])), ..answer };
    appends.push(batch);
    assert_eq!(journal.append(&appends, NOW), vec![done(); 6]);
    ledger.fill(&mut journal, 40);
    drop(journal);

    let storage = storage.restart(1);
    let (journal, _) = open(&storage);
    for append in &appends {
        let record = &append.records[0];
        let found = journal.reserve(&record.idempotency.key, NOW).unwrap().unwrap();
        assert_eq!(found.0, record.idempotency.fingerprint);
        assert_eq!(serde_json::to_vec(&found.1).unwrap(), serde_json::to_vec(&record.answer).unwrap());
    }
    let stored = |text: &str| {
        let segment = storage.content(&file(&storage, ".seg", 1)).unwrap();
        segment.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    };
    assert_eq!(stored("\"outcome\""), 3, "only the refusal, the odd one and the batch are stored as JSON");
}

#[test]
fn an_answer_of_one_command_among_many_in_a_large_append_is_rebuilt() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let mut merged = Append { writes: Vec::new(), records: Vec::new() };
    for index in 0..20 {
        let create = ledger.create(&format!("w{index}"));
        merged.writes.extend(create.writes);
        merged.records.extend(create.records);
    }
    assert_eq!(journal.append(&[&merged], NOW), [done()]);
    for record in &merged.records {
        let found = journal.reserve(&record.idempotency.key, NOW).unwrap().unwrap();
        assert_eq!(found.1, record.answer);
    }
    let segment = storage.content(&file(&storage, ".seg", 1)).unwrap();
    assert!(!segment.windows(9).any(|window| window == b"\"outcome\""), "none is stored as JSON");
}

#[test]
fn a_key_is_used_once_until_it_expires() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 0);
    let refused = ledger.pending_transfer("a", "nobody", "1");
    assert_eq!(journal.append(&[&refused, &refused], NOW), [done(), done()], "the same record, within a group");
    assert_eq!(journal.append(&[&refused], NOW), [done()], "and later");
    let mut other_payload = refused.clone();
    other_payload.records[0].idempotency.fingerprint = key(999).fingerprint;
    assert_eq!(journal.append(&[&other_payload], NOW), [Completion::Conflict]);
    let mut with_events = ledger.pending_transfer("a", "b", "1");
    with_events.records = refused.records.clone();
    assert_eq!(journal.append(&[&with_events], NOW), [Completion::Conflict]);

    let used = refused.records[0].idempotency.key;
    assert!(journal.reserve(&used, NOW).unwrap().is_some());
    assert_eq!(journal.reserve(&used, LATER).unwrap(), None, "expired");
    assert_eq!(journal.append(&[&with_events], LATER), [done()], "an expired key is free again");
    ledger.accept(&with_events);
    ledger.assert_same(&journal);
}

#[test]
fn expired_keys_are_forgotten_in_bounded_steps() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, 17);
    let mut kept = ledger.transfer("a", "b", "1");
    kept.records[0].expires_at = Timestamp::from_micros(LATER.as_micros() + 1);
    assert_eq!(journal.append(&[&kept], NOW), [done()]);
    assert_eq!(journal.keys(), 21);
    assert_eq!(journal.forget_expired_keys(NOW, 100), 0);
    let steps: Vec<usize> = (0..6).map(|_| journal.forget_expired_keys(LATER, 4)).collect();
    assert_eq!(steps.iter().sum::<usize>(), 20);
    assert!(steps.iter().all(|step| *step <= 4));
    assert_eq!(journal.keys(), 1);
    assert!(journal.reserve(&kept.records[0].idempotency.key, LATER).unwrap().is_some());
}

#[test]
fn a_group_too_large_for_one_frame_is_cut_into_several() {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    let group: Vec<Append> = (0..40_000).map(|index| ledger.create(&format!("w{index}"))).collect();
    assert!(journal.append(&group, NOW).iter().all(|outcome| *outcome == done()));
    assert_eq!(journal.position(), Position(40_000));
    let again = [&group[0], &group[39_999]];
    assert_eq!(journal.append(&again, NOW), [done(), done()]);
    drop(journal);
    let (journal, recovery) = open(&storage.restart(1));
    assert_eq!((recovery.frames_read, recovery.events_read), (2, 40_000));
    assert_eq!(journal.wallets().count(), 40_000);
}
