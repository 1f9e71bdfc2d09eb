//! INV-06: zero loss. A checkpoint never passes an event that did not arrive: in the outbox, in the topic, in a
//! projection, or among what is set aside. When all is at rest, every event of the log is everywhere.

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
    use wallex_core::id::Position;

    use crate::check::sample::{Run, append, create, credit, evidence_of, recorded};
    use crate::history::History;
    use crate::observe::Observation;

    fn run() -> Run {
        Run::of([append(&[create("a", 10_00)]), append(&[credit("a", 2, 1_00, 11_00, "")])])
    }

    #[test]
    fn a_feeder_that_skips_an_event_is_found_at_once() {
        let rows = recorded([create("a", 10_00), credit("a", 2, 1_00, 11_00, "")]);
        let mut good = run();
        good.see(&Observation::OutboxWritten { events: &rows, from: Position(0), to: Position(2) });
        assert!(good.found().is_empty());
        let mut bad = run();
        bad.see(&Observation::OutboxWritten { events: &rows[1..], from: Position(0), to: Position(2) });
        assert_eq!(bad.found(), [6]);
    }

    #[test]
    fn a_relay_that_marks_what_it_did_not_publish_is_found_at_once() {
        let mut run = run();
        run.see(&Observation::RelayMarked { from: Position(0), to: Position(1), held: &[], released: &[] });
        assert_eq!(run.found(), [6]);
    }

    #[test]
    fn an_event_that_never_arrives_is_found_at_the_end() {
        let appends = vec![append(&[create("a", 10_00)])];
        let whole = evidence_of(&appends);
        assert!(Run::of(appends.clone()).end(&History::default(), &whole).violations.is_empty());
        let mut lost = whole;
        lost.ledger.clear();
        let verdict = Run::of(appends).end(&History::default(), &lost);
        assert!(verdict.violations.iter().any(|violation| violation.text.contains("never reached the ledger")));
    }
}
