//! INV-05: a command id takes effect at most once, and every answer to it is the same.
//!
//! Online: an event id comes once, and all events of a command come in one append. At the end, from the clients' side:
//! an operation (all attempts under one key with one payload) has the events of at most one command, what is known not
//! to be done has none, and all answers that stand are equal. No event is a phantom, whatever the client knows: somebody
//! asked for it, and its kind, wallets and amount are those of the command.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::event::Recorded;
use wallex_core::id::CommandId;

use super::operations::{Known, Operation, Operations};
use super::{Books, Checker, End, Report};
use crate::history::{AttemptId, Command, History, Outcome, Step};
use crate::observe::Observation;

#[derive(Debug, Default)]
pub(crate) struct Once {
    commands: BTreeSet<CommandId>,
}

impl Checker for Once {
    fn on_event(&mut self, books: &Books, recorded: &Recorded, report: &mut Report) {
        let event = &recorded.event;
        if let Some((wallet, entry)) = books.find(event.event_id) {
            let (position, at) = (recorded.position, entry.position);
            report.add(5, Some(wallet), || {
                format!("event {} is in the log twice, at {at} and at {position}", event.event_id)
            });
        }
    }

    fn on(&mut self, _: &Books, observation: &Observation<'_>, report: &mut Report) {
        let Observation::Appended(events) = observation else { return };
        let commands: BTreeSet<CommandId> = events.iter().map(|recorded| recorded.event.command_id).collect();
        for command in commands {
            if !self.commands.insert(command) {
                let mut own = events.iter().filter(|recorded| recorded.event.command_id == command);
                let wallet = own.next().map(|recorded| &recorded.event.wallet_id);
                report.add(5, wallet, || format!("command {command} took effect in a second append"));
            }
        }
    }

    fn at_end(&mut self, books: &Books, end: End<'_>, report: &mut Report) {
        only_what_was_asked_for(books, end.history, report);
        let operations = Operations::of(end.history);
        let effects = effects(books, &operations, report);
        for (number, operation) in operations.all.iter().enumerate() {
            let commands = effects.get(&number).map_or(0, BTreeSet::len);
            took_effect(operation, commands, report);
            answered_in_one_way(operation, report);
        }
    }
}

/// The commands that each operation ran as, by its number. An attempt that is known not to have done anything has none.
fn effects(books: &Books, operations: &Operations<'_>, report: &mut Report) -> BTreeMap<usize, BTreeSet<CommandId>> {
    let mut effects: BTreeMap<usize, BTreeSet<CommandId>> = BTreeMap::new();
    for (wallet, entries) in books.wallets() {
        for entry in entries {
            let Some(attempt) = entry.attempt else { continue };
            let Some(number) = operations.number_of(attempt) else { continue };
            effects.entry(number).or_default().insert(entry.command_id);
            let own = operations.all[number].attempts.iter().find(|one| one.id == attempt);
            if let Some((_, Outcome::NotDone(why))) = own.and_then(|own| own.returned.as_ref()) {
                report.add(5, Some(wallet), || {
                    format!("attempt {} was answered {why:?}, but did version {}", attempt.0, entry.version)
                });
            }
        }
    }
    effects
}

fn took_effect(operation: &Operation<'_>, commands: usize, report: &mut Report) {
    let wallet = operation.command.wallets().next();
    if commands > 1 {
        report.add(5, wallet, || {
            format!("{:?} (key {:?}) took effect {commands} times", operation.command, operation.key)
        });
    }
    let known = operation.known();
    let refused = matches!(known, Known::Never | Known::Answered(_, Outcome::Refused { .. }));
    if commands > 0 && refused {
        report.add(5, wallet, || format!("{:?} took effect, though the client knows {known:?}", operation.command));
    }
}

