//! Histories by hand: those that must pass, and the classical ways to be wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::books::Books;
use super::{Judgement, judge};
use crate::check::sample::{at, done, snapshot, wallet};
use crate::history::{Command, History, Outcome, Refusal, Step};

/// A history under construction: `(client, from, to, command, outcome)`, times in milliseconds.
#[derive(Default)]
struct Scene(History);

fn one(step: Step) -> Command {
    Command::One { step, if_match: None }
}

fn create(name: &str, balance: i64) -> Command {
    one(Step::Create(wallet(name), balance))
}

fn credit(name: &str, amount: i64) -> Command {
    one(Step::Credit(wallet(name), amount))
}

fn debit(name: &str, amount: i64) -> Command {
    one(Step::Debit(wallet(name), amount))
}

fn transfer(from: &str, to: &str, amount: i64) -> Command {
    one(Step::Transfer(wallet(from), wallet(to), amount))
}

fn seen(name: &str, version: u64, balance: i64) -> Outcome {
    Outcome::Read(Some(snapshot(name, version, balance)))
}

fn refused(code: &'static str, name: &str, seen: Option<i64>) -> Outcome {
    let refusal = Refusal { code: code.into(), wallet: Some(wallet(name)), seen, members: Vec::new() };
    Outcome::Refused { refusal, replayed: false }
}

impl Scene {
    fn with(mut self, from: i64, to: i64, command: Command, outcome: Outcome) -> Self {
        let attempt = self.0.invoke(at(from), 0, None, Arc::new(command));
        self.0.returns(at(to), attempt, outcome);
        self
    }

    fn keyed(mut self, from: i64, to: i64, key: u64, command: Command, outcome: Outcome) -> Self {
        let attempt = self.0.invoke(at(from), 0, Some(key), Arc::new(command));
        self.0.returns(at(to), attempt, outcome);
        self
    }

    fn created() -> Self {
        Self::default().with(0, 1, create("a", 10_00), done(&[("a", 1, 10_00)])).with(
            0,
            1,
            create("b", 5_00),
            done(&[("b", 1, 5_00)]),
        )
    }

    #[track_caller]
    fn is(self, linearizable: bool) {
        let judgements = judge(&self.0, &Books::default());
        let all = judgements.iter().all(|judgement| *judgement == Judgement::Linearizable);
        let none = judgements.iter().any(|judgement| matches!(judgement, Judgement::Not { .. }));
        assert!(if linearizable { all } else { none }, "{judgements:#?}");
    }
}

#[test]
fn concurrent_changes_in_the_order_of_their_versions_are_fine() {
    Scene::created()
        .with(2, 9, credit("a", 1_00), done(&[("a", 3, 8_00)]))
        .with(2, 9, debit("a", 3_00), done(&[("a", 2, 7_00)]))
        .with(3, 8, transfer("a", "b", 8_00), done(&[("a", 4, 0), ("b", 2, 13_00)]))
        .is(true);
}

#[test]
fn a_lost_update_is_found() {
    Scene::created()
        .with(2, 9, credit("a", 1_00), done(&[("a", 2, 11_00)]))
        .with(2, 9, credit("a", 1_00), done(&[("a", 2, 11_00)]))
        .is(false);
}

#[test]
fn a_change_that_goes_back_in_time_is_found() {
    Scene::created()
        .with(2, 3, credit("a", 1_00), done(&[("a", 3, 12_00)]))
        .with(4, 5, credit("a", 1_00), done(&[("a", 2, 11_00)]))
        .is(false);
}

#[test]
fn a_refusal_needs_a_moment_at_which_it_is_right() {
    let empties = |scene: Scene| scene.with(2, 6, debit("a", 10_00), done(&[("a", 2, 0)]));
    let refusal = || refused("insufficient-funds", "a", Some(0));
    empties(Scene::created()).with(5, 9, debit("a", 1_00), refusal()).is(true);
    // Over before the money went out.
    Scene::created()
        .with(2, 3, debit("a", 1_00), refusal())
        .with(4, 6, debit("a", 10_00), done(&[("a", 2, 0)]))
        .is(false);
}

#[test]
fn a_stale_refusal_after_the_money_came_in_is_found() {
    Scene::created()
        .with(2, 3, credit("b", 10_00), done(&[("b", 2, 15_00)]))
        .with(4, 5, debit("b", 10_00), refused("insufficient-funds", "b", Some(5_00)))
        .is(false);
}

