//! INV-04: what was acknowledged is in the event store for ever: at the moment of the answer, and when the run is over.
//!
//! A "done" must show versions and balances that the books have; the events behind them must be in the log that is
//! found at the end. Refusals and reads acknowledge nothing; whether it was what the client asked for is INV-05's.

use std::collections::BTreeMap;

use wallex_core::id::{EventId, WalletId};

use super::{Books, Checker, End, Report};
use crate::history::Outcome;
use crate::observe::Observation;

#[derive(Debug, Default)]
pub(crate) struct Durable {
    acknowledged: BTreeMap<EventId, (WalletId, u64)>,
}

impl Checker for Durable {
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        let Observation::Answered(attempt, outcome @ Outcome::Done { .. }) = observation else { return };
        for shown in outcome.shown() {
            match books.at_version(&shown.wallet, shown.version) {
                Some(entry) if entry.balance == shown.balance => {
                    self.acknowledged.insert(entry.event_id, (shown.wallet.clone(), shown.version));
                }
                stored => report.add(4, Some(&shown.wallet), || {
                    let stored = stored.map_or("nothing".to_owned(), |entry| format!("balance {}", entry.balance));
                    format!(
                        "client {} was told version {} with balance {}, but the event store has {stored} there",
                        attempt.client, shown.version, shown.balance
                    )
                }),
            }
        }
    }

    fn at_end(&mut self, _: &Books, end: End<'_>, report: &mut Report) {
        let events = end.evidence.log.iter().map(|recorded| &recorded.event);
        let kept: BTreeMap<EventId, (&WalletId, u64)> =
            events.map(|event| (event.event_id, (&event.wallet_id, event.version.0))).collect();
        for (event, (wallet, version)) in &self.acknowledged {
            if kept.get(event) != Some(&(wallet, *version)) {
                report.add(4, Some(wallet), || format!("version {version} was acknowledged and is not in the log"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::sample::{Run, answer, append, create, done, recorded};
    use crate::history::History;
    use crate::observe::Evidence;

    #[test]
    fn an_answer_before_its_append_is_found() {
        let mut run = Run::of([]);
        answer(&mut run, &done(&[("a", 1, 10_00)]));
        assert_eq!(run.found(), [4]);
    }

    #[test]
    fn an_answer_with_another_balance_is_found() {
        let mut run = Run::of([append(&[create("a", 10_00)])]);
        answer(&mut run, &done(&[("a", 1, 10_00)]));
        assert!(run.found().is_empty());
        answer(&mut run, &done(&[("a", 1, 10_01)]));
        assert_eq!(run.found(), [4]);
    }

    #[test]
    fn an_acknowledged_event_that_vanishes_is_found_at_the_end() {
        let run = || {
            let mut run = Run::of([append(&[create("a", 10_00)])]);
            answer(&mut run, &done(&[("a", 1, 10_00)]));
            run
        };
        let lost = run().end(&History::default(), &Evidence::default());
        assert!(lost.violations.iter().any(|violation| violation.invariant.0 == 4));
        let evidence = Evidence { log: recorded([create("a", 10_00)]), ..Evidence::default() };
        let kept = run().end(&History::default(), &evidence);
        assert!(kept.violations.iter().all(|violation| violation.invariant.0 != 4));
    }

    #[test]
    fn an_answer_that_shows_a_version_that_is_not_there_is_found() {
        let mut run = Run::of([append(&[create("a", 10_00)])]);
        answer(&mut run, &done(&[("a", 2, 10_00)]));
        answer(&mut run, &done(&[("b", 1, 10_00)]));
        assert_eq!(run.found(), [4, 4]);
    }
}