fn answered_in_one_way(operation: &Operation<'_>, report: &mut Report) {
    let returned = operation.attempts.iter().filter_map(|attempt| attempt.returned.as_ref());
    let answers: Vec<&Outcome> = returned.map(|(_, outcome)| outcome).filter(|outcome| outcome.is_final()).collect();
    if answers.windows(2).any(|pair| !same(pair[0], pair[1])) {
        report.add(5, operation.command.wallets().next(), || {
            format!("{:?} (key {:?}) was answered differently: {answers:?}", operation.command, operation.key)
        });
    }
}

/// No event is a phantom: each leads to an attempt, whether its client knows the outcome or not, and what a command did
/// is what that attempt asked for.
fn only_what_was_asked_for(books: &Books, history: &History, report: &mut Report) {
    let mut done: BTreeMap<(CommandId, AttemptId), BTreeMap<&Step, usize>> = BTreeMap::new();
    for (wallet, entries) in books.wallets() {
        for entry in entries {
            match entry.attempt.filter(|attempt| history.attempts().get(attempt.0 as usize).is_some()) {
                Some(attempt) => {
                    let steps = done.entry((entry.command_id, attempt)).or_default();
                    *steps.entry(&entry.done).or_default() += 1;
                }
                None => report.add(5, Some(wallet), || {
                    format!("nobody asked for version {}, which did {:?}", entry.version, entry.done)
                }),
            }
        }
    }
    for ((command, attempt), done) in done {
        let asked = &history.attempts()[attempt.0 as usize].command;
        if let Some((step, times)) = difference(asked, &done) {
            report.add(5, step.wallets().next(), || {
                format!(
                    "attempt {} asked for {asked:?}, but command {command} has {times} events of {step:?}",
                    attempt.0
                )
            });
        }
    }
}

/// A step that a command has another number of events of than was asked for. A batch may be done in part when it is not
/// atomic; whatever else took effect did so as a whole.
fn difference<'a>(asked: &'a Command, done: &BTreeMap<&'a Step, usize>) -> Option<(&'a Step, usize)> {
    let mut wanted: BTreeMap<&Step, usize> = done.keys().map(|step| (*step, 0)).collect();
    for step in asked.steps() {
        // A transfer has an event on either side.
        *wanted.entry(step).or_default() += step.wallets().count();
    }
    let in_part = matches!(asked, Command::Batch { atomic: false, .. });
    let times = |step: &Step| done.get(step).copied().unwrap_or(0);
    let mut steps = wanted.into_iter().map(|(step, wanted)| (step, wanted, times(step)));
    let wrong = steps.find(|(_, wanted, times)| times > wanted || (times < wanted && !in_part));
    wrong.map(|(step, _, times)| (step, times))
}