#[test]
fn an_unknown_outcome_may_happen_late_or_never() {
    let unknown = || Scene::created().with(2, 3, credit("a", 1_00), Outcome::Unknown);
    unknown().with(50, 51, credit("a", 2_00), done(&[("a", 2, 12_00)])).is(true);
    unknown().with(50, 51, credit("a", 2_00), done(&[("a", 3, 13_00)])).is(true);
    unknown()
        .with(50, 51, credit("a", 2_00), done(&[("a", 2, 12_00)]))
        .with(60, 61, credit("a", 2_00), done(&[("a", 4, 15_00)]))
        .is(true);
    // Not before it was sent, and not twice.
    unknown().with(0, 1, credit("b", 2_00), done(&[("b", 3, 8_00)])).is(false);
    unknown().with(50, 51, credit("a", 2_00), done(&[("a", 4, 14_00)])).is(false);
}

#[test]
fn a_read_that_saw_an_unknown_change_proves_that_it_happened() {
    let unknown = || Scene::created().with(2, 3, credit("a", 1_00), Outcome::Unknown);
    let read = || Command::ReadStore { wallet: wallet("a") };
    let seen = |version, balance| Outcome::Read(Some(snapshot("a", version, balance)));
    unknown().with(4, 5, read(), seen(2, 11_00)).with(6, 7, read(), seen(2, 11_00)).is(true);
    unknown().with(4, 5, read(), seen(2, 11_00)).with(6, 7, read(), seen(1, 10_00)).is(false);
}

#[test]
fn a_retried_key_takes_effect_once() {
    let retried = || {
        Scene::created().keyed(2, 3, 7, credit("a", 1_00), Outcome::Unknown).keyed(
            4,
            9,
            7,
            credit("a", 1_00),
            done(&[("a", 2, 11_00)]),
        )
    };
    retried().with(10, 11, credit("a", 1_00), done(&[("a", 3, 12_00)])).is(true);
    // Somebody sees the money of both attempts.
    retried().with(10, 11, credit("a", 1_00), done(&[("a", 4, 13_00)])).is(false);
}

#[test]
fn a_phantom_is_found() {
    Scene::created()
        .with(2, 3, Command::ReadStore { wallet: wallet("c") }, Outcome::Read(Some(snapshot("c", 1, 1))))
        .is(false);
    Scene::created().with(2, 3, debit("a", 12_00), done(&[("a", 2, 0)])).is(false);
}

#[test]
fn a_transfer_that_reached_one_side_only_is_found() {
    Scene::created()
        .with(2, 3, transfer("a", "b", 1_00), done(&[("a", 2, 9_00), ("b", 2, 6_00)]))
        .with(4, 5, credit("b", 1_00), done(&[("b", 2, 6_00)]))
        .is(false);
    // Order across two wallets: both transfers cannot come first.
    Scene::created()
        .with(2, 9, transfer("a", "b", 1_00), done(&[("a", 2, 9_00), ("b", 3, 5_00)]))
        .with(2, 9, transfer("b", "a", 1_00), done(&[("b", 2, 4_00), ("a", 3, 10_00)]))
        .is(false);
}

#[test]
fn an_atomic_batch_is_all_or_nothing_and_others_are_not() {
    let batch = |atomic| Command::Batch {
        steps: vec![Step::Debit(wallet("a"), 10_00), Step::Debit(wallet("a"), 1_00)],
        atomic,
    };
    let short =
        Refusal { code: "insufficient-funds".into(), wallet: Some(wallet("a")), seen: Some(0), members: vec![] };
    let whole = Refusal { code: "batch-refused".into(), wallet: None, seen: None, members: vec![(1, short.clone())] };
    Scene::created()
        .with(2, 3, batch(true), Outcome::Refused { refusal: whole, replayed: false })
        .with(4, 5, credit("a", 1_00), done(&[("a", 2, 11_00)]))
        .is(true);
    let results = vec![Ok(vec![snapshot("a", 2, 0)]), Err(short)];
    Scene::created().with(2, 3, batch(false), Outcome::Done { results, replayed: false }).is(true);
}

