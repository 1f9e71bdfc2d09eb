//! INV-05: a command id takes effect at most once, and every answer to it is the same.
//!
//! Online: an event id comes once, and all events of a command come in one append. At the end, from the clients' side: an
//! operation (all attempts under one key with one payload) has the events of at most one command, what is known not to be
//! done has none, and all answers that stand are equal.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::event::Recorded;
use wallex_core::id::CommandId;

use super::operations::{Known, Operations};
use super::{Books, Checker, End, Report};
use crate::history::{AttemptId, NotDone, Outcome};
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
        let operations = Operations::of(end.history);
        let mut effects: BTreeMap<usize, BTreeMap<CommandId, AttemptId>> = BTreeMap::new();
        for (wallet, entries) in books.wallets() {
            for entry in entries {
                let Some(attempt) = entry.attempt else { continue };
                let Some(number) = operations.number_of(attempt) else { continue };
                effects.entry(number).or_default().insert(entry.command_id, attempt);
                let returned = end.history.attempts()[attempt.0 as usize].returned.as_ref();
                if let Some((_, Outcome::NotDone(why))) = returned
                    && !matches!(why, NotDone::Unreachable)
                {
                    report.add(5, Some(wallet), || {
                        format!("attempt {} was answered {why:?}, but did version {}", attempt.0, entry.version)
                    });
                }
            }
        }
        for (number, operation) in operations.all.iter().enumerate() {
            let wallet = operation.command.wallets().next();
            let commands = effects.get(&number).map_or(0, BTreeMap::len);
            if commands > 1 {
                report.add(5, wallet, || {
                    format!("{:?} (key {:?}) took effect {commands} times", operation.command, operation.key)
                });
            }
            let known = operation.known();
            let refused = matches!(known, Known::Never | Known::Answered(_, Outcome::Refused { .. }));
            if commands > 0 && refused {
                report.add(5, wallet, || {
                    format!("{:?} took effect, though the client knows {known:?}", operation.command)
                });
            }
            let answers: Vec<&Outcome> = operation
                .attempts
                .iter()
                .filter_map(|attempt| attempt.returned.as_ref().map(|(_, outcome)| outcome))
                .filter(|outcome| outcome.is_final())
                .collect();
            if answers.windows(2).any(|pair| !same(pair[0], pair[1])) {
                report.add(5, wallet, || {
                    format!("{:?} (key {:?}) was answered differently: {answers:?}", operation.command, operation.key)
                });
            }
        }
    }
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

    use crate::check::sample::{Run, append, at, by, create, credit, done, evidence_of, wallet};
    use crate::history::{AttemptId, Command, History, NotDone, Outcome, Step};

    fn credit_of(amount: i64) -> Arc<Command> {
        Arc::new(Command::One { step: Step::Credit(wallet("a"), amount), if_match: None })
    }

    fn found(history: &History, appends: Vec<Vec<wallex_core::event::Event>>) -> Vec<u8> {
        let evidence = evidence_of(&appends);
        let verdict = Run::of(appends).end(history, &evidence);
        verdict.violations.iter().map(|violation| violation.invariant.0).filter(|id| *id == 5).collect()
    }

    #[test]
    fn an_event_that_comes_twice_is_found() {
        let twice = credit("a", 2, 1_00, 11_00, "");
        let run = Run::of([append(&[create("a", 10_00)]), append(std::slice::from_ref(&twice)), append(&[twice])]);
        assert!(run.found().contains(&5));
    }

    #[test]
    fn a_key_that_took_effect_twice_is_found() {
        let mut history = History::default();
        let first = history.invoke(at(0), 0, Some(7), credit_of(1_00));
        history.returns(at(1), first, Outcome::Unknown);
        let second = history.invoke(at(2), 0, Some(7), credit_of(1_00));
        history.returns(at(3), second, done(&[("a", 3, 12_00)]));
        let create = append(&[create("a", 10_00)]);
        let (one, two) = (credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, ""));
        let twice = vec![create.clone(), append(&[by(first, one)]), append(&[by(second, two)])];
        assert_eq!(found(&history, twice), [5]);
        let once = vec![
            create,
            append(&[credit("a", 2, 1_00, 11_00, "")]),
            append(&[by(second, credit("a", 3, 1_00, 12_00, ""))]),
        ];
        assert!(found(&history, once).is_empty());
    }

    #[test]
    fn what_is_known_not_to_be_done_has_no_events() {
        let mut history = History::default();
        let attempt = history.invoke(at(0), 0, Some(7), credit_of(1_00));
        history.returns(at(1), attempt, Outcome::NotDone(NotDone::Unavailable(Unavailable::EventStore)));
        let appends = vec![append(&[create("a", 10_00)]), append(&[by(AttemptId(0), credit("a", 2, 1_00, 11_00, ""))])];
        assert_eq!(found(&history, appends), [5, 5]);
    }

    #[test]
    fn a_retry_that_is_answered_differently_is_found() {
        let mut history = History::default();
        for balance in [11_00, 12_00] {
            let attempt = history.invoke(at(0), 0, Some(7), credit_of(1_00));
            history.returns(at(1), attempt, done(&[("a", 2, balance)]));
        }
        assert_eq!(found(&history, vec![append(&[create("a", 10_00)])]), [5]);
    }
}
