//! INV-06: zero loss. A checkpoint never passes an event that did not arrive: in the outbox, in the topic, in a
//! projection, or among what is set aside. When all is at rest, every event of the log is everywhere.
//!
//! Checkpoints are judged at every step, the rest at the end. That all comes to rest is INV-10's, that rows are right
//! INV-08's.

use wallex_core::id::WalletId;
use wallex_core::projector::Consumer;

use super::{Books, Checker, End, Report};
use crate::observe::Observation;

#[derive(Debug)]
pub(crate) struct ZeroLoss;

impl Checker for ZeroLoss {
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        let delivery = &books.delivery;
        match observation {
            Observation::OutboxWritten { from, to, .. } => {
                for (position, event, wallet) in books.between(*from, *to) {
                    if !delivery.outbox.contains(event) {
                        report.add(6, Some(wallet), || {
                            format!("the feeder went from {from} to {to}, but position {position} is not in the outbox")
                        });
                    }
                }
            }
            Observation::RelayMarked { from, to, .. } => {
                for (position, event, wallet) in books.between(*from, *to) {
                    if !delivery.published.contains(event) && !delivery.holds(Consumer::Relay, *event) {
                        report.add(6, Some(wallet), || {
                            format!("the relay went from {from} to {to}, but position {position} was not published")
                        });
                    }
                }
            }
            Observation::Projected { consumer, checkpoints, .. } => {
                for (partition, from, to) in *checkpoints {
                    for message in delivery.sent(*partition, *from, *to) {
                        let reached = delivery.projected(*consumer, &message.wallet);
                        let held = delivery.first_held(*consumer, &message.wallet);
                        let aside = held.is_some_and(|first| first <= message.version);
                        if reached < message.version && !aside {
                            report.add(6, Some(&message.wallet), || {
                                format!(
                                    "{} went from {from} to {to} in partition {partition}, past version {} at {}, and \
                                     has applied {reached}",
                                    consumer.name(),
                                    message.version,
                                    message.offset
                                )
                            });
                        }
                    }
                }
            }
            Observation::Appended(_)
            | Observation::Answered(..)
            | Observation::Published(_)
            | Observation::DeadPublished(_)
            | Observation::DatabaseRolledBack(_)
            | Observation::JournalRecovered { .. }
            | Observation::Healed => {}
        }
    }

    fn at_end(&mut self, books: &Books, end: End<'_>, report: &mut Report) {
        if !end.evidence.unsettled.is_empty() {
            return;
        }
        let held = |consumer: Consumer, wallet: &WalletId, version: u64| {
            let mut all = end.evidence.held.iter();
            all.any(|one| one.consumer == consumer && one.wallet_id == *wallet && one.version.0 <= version)
        };
        let outbox: std::collections::BTreeSet<_> = end.evidence.outbox.iter().map(|row| row.event.event_id).collect();
        let topic: std::collections::BTreeSet<_> =
            end.evidence.topic.iter().flatten().map(|message| message.event_id).collect();
        let ledger: std::collections::BTreeSet<_> = end.evidence.ledger.iter().map(|row| row.event_id).collect();
        for (wallet, entries) in books.wallets() {
            let mut rows = end.evidence.read_model.iter().filter(|row| row.id == *wallet);
            let reached = rows.next().map_or(0, |row| row.version.0);
            for entry in entries {
                let version = entry.version;
                let relayed = !held(Consumer::Relay, wallet, version);
                let missing = [
                    (!outbox.contains(&entry.event_id), "the outbox"),
                    (relayed && !topic.contains(&entry.event_id), "the topic"),
                    (relayed && reached < version && !held(Consumer::ReadModel, wallet, version), "the read model"),
                    (
                        relayed && !ledger.contains(&entry.event_id) && !held(Consumer::Ledger, wallet, version),
                        "the ledger",
                    ),
                ];
                for (_, place) in missing.iter().filter(|(missing, _)| *missing) {
                    report.add(6, Some(wallet), || format!("version {version} never reached {place}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::event::Event;
    use wallex_core::id::{EventId, Position};
    use wallex_core::projector::{Consumer, DeadLetter, HeldEvent, Projection, partition_of};

    use crate::check::sample::{
        Run, append, asked_for, create, credit, evidence_of, insert, ledger, messages, recorded, wallet,
    };
    use crate::history::History;
    use crate::observe::{Evidence, Observation};

    fn events() -> [Event; 2] {
        [create("a", 10_00), credit("a", 2, 1_00, 11_00, "")]
    }

    fn run() -> Run {
        Run::of(events().map(|event| append(&[event])))
    }

    fn held(consumer: Consumer, event: &Event) -> HeldEvent {
        HeldEvent {
            consumer,
            wallet_id: event.wallet_id.clone(),
            event_id: event.event_id,
            version: event.version,
            partition: partition_of(&event.wallet_id),
            offset: event.version.0,
            event: None,
            dead: Some(DeadLetter { reason: "refused".to_owned(), attempts: 8 }),
        }
    }

    #[test]
    fn a_feeder_that_skips_an_event_is_found_at_once() {
        let rows = recorded(events());
        let mut good = run();
        good.see(&Observation::OutboxWritten { events: &rows, from: Position(0), to: Position(2) });
        assert!(good.found().is_empty());
        let mut bad = run();
        bad.see(&Observation::OutboxWritten { events: &rows[1..], from: Position(0), to: Position(2) });
        assert_eq!(bad.found(), [6]);
    }

    #[test]
    fn a_feeder_that_does_not_write_again_what_a_power_cut_took_is_found() {
        let rows = recorded(events());
        for (again, found) in [(&rows[..], vec![]), (&rows[1..], vec![6])] {
            let mut run = run();
            run.see(&Observation::OutboxWritten { events: &rows, from: Position(0), to: Position(2) });
            run.see(&Observation::DatabaseRolledBack(&Evidence::default()));
            run.see(&Observation::OutboxWritten { events: again, from: Position(0), to: Position(2) });
            assert_eq!(run.found(), found);
        }
    }

    #[test]
    fn a_relay_that_marks_what_it_did_not_publish_is_found_at_once() {
        let mark = |run: &mut Run, held: &[HeldEvent], released: &[EventId]| {
            run.see(&Observation::RelayMarked { from: Position(0), to: Position(1), held, released });
        };
        let mut lost = run();
        mark(&mut lost, &[], &[]);
        assert_eq!(lost.found(), [6]);
        let mut published = run();
        published.see(&Observation::Published(&messages(&events())[0]));
        mark(&mut published, &[], &[]);
        assert!(published.found().is_empty());
        let mut aside = run();
        mark(&mut aside, &[held(Consumer::Relay, &events()[0])], &[]);
        assert!(aside.found().is_empty());
        mark(&mut aside, &[], &[events()[0].event_id]);
        assert_eq!(aside.found(), [6], "it was let go of and never published");
    }

    /// What is found when a consumer passes both messages, having written these rows and set these events aside.
    fn passed(consumer: Consumer, changes: &Projection, held: &[HeldEvent]) -> Vec<u8> {
        let mut run = run();
        messages(&events()).iter().for_each(|message| run.see(&Observation::Published(message)));
        let checkpoints = [(partition_of(&wallet("a")), 0, 2)];
        run.see(&Observation::Projected { consumer, changes, checkpoints: &checkpoints, held, released: &[] });
        run.found()
    }

    #[test]
    fn a_consumer_that_passes_what_it_did_not_apply_is_found_at_once() {
        let [first, second] = events();
        let consumer = Consumer::Ledger;
        assert!(passed(consumer, &ledger(&events()), &[]).is_empty());
        assert_eq!(passed(consumer, &ledger(&events()[..1]), &[]), [6]);
        assert_eq!(passed(consumer, &ledger(&[]), &[]), [6, 6]);
        assert!(passed(consumer, &ledger(&events()[..1]), &[held(consumer, &second)]).is_empty());
        assert!(passed(consumer, &ledger(&[]), &[held(consumer, &first)]).is_empty(), "what follows waits behind it");
        assert_eq!(passed(consumer, &ledger(&[]), &[held(consumer, &second)]), [6]);
        assert_eq!(passed(Consumer::ReadModel, &insert(&first), &[]), [6]);
        assert!(passed(Consumer::ReadModel, &insert(&first), &[held(Consumer::ReadModel, &second)]).is_empty());
    }

    #[test]
    fn a_consumer_may_pass_again_what_it_has_applied() {
        let mut run = run();
        messages(&events()).iter().for_each(|message| run.see(&Observation::Published(message)));
        run.project(Consumer::Ledger, &ledger(&events()), &[]);
        let (consumer, partition) = (Consumer::Ledger, partition_of(&wallet("a")));
        for checkpoints in [[(partition, 0, 2)], [(partition, 1, 2)]] {
            let (changes, checkpoints) = (&ledger(&[]), &checkpoints);
            run.see(&Observation::Projected { consumer, changes, checkpoints, held: &[], released: &[] });
        }
        assert!(run.found().is_empty());
    }

    /// What is found at the end, in words, when something of it has changed.
    fn at_the_end(change: impl FnOnce(&mut Evidence)) -> Vec<String> {
        let (history, appends): (History, _) = asked_for(events().map(|event| append(&[event])).to_vec());
        let mut evidence = evidence_of(&appends);
        change(&mut evidence);
        let violations = Run::of(appends).end(&history, &evidence).violations;
        violations.into_iter().filter(|one| one.invariant.0 == 6).map(|one| one.text).collect()
    }

    #[test]
    fn an_event_that_never_arrives_is_found_at_the_end() {
        let second = || held(Consumer::Ledger, &events()[1]);
        assert_eq!(at_the_end(|_| {}), Vec::<String>::new());
        let lost = |evidence: &mut Evidence| drop(evidence.ledger.pop());
        assert_eq!(at_the_end(lost), ["version 2 never reached the ledger"]);
        assert_eq!(at_the_end(|evidence| drop(evidence.outbox.pop())), ["version 2 never reached the outbox"]);
        assert_eq!(
            at_the_end(|evidence| evidence.topic.iter_mut().for_each(|messages| drop(messages.pop()))),
            ["version 2 never reached the topic"]
        );
        let missing: Vec<String> =
            [1, 2].map(|version| format!("version {version} never reached the read model")).into();
        assert_eq!(at_the_end(|evidence| evidence.read_model.clear()), missing);
        let aside = |evidence: &mut Evidence| {
            lost(evidence);
            evidence.held.push(second());
        };
        assert_eq!(at_the_end(aside), Vec::<String>::new(), "it is set aside");
        let of_another = |evidence: &mut Evidence| {
            lost(evidence);
            evidence.held.push(HeldEvent { consumer: Consumer::ReadModel, ..second() });
        };
        assert_eq!(at_the_end(of_another), ["version 2 never reached the ledger"]);
    }

    #[test]
    fn what_has_not_come_to_rest_is_not_lost_yet() {
        let unsettled = |evidence: &mut Evidence| {
            evidence.ledger.clear();
            evidence.unsettled.push("the ledger is behind".to_owned());
        };
        assert_eq!(at_the_end(unsettled), Vec::<String>::new());
    }
}