#[test]
fn a_long_history_of_one_component_is_judged_quickly() {
    let mut scene = Scene::created();
    let (mut a, mut b) = ((1, 10_00), (1, 5_00));
    for round in 0..1_000 {
        let from = 10 + round * 10;
        // Three at a time on linked wallets, one of unknown fate, and a refusal.
        scene = scene.with(from, from + 9, credit("a", 1_00), done(&[("a", a.0 + 1, a.1 + 1_00)]));
        a = (a.0 + 1, a.1 + 1_00);
        scene = scene.with(
            from,
            from + 12,
            transfer("a", "b", 50),
            done(&[("a", a.0 + 1, a.1 - 50), ("b", b.0 + 1, b.1 + 50)]),
        );
        (a, b) = ((a.0 + 1, a.1 - 50), (b.0 + 1, b.1 + 50));
        scene = scene.with(from + 1, from + 8, debit("b", 100_000_000), refused("insufficient-funds", "b", Some(b.1)));
        if round % 50 == 0 {
            scene = scene.with(from, from + 5, credit("b", 3), Outcome::Unknown);
        }
    }
    let began = Instant::now();
    scene.is(true);
    let took = began.elapsed();
    eprintln!("3,020 operations judged in {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_search_without_end_gives_up_and_says_so() {
    let mut scene = Scene::created();
    for number in 0..40 {
        scene = scene.with(2, 3, credit("a", 1 << number), Outcome::Unknown);
    }
    scene = scene.with(100, 101, credit("a", 1), done(&[("a", 22, 1)]));
    let judgements = judge(&scene.0, &Books::default());
    assert!(matches!(&judgements[..], [Judgement::GaveUp(_) | Judgement::Linearizable, ..]), "{judgements:?}");
    assert!(judgements.iter().any(|judgement| matches!(judgement, Judgement::GaveUp(_))), "{judgements:?}");
}

fn batch(steps: &[Step], atomic: bool) -> Command {
    Command::Batch { steps: steps.to_vec(), atomic }
}

fn insufficient(name: &str, balance: i64) -> Refusal {
    let code = "insufficient-funds".into();
    Refusal { code, wallet: Some(wallet(name)), seen: Some(balance), members: Vec::new() }
}

/// A batch that credits `a` while it is refused on `b`, which had this balance.
fn in_part(scene: Scene, balance: i64) -> Scene {
    let steps = [Step::Debit(wallet("b"), 7_00), Step::Credit(wallet("a"), 1_00)];
    let results = vec![Err(insufficient("b", balance)), Ok(vec![snapshot("a", 2, 11_00)])];
    scene.with(2, 9, batch(&steps, false), Outcome::Done { results, replayed: false })
}

#[test]
fn a_batch_may_be_refused_on_a_wallet_that_changes_before_its_append() {
    // The read of `a` sees the credit, but comes after `b` has changed: the refusal rests on what `b` was before.
    let read = |scene: Scene| scene.with(5, 6, Command::ReadStore { wallet: wallet("a") }, seen("a", 1, 10_00));
    let changed = || Scene::created().with(3, 4, credit("b", 3_00), done(&[("b", 2, 8_00)]));
    in_part(read(changed()), 5_00).is(true);
    in_part(read(changed()), 6_00).is(false);
    in_part(read(changed()), 8_00).is(false);
}

#[test]
fn what_a_batch_is_refused_on_held_while_it_ran() {
    let late = Scene::created().with(1, 2, credit("b", 1_00), done(&[("b", 2, 6_00)]));
    in_part(late, 6_00).is(true);
    let over = Scene::created().with(1, 1, credit("b", 1_00), done(&[("b", 2, 6_00)]));
    in_part(over, 5_00).is(false);
}

#[test]
fn the_members_of_a_refused_batch_each_held_at_some_time() {
    let refused = |first: i64, second: i64| {
        let steps = [Step::Debit(wallet("a"), 1_00), Step::Debit(wallet("a"), 20_00), Step::Debit(wallet("b"), 9_00)];
        let members = vec![(1, insufficient("a", first)), (2, insufficient("b", second))];
        let refusal = Refusal { code: "batch-refused".into(), wallet: None, seen: None, members };
        let between = Scene::created().with(3, 4, transfer("a", "b", 2_00), done(&[("a", 2, 8_00), ("b", 2, 7_00)]));
        between.with(2, 9, batch(&steps, true), Outcome::Refused { refusal, replayed: false })
    };
    refused(9_00, 5_00).is(true);
    refused(7_00, 7_00).is(true);
    // Each wallet was read at a time of its own.
    refused(9_00, 7_00).is(true);
    refused(10_00, 5_00).is(false);
    refused(9_00, 6_00).is(false);
}

#[test]
fn a_batch_without_an_answer_is_done_whole_where_its_wallet_was_paid_before() {
    let steps = [Step::Debit(wallet("a"), 15_00), Step::Credit(wallet("b"), 1_00)];
    let scene = |version, balance| {
        Scene::created()
            .with(2, 9, batch(&steps, false), Outcome::Unknown)
            .with(3, 9, credit("a", 10_00), Outcome::Unknown)
            .with(20, 21, debit("a", 1_00), done(&[("a", version, balance)]))
    };
    // In the other order it is done in part, and the same operations leave another ledger.
    scene(4, 4_00).is(true);
    scene(3, 19_00).is(true);
    scene(3, 4_00).is(false);
}
