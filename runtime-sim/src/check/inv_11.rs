//! INV-11: a dead-lettered event holds back only its own wallet, and replays in order. Whatever waits, waits behind a dead
//! letter of the same wallet and consumer; nothing of that wallet is projected past it; every dead letter is announced in
//! its topic.

use std::collections::BTreeSet;

use wallex_core::projector::{Consumer, HeldEvent, Projection, WalletChange};

use super::{Books, Checker, End, Report};
use crate::observe::Observation;

#[derive(Debug)]
pub(crate) struct OnlyItsOwn;

fn waits_behind_its_own(books: &Books, consumer: Consumer, held: &[HeldEvent], report: &mut Report) {
    for waiting in held.iter().filter(|one| one.dead.is_none()) {
        let own = books.delivery.held.get(&(consumer, waiting.wallet_id.clone()));
        let behind = own.is_some_and(|own| own.range(..waiting.version.0).any(|(_, dead)| *dead));
        if !behind {
            report.add(11, Some(&waiting.wallet_id), || {
                format!("{} holds back version {} behind no dead letter", consumer.name(), waiting.version)
            });
        }
    }
}

impl Checker for OnlyItsOwn {
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        match observation {
            Observation::RelayMarked { held, .. } => waits_behind_its_own(books, Consumer::Relay, held, report),
            Observation::Projected { consumer, changes, held, .. } => {
                waits_behind_its_own(books, *consumer, held, report);
                let wallets: BTreeSet<_> = match changes {
                    Projection::Ledger(entries) => entries.iter().map(|entry| &entry.wallet_id).collect(),
                    Projection::ReadModel(changes) => changes
                        .iter()
                        .map(|change| match change {
                            WalletChange::Insert(row) => &row.id,
                            WalletChange::Update { wallet_id, .. } => wallet_id,
                        })
                        .collect(),
                };
                for wallet in wallets {
                    let (reached, first) =
                        (books.delivery.projected(*consumer, wallet), books.delivery.first_held(*consumer, wallet));
                    if let Some(first) = first.filter(|first| *first <= reached) {
                        report.add(11, Some(wallet), || {
                            format!("{} applied version {reached} while it holds {first}", consumer.name())
                        });
                    }
                }
            }
            Observation::Appended(_)
            | Observation::Answered(..)
            | Observation::OutboxWritten { .. }
            | Observation::Published(_)
            | Observation::DeadPublished(_)
            | Observation::DatabaseRolledBack(_)
            | Observation::JournalRecovered { .. }
            | Observation::Healed => {}
        }
    }

    fn at_end(&mut self, _: &Books, end: End<'_>, report: &mut Report) {
        let announced: BTreeSet<_> = end.evidence.dead_letters.iter().map(|one| (one.consumer, one.event_id)).collect();
        for dead in end.evidence.held.iter().filter(|one| one.dead.is_some()) {
            if !announced.contains(&(dead.consumer, dead.event_id)) {
                report.add(11, Some(&dead.wallet_id), || {
                    format!("the dead letter {} of {} is not in its topic", dead.version, dead.consumer.name())
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::id::{EventId, Position, Version};
    use wallex_core::projector::{Consumer, DeadLetter, HeldEvent, LedgerEntry, Projection};

    use crate::check::sample::{Run, append, create, credit, insert, ledger, update, wallet};
    use crate::history::History;
    use crate::observe::{Evidence, Observation};

    fn held(name: &str, version: u64, dead: bool) -> HeldEvent {
        HeldEvent {
            consumer: Consumer::Ledger,
            wallet_id: wallet(name),
            event_id: EventId::from_bytes([version as u8; 16]),
            version: Version(version),
            partition: 0,
            offset: version,
            event: None,
            dead: dead.then(|| DeadLetter { reason: "refused".to_owned(), attempts: 8 }),
        }
    }

    fn relay(held: &[HeldEvent]) -> Vec<u8> {
        let mut run = Run::of([]);
        run.see(&Observation::RelayMarked { from: Position(0), to: Position(0), held, released: &[] });
        run.found()
    }

    #[test]
    fn what_waits_behind_its_own_dead_letter_is_fine_and_else_it_is_found() {
        assert!(relay(&[held("a", 2, true), held("a", 3, false)]).is_empty());
        assert_eq!(relay(&[held("a", 2, true), held("b", 3, false)]), [11]);
        assert_eq!(relay(&[held("a", 4, true), held("a", 3, false)]), [11]);
    }

    #[test]
    fn a_projection_that_goes_on_past_its_dead_letter_is_found() {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, "")];
        let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
        let rows = Projection::Ledger(events.iter().map(LedgerEntry::from).collect());
        run.see(&Observation::Projected {
            consumer: Consumer::Ledger,
            changes: &rows,
            checkpoints: &[],
            held: &[held("a", 2, true)],
            released: &[],
        });
        assert_eq!(run.found(), [11]);
    }

    #[test]
    fn a_dead_letter_that_nobody_was_told_of_is_found() {
        let dead = held("a", 2, true);
        let quiet = Evidence { held: vec![dead.clone()], ..Evidence::default() };
        let told = Evidence { held: vec![dead.clone()], dead_letters: vec![dead], ..Evidence::default() };
        assert_eq!(Run::of([]).end(&History::default(), &quiet).violations.len(), 1);
        assert!(Run::of([]).end(&History::default(), &told).violations.is_empty());
    }

    #[test]
    fn a_projector_holds_back_only_what_is_behind_its_own_dead_letter() {
        let projected = |consumer: Consumer, held: &[HeldEvent]| {
            let mut run = Run::of([]);
            run.project(consumer, &Projection::Ledger(Vec::new()), held);
            run.found()
        };
        assert!(projected(Consumer::Ledger, &[held("a", 2, true), held("a", 3, false)]).is_empty());
        assert_eq!(projected(Consumer::Ledger, &[held("a", 2, true), held("b", 3, false)]), [11]);
        assert_eq!(projected(Consumer::ReadModel, &[held("a", 3, false)]), [11]);
    }

    #[test]
    fn what_another_consumer_gave_up_holds_nothing_back() {
        let mut run = Run::of([]);
        run.project(Consumer::Ledger, &Projection::Ledger(Vec::new()), &[held("a", 2, true)]);
        run.project(Consumer::ReadModel, &Projection::ReadModel(Vec::new()), &[held("a", 3, false)]);
        assert_eq!(run.found(), [11]);
    }

    #[test]
    fn a_row_of_the_read_model_that_goes_on_past_its_dead_letter_is_found() {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, "")];
        let found = |dead: u64| {
            let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
            run.project(Consumer::ReadModel, &insert(&events[0]), &[held("a", dead, true)]);
            run.project(Consumer::ReadModel, &update(1, &events[1]), &[]);
            run.found()
        };
        assert_eq!(found(2), [11]);
        assert!(found(3).is_empty(), "what comes before it goes on");
    }

    #[test]
    fn a_dead_letter_that_is_let_go_of_is_applied_with_what_waited_behind_it() {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, "")];
        let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
        let aside = [held("a", 2, true), held("a", 3, false)];
        run.project(Consumer::Ledger, &ledger(&events[..1]), &aside);
        let (consumer, changes) = (Consumer::Ledger, &ledger(&events[1..]));
        let released = &aside.map(|one| one.event_id);
        run.see(&Observation::Projected { consumer, changes, checkpoints: &[], held: &[], released });
        assert!(run.found().is_empty());
    }
}
