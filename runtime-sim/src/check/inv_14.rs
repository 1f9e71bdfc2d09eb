//! INV-14: the journal recovers exactly the acknowledged prefix after any crash. What it had reported as durable is there,
//! in the same order; what follows can only be appends that were on their way. Damage is reported when there is some, and
//! only then.

use super::{Books, Checker, Report};
use crate::observe::Observation;

#[derive(Debug)]
pub(crate) struct Recovered;

impl Checker for Recovered {
    /// `books` are as they were before the crash: the checks take what is new only afterwards.
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        let Observation::JournalRecovered { log, damaged, rotten } = observation else { return };
        match (damaged, rotten) {
            (true, true) => return,
            (true, false) => return report.add(14, None, || "the journal reports damage that nobody did".to_owned()),
            (false, true) => {
                report.add(14, None, || "a byte has rotted, and the journal does not report it".to_owned())
            }
            (false, false) => {}
        }
        let mut recovered = log.iter();
        for (at, expected) in books.order().enumerate() {
            let found = recovered.next();
            if found.is_none_or(|recorded| recorded.event.event_id != expected) {
                let wallet = books.find(expected).map(|(wallet, _)| wallet);
                return report.add(14, wallet, || match found {
                    None => format!("{} of {} durable events were recovered", at, books.events()),
                    Some(other) => format!("event {at} was {expected} and was recovered as {}", other.event.event_id),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::event::Event;

    use crate::check::sample::{Run, append, create, credit, recorded, transfer};
    use crate::observe::Observation;

    #[test]
    fn a_prefix_that_is_too_short_is_found_and_unacknowledged_appends_may_follow() {
        let events = [create("a", 10_00), create("b", 5_00), credit("a", 2, 1_00, 11_00, "")];
        let recover = |count: usize| {
            let mut run = Run::of([append(&events[..1]), append(&events[1..2])]);
            run.see(&Observation::JournalRecovered {
                log: &recorded(events[..count].to_vec()),
                damaged: false,
                rotten: false,
            });
            (run.found(), run.checks.books().events())
        };
        assert_eq!(recover(1), (vec![14], 2));
        assert_eq!(recover(2), (vec![], 2));
        assert_eq!(recover(3), (vec![], 3));
    }

    #[test]
    fn half_an_append_that_survives_is_found() {
        let events = [create("a", 10_00), create("b", 5_00)];
        let [debit, _] = transfer("a", 2, 7_00, "b", 2, 8_00, 3_00);
        let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
        let log = recorded(events.into_iter().chain([debit]));
        run.see(&Observation::JournalRecovered { log: &log, damaged: false, rotten: false });
        assert_eq!(run.found(), [1]);
    }

    #[test]
    fn damage_is_reported_exactly_when_there_is_some() {
        let found = |damaged: bool, rotten: bool| {
            let events = [create("a", 10_00)];
            let mut run = Run::of([append(&events)]);
            let log = if damaged { Vec::new() } else { recorded(events.to_vec()) };
            run.see(&Observation::JournalRecovered { log: &log, damaged, rotten });
            run.found()
        };
        assert_eq!(found(true, false), [14]);
        assert_eq!(found(false, true), [14]);
        assert!(found(true, true).is_empty());
        assert!(found(false, false).is_empty());
    }

    #[test]
    fn events_that_are_recovered_in_another_order_or_as_others_are_found() {
        let events = [create("a", 10_00), create("b", 5_00)];
        let recover = |log: [Event; 2]| {
            let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
            run.see(&Observation::JournalRecovered { log: &recorded(log), damaged: false, rotten: false });
            run.found().first().copied()
        };
        let [first, second] = events.clone();
        assert_eq!(recover([first.clone(), second.clone()]), None);
        assert_eq!(recover([second, first.clone()]), Some(14));
        assert_eq!(recover([first, create("c", 5_00)]), Some(14));
    }
}
