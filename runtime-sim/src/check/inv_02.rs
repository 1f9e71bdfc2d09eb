//! INV-02: no balance is ever below zero: neither the one an event claims, nor the one that follows from the amounts.

use wallex_core::event::Recorded;

use super::books::{change_of, minor};
use super::{Books, Checker, Report};

#[derive(Debug)]
pub(crate) struct Floor;

impl Checker for Floor {
    fn on_event(&mut self, books: &Books, recorded: &Recorded, report: &mut Report) {
        let event = &recorded.event;
        let before = books.entries(&event.wallet_id).last().map_or(0, |entry| entry.folded);
        let lowest = (before + change_of(event)).min(minor(event.balance.minor_units()));
        if lowest < 0 {
            report.add(2, Some(&event.wallet_id), || format!("the balance is {lowest} at version {}", event.version));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::sample::{Run, append, create, debit};

    #[test]
    fn an_empty_wallet_is_fine() {
        assert!(Run::of([append(&[create("a", 1_00)]), append(&[debit("a", 2, 1_00, 0)])]).found().is_empty());
    }

    #[test]
    fn an_overdrawn_wallet_is_found() {
        assert_eq!(Run::of([append(&[create("a", 1_00)]), append(&[debit("a", 2, 1_01, -1)])]).found(), [2]);
    }

    #[test]
    fn a_wallet_whose_amounts_overdraw_it_is_found_whatever_balance_is_claimed() {
        let found = Run::of([append(&[create("a", 1_00)]), append(&[debit("a", 2, 1_01, 0)])]).found();
        assert!(found.contains(&2), "{found:?}");
    }
}
