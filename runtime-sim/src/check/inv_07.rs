//! INV-07: every consumer applies a wallet's events in version order, without gap or repeat; the topic receives them in
//! that order too, where repeats are allowed.
//!
//! Judged at every step, as rows are committed and messages taken. A database that lost its newest commits goes on from
//! what is left. What never arrives is INV-06's.

use std::collections::BTreeMap;

use wallex_core::id::WalletId;
use wallex_core::projector::{Consumer, Projection, WalletChange};

use super::{Books, Checker, Report};
use crate::observe::Observation;

#[derive(Debug, Default)]
pub(crate) struct InOrder {
    published: BTreeMap<WalletId, u64>,
    projected: BTreeMap<(Consumer, WalletId), u64>,
}

impl InOrder {
    fn project(&mut self, consumer: Consumer, wallet: &WalletId, expected: u64, version: u64, report: &mut Report) {
        let reached = self.projected.entry((consumer, wallet.clone())).or_default();
        if *reached != expected || version <= expected {
            report.add(7, Some(wallet), || {
                format!("{} is at version {reached} and goes from {expected} to {version}", consumer.name())
            });
        }
        *reached = version;
    }
}

impl Checker for InOrder {
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        match observation {
            Observation::Published(message) => {
                let reached = self.published.entry(message.wallet_id.clone()).or_default();
                if message.version.0 > *reached + 1 {
                    report.add(7, Some(&message.wallet_id), || {
                        format!("version {} was published after version {reached}", message.version)
                    });
                }
                *reached = message.version.0.max(*reached);
            }
            Observation::Projected { consumer, changes: Projection::ReadModel(changes), .. } => {
                for change in changes {
                    match change {
                        WalletChange::Insert(row) => self.project(*consumer, &row.id, 0, row.version.0, report),
                        WalletChange::Update { wallet_id, expected, version, .. } => {
                            self.project(*consumer, wallet_id, expected.0, version.0, report);
                        }
                    }
                }
            }
            Observation::Projected { consumer, changes: Projection::Ledger(entries), .. } => {
                for entry in entries {
                    self.project(
                        *consumer,
                        &entry.wallet_id,
                        entry.version.0.saturating_sub(1),
                        entry.version.0,
                        report,
                    );
                }
            }
            // The books have taken the rollback already.
            Observation::DatabaseRolledBack(_) => self.projected = books.delivery.projected.clone(),
            Observation::Appended(_)
            | Observation::Answered(..)
            | Observation::OutboxWritten { .. }
            | Observation::DeadPublished(_)
            | Observation::RelayMarked { .. }
            | Observation::JournalRecovered { .. }
            | Observation::Healed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::id::Position;
    use wallex_core::projector::{Consumer, Projection, message_of};

    use crate::check::sample::{Run, append, create, credit, evidence_of, insert, ledger, update};
    use crate::observe::Observation;

    fn applied(versions: &[u64]) -> Vec<u8> {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, "")];
        let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
        for version in versions {
            run.project(Consumer::Ledger, &ledger(&events[*version as usize - 1..][..1]), &[]);
        }
        run.found()
    }

    #[test]
    fn a_consumer_that_repeats_or_skips_is_found() {
        assert!(applied(&[1, 2, 3]).is_empty());
        assert_eq!(applied(&[1, 3]), [7]);
        assert_eq!(applied(&[1, 2, 2]), [7]);
    }

    #[test]
    fn a_topic_may_repeat_and_may_not_skip() {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, "")];
        let published = |order: &[usize]| {
            let mut run = Run::of([]);
            for at in order {
                run.see(&Observation::Published(&message_of(Position(*at as u64 + 1), events[*at].clone())));
            }
            run.found()
        };
        assert!(published(&[0, 1, 0, 1, 2]).is_empty());
        assert_eq!(published(&[0, 2]), [7]);
    }

    #[test]
    fn a_row_of_the_read_model_moves_on_from_where_it_is() {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, ""), credit("a", 3, 1_00, 12_00, "")];
        let projected = |changes: &[Projection]| {
            let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
            changes.iter().for_each(|change| run.project(Consumer::ReadModel, change, &[]));
            run.found()
        };
        let [first, second, third] = &events;
        assert!(projected(&[insert(first), update(1, second), update(2, third)]).is_empty());
        assert!(projected(&[insert(first), update(1, third)]).is_empty(), "many events make one change");
        assert!(projected(&[insert(third)]).is_empty());
        assert_eq!(projected(&[insert(first), update(2, third)]), [7]);
        assert_eq!(projected(&[insert(first), insert(first)]), [7]);
        assert_eq!(projected(&[insert(first), update(1, first)]), [7]);
        assert_eq!(projected(&[update(1, second)]), [7]);
    }

    #[test]
    fn what_a_power_cut_took_is_applied_again_from_where_the_database_is() {
        let events = [create("a", 10_00), credit("a", 2, 1_00, 11_00, "")];
        let kept = evidence_of(&[append(&events[..1])]);
        for (again, found) in [(&events[1..], vec![]), (&events[..], vec![7])] {
            let mut run = Run::of(events.iter().map(|event| append(std::slice::from_ref(event))));
            run.project(Consumer::Ledger, &ledger(&events), &[]);
            run.see(&Observation::DatabaseRolledBack(&kept));
            run.project(Consumer::Ledger, &ledger(again), &[]);
            assert_eq!(run.found(), found);
        }
    }
}