/// Whether two answers say the same; that one is a replay makes no difference.
fn same(one: &Outcome, other: &Outcome) -> bool {
    match (one, other) {
        (Outcome::Done { results: one, .. }, Outcome::Done { results: other, .. }) => one == other,
        (Outcome::Refused { refusal: one, .. }, Outcome::Refused { refusal: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wallex_core::command::Unavailable;
    use wallex_core::event::Event;

    use crate::check::sample::{
        Run, append, ask, asked_for, asks, at, by, create, credit, debit, done, evidence_of, transfer, wallet,
    };
    use crate::history::{AttemptId, Command, History, NotDone, Outcome, Refusal, Step};

    fn credit_of(amount: i64) -> Arc<Command> {
        Arc::new(Command::One { step: Step::Credit(wallet("a"), amount), if_match: None })
    }

    /// A history in which somebody asked for the wallet that all runs here begin with.
    fn begun() -> (History, Vec<Vec<Event>>) {
        asked_for(vec![append(&[create("a", 10_00)])])
    }

    fn texts(history: &History, appends: Vec<Vec<Event>>) -> Vec<String> {
        let evidence = evidence_of(&appends);
        let violations = Run::of(appends).end(history, &evidence).violations;
        violations.into_iter().filter(|one| one.invariant.0 == 5).map(|one| one.text).collect()
    }

    fn found(history: &History, appends: Vec<Vec<Event>>) -> usize {
        texts(history, appends).len()
    }

    /// How often what an attempt did is found not to be what it asked for, when all of it comes in one append.
    fn mismatches(command: Command, events: &[Event]) -> usize {
        let (mut history, mut appends) = asked_for(vec![append(&[create("a", 10_00)]), append(&[create("b", 5_00)])]);
        let attempt = asks(&mut history, None, command);
        let Some(first) = events.first().map(|event| event.command_id) else { return found(&history, appends) };
        appends.push(events.iter().map(|event| by(attempt, Event { command_id: first, ..event.clone() })).collect());
        found(&history, appends)
    }

    fn one(step: Step) -> Command {
        Command::One { step, if_match: None }
    }

    #[test]
    fn an_event_that_comes_twice_is_found() {
        let twice = credit("a", 2, 1_00, 11_00, "");
        let run = Run::of([append(&[create("a", 10_00)]), append(std::slice::from_ref(&twice)), append(&[twice])]);
        assert!(run.found().contains(&5));
    }

    #[test]
    fn a_command_that_took_effect_in_two_appends_is_found_at_the_second() {
        let first = credit("a", 2, 1_00, 11_00, "");
        let second = Event { command_id: first.command_id, ..credit("a", 3, 1_00, 12_00, "") };
        let together = Run::of([append(&[create("a", 10_00)]), append(&[first.clone(), second.clone()])]);
        assert!(together.found().is_empty());
        let apart = Run::of([append(&[create("a", 10_00)]), append(&[first]), append(&[second])]);
        assert_eq!(apart.found(), [5]);
        assert!(apart.text().contains("second append"), "{}", apart.text());
    }

    #[test]
    fn a_key_that_took_effect_twice_is_found() {
        let (mut history, created) = begun();
        let first = history.invoke(at(0), 0, Some(7), credit_of(1_00));
        history.returns(at(1), first, Outcome::Unknown);
        let second = history.invoke(at(2), 0, Some(7), credit_of(1_00));
        history.returns(at(3), second, done(&[("a", 3, 12_00)]));
        let other = ask(&mut history, Step::Credit(wallet("a"), 1_00));
        let (one, two) = (credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, ""));
        let run = |attempt: AttemptId| {
            let appends = [append(&[by(attempt, one.clone())]), append(&[by(second, two.clone())])];
            texts(&history, created.iter().cloned().chain(appends).collect())
        };
        let twice = run(first);
        assert!(twice.len() == 1 && twice[0].contains("took effect 2 times"), "{twice:?}");
        assert_eq!(run(other), Vec::<String>::new());
    }

    #[test]
    fn what_is_known_not_to_be_done_has_no_events() {
        for why in [NotDone::Unavailable(Unavailable::EventStore), NotDone::Unreachable, NotDone::InFlight] {
            let (mut history, created) = begun();
            let attempt = history.invoke(at(0), 0, Some(7), credit_of(1_00));
            history.returns(at(1), attempt, Outcome::NotDone(why));
            assert_eq!(found(&history, created.clone()), 0);
            let did = [append(&[by(attempt, credit("a", 2, 1_00, 11_00, ""))])];
            assert_eq!(found(&history, created.into_iter().chain(did).collect()), 2, "{why:?}");
        }
    }

    #[test]
    fn what_was_refused_has_no_events() {
        let (mut history, created) = begun();
        let attempt = history.invoke(at(0), 0, Some(7), credit_of(1_00));
        let refusal =
            Refusal { code: "wallet-not-found".into(), wallet: Some(wallet("a")), seen: None, members: Vec::new() };
        history.returns(at(1), attempt, Outcome::Refused { refusal, replayed: false });
        assert_eq!(found(&history, created.clone()), 0);
        let did = [append(&[by(attempt, credit("a", 2, 1_00, 11_00, ""))])];
        assert_eq!(found(&history, created.into_iter().chain(did).collect()), 1);
    }

    #[test]
    fn a_retry_that_is_answered_differently_is_found() {
        let (mut history, mut appends) = begun();
        for balance in [11_00, 12_00] {
            let attempt = history.invoke(at(0), 0, Some(7), credit_of(1_00));
            history.returns(at(1), attempt, done(&[("a", 2, balance)]));
        }
        appends.push(append(&[by(AttemptId(1), credit("a", 2, 1_00, 11_00, ""))]));
        assert_eq!(found(&history, appends), 1);
    }

    #[test]
    fn a_replay_is_the_same_answer() {
        let (mut history, mut appends) = begun();
        for replayed in [false, true] {
            let Outcome::Done { results, .. } = done(&[("a", 2, 11_00)]) else { panic!("it is done") };
            let attempt = history.invoke(at(0), 0, Some(7), credit_of(1_00));
            history.returns(at(1), attempt, Outcome::Done { results, replayed });
        }
        appends.push(append(&[by(AttemptId(1), credit("a", 2, 1_00, 11_00, ""))]));
        assert_eq!(found(&history, appends), 0);
    }

    #[test]
    fn an_event_that_nobody_asked_for_is_found() {
        let phantom = |event: Event| {
            let (history, created) = begun();
            texts(&history, created.into_iter().chain([append(&[event])]).collect())
        };
        let event = credit("a", 2, 1_00, 11_00, "");
        for phantom in [phantom(event.clone()), phantom(by(AttemptId(1), event))] {
            assert!(phantom.len() == 1 && phantom[0].contains("nobody asked for version 2"), "{phantom:?}");
        }
    }

    #[test]
    fn an_attempt_with_an_unknown_outcome_may_have_done_what_it_asked_for_or_nothing() {
        let asked = one(Step::Credit(wallet("a"), 1_00));
        assert_eq!(mismatches(asked.clone(), &[]), 0);
        assert_eq!(mismatches(asked, &[credit("a", 2, 1_00, 11_00, "")]), 0);
    }

    #[test]
    fn an_event_of_another_kind_wallet_or_amount_than_was_asked_for_is_found() {
        let asked = one(Step::Credit(wallet("a"), 1_00));
        assert_eq!(mismatches(asked.clone(), &[credit("a", 2, 2_00, 12_00, "")]), 1);
        assert_eq!(mismatches(asked.clone(), &[credit("b", 2, 1_00, 6_00, "")]), 1);
        assert_eq!(mismatches(asked, &[debit("a", 2, 1_00, 9_00)]), 1);
        assert_eq!(mismatches(Command::ReadStore { wallet: wallet("a") }, &[debit("a", 2, 1_00, 9_00)]), 1);
    }

    #[test]
    fn a_transfer_goes_where_and_as_far_as_was_asked_for() {
        let legs = transfer("a", 2, 7_00, "b", 2, 8_00, 3_00);
        let asked = |from: &str, to: &str, amount| one(Step::Transfer(wallet(from), wallet(to), amount));
        assert_eq!(mismatches(asked("a", "b", 3_00), &legs), 0);
        assert_eq!(mismatches(asked("a", "b", 3_01), &legs), 1);
        assert_eq!(mismatches(asked("b", "a", 3_00), &legs), 1);
        assert_eq!(mismatches(one(Step::Debit(wallet("a"), 3_00)), &legs), 1);
        assert_eq!(mismatches(asked("a", "b", 3_00), &legs[..1]), 1);
    }

    #[test]
    fn only_a_batch_that_is_not_atomic_may_be_done_in_part_and_none_more_often_than_asked() {
        let step = || Step::Credit(wallet("a"), 1_00);
        let batch = |atomic| Command::Batch { steps: vec![step(), step()], atomic };
        let events =
            [credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, ""), credit("a", 4, 1_00, 13_00, "")];
        for (atomic, parts) in [(false, [0, 0, 1]), (true, [1, 0, 1])] {
            let found = [1, 2, 3].map(|count| mismatches(batch(atomic), &events[..count]));
            assert_eq!(found, parts, "atomic: {atomic}");
        }
    }
}
