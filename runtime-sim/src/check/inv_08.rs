//! INV-08: a projection equals the fold of the log at its checkpoint: every row that is written, every row that a
//! reader sees, and all rows in the end.
//!
//! Held against what the books fold from amounts alone, version by version. Rows that are missing are INV-06's.

use wallex_core::id::WalletId;
use wallex_core::projector::{LedgerEntry, Projection, WalletChange};

use super::books::minor;
use super::{Books, Checker, End, Report};
use crate::history::Outcome;
use crate::observe::Observation;

#[derive(Debug)]
pub(crate) struct Faithful;

fn row(books: &Books, wallet: &WalletId, version: u64, balance: i64, report: &mut Report) {
    let entry = books.at_version(wallet, version);
    if entry.is_none_or(|entry| entry.folded != balance) {
        report.add(8, Some(wallet), || {
            let folded = entry.map_or("nothing".to_owned(), |entry| entry.folded.to_string());
            format!("the read model has balance {balance} at version {version}, the log makes {folded}")
        });
    }
}

fn ledger_row(books: &Books, row: &LedgerEntry, report: &mut Report) {
    let (amount, balance) = (minor(row.amount.minor_units()), minor(row.balance.minor_units()));
    let found = books.find(row.event_id).filter(|(wallet, entry)| {
        let before = books.at_version(wallet, entry.version.saturating_sub(1)).map_or(0, |entry| entry.folded);
        **wallet == row.wallet_id
            && entry.version == row.version.0
            && entry.folded == balance
            && entry.folded - before == amount
    });
    if found.is_none() {
        report.add(8, Some(&row.wallet_id), || {
            format!("the ledger has {amount:+} and balance {balance} at version {}, which the log has not", row.version)
        });
    }
}

impl Checker for Faithful {
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        match observation {
            Observation::Projected { changes: Projection::ReadModel(changes), .. } => {
                for change in changes {
                    match change {
                        WalletChange::Insert(new) => {
                            row(books, &new.id, new.version.0, minor(new.balance.minor_units()), report);
                        }
                        WalletChange::Update { wallet_id, version, balance, .. } => {
                            row(books, wallet_id, version.0, minor(balance.minor_units()), report);
                        }
                    }
                }
            }
            Observation::Projected { changes: Projection::Ledger(entries), .. } => {
                entries.iter().for_each(|entry| ledger_row(books, entry, report));
            }
            Observation::Answered(_, Outcome::Read(Some(shown))) => {
                row(books, &shown.wallet, shown.version, shown.balance, report);
            }
            Observation::Appended(_)
            | Observation::Answered(..)
            | Observation::OutboxWritten { .. }
            | Observation::Published(_)
            | Observation::DeadPublished(_)
            | Observation::RelayMarked { .. }
            | Observation::DatabaseRolledBack(_)
            | Observation::JournalRecovered { .. }
            | Observation::Healed => {}
        }
    }

    fn at_end(&mut self, books: &Books, end: End<'_>, report: &mut Report) {
        for one in &end.evidence.read_model {
            row(books, &one.id, one.version.0, minor(one.balance.minor_units()), report);
        }
        let mut seen = std::collections::BTreeSet::new();
        for entry in &end.evidence.ledger {
            ledger_row(books, entry, report);
            if !seen.insert(entry.event_id) {
                report.add(8, Some(&entry.wallet_id), || format!("the ledger has version {} twice", entry.version));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::projector::{Consumer, Projection};

    use crate::check::sample::{
        Run, answer, append, asked_for, create, credit, evidence_of, insert, ledger, money, snapshot, update,
    };
    use crate::history::Outcome;

    fn appends() -> Vec<Vec<wallex_core::event::Event>> {
        vec![append(&[create("a", 10_00)]), append(&[credit("a", 2, 1_00, 11_00, "")])]
    }

    #[test]
    fn a_row_with_another_balance_is_found() {
        let (history, appends) = asked_for(appends());
        let mut evidence = evidence_of(&appends);
        assert!(Run::of(appends.clone()).end(&history, &evidence).violations.is_empty());
        evidence.read_model[0].balance = money(12_00);
        let verdict = Run::of(appends).end(&history, &evidence);
        assert_eq!(verdict.violations[0].invariant.0, 8);
    }

    #[test]
    fn a_ledger_row_with_another_amount_and_a_row_that_is_there_twice_are_found() {
        let (history, appends) = asked_for(appends());
        let mut evidence = evidence_of(&appends);
        evidence.ledger[1].amount = money(2_00);
        let again = evidence.ledger[0].clone();
        evidence.ledger.push(again);
        let verdict = Run::of(appends).end(&history, &evidence);
        assert_eq!(verdict.violations.len(), 2);
        assert!(verdict.violations.iter().all(|violation| violation.invariant.0 == 8));
    }

    #[test]
    fn a_reader_who_sees_what_never_was_is_found() {
        let mut run = Run::of(appends());
        answer(&mut run, &Outcome::Read(Some(snapshot("a", 2, 11_00))));
        assert!(run.found().is_empty());
        answer(&mut run, &Outcome::Read(Some(snapshot("a", 2, 10_00))));
        assert_eq!(run.found(), [8]);
    }

    #[test]
    fn a_row_that_is_written_is_compared_with_the_log_at_once() {
        let written = |consumer: Consumer, changes: &Projection| {
            let mut run = Run::of(appends());
            run.project(consumer, changes, &[]);
            run.found().into_iter().filter(|invariant| *invariant == 8).count()
        };
        let (first, second) = (create("a", 10_00), credit("a", 2, 1_00, 11_00, ""));
        let wrong = credit("a", 2, 1_00, 12_00, "");
        let read_model = Consumer::ReadModel;
        assert_eq!(written(read_model, &insert(&first)), 0);
        assert_eq!(written(read_model, &insert(&second)), 0);
        assert_eq!(written(read_model, &insert(&create("a", 9_00))), 1);
        assert_eq!(written(read_model, &insert(&create("b", 10_00))), 1, "the log has no such wallet");
        assert_eq!(written(read_model, &update(1, &second)), 0);
        assert_eq!(written(read_model, &update(1, &wrong)), 1);
        assert_eq!(written(read_model, &update(1, &credit("a", 3, 1_00, 12_00, ""))), 1, "nor such a version");
        assert_eq!(written(Consumer::Ledger, &ledger(&[first.clone(), second])), 0);
        assert_eq!(written(Consumer::Ledger, &ledger(&[wrong])), 1);
        assert_eq!(written(Consumer::Ledger, &ledger(&[first, credit("a", 2, 2_00, 11_00, "")])), 1);
        assert_eq!(written(Consumer::Ledger, &ledger(&[create("b", 10_00)])), 1);
    }
}
