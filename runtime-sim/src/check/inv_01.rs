//! INV-01: money is conserved. Every event's balance follows from the one before it and its amount; a transfer has both
//! legs, of the same amount, each naming the other, in one append; all balances add up to what came in minus what went
//! out.
//!
//! Balances and legs are judged at every step, the sum at the end. The books fold the amounts; that no balance is below
//! zero is INV-02's.

use wallex_core::event::Recorded;

use super::books::{change_of, minor};
use super::{Books, Checker, End, Report};
use crate::observe::Observation;

#[derive(Debug, Default)]
pub(crate) struct Conservation;

impl Checker for Conservation {
    fn on_event(&mut self, books: &Books, recorded: &Recorded, report: &mut Report) {
        let event = &recorded.event;
        let before = books.entries(&event.wallet_id).last().map_or(0, |entry| entry.folded);
        let (change, claimed) = (change_of(event), minor(event.balance.minor_units()));
        if before + change != claimed {
            report.add(1, Some(&event.wallet_id), || {
                format!(
                    "version {} says the balance is {claimed}, but {before} and {change:+} make {}",
                    event.version,
                    before + change
                )
            });
        }
    }

    /// An append is atomic, so after each one no transfer may lack a leg.
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        let Observation::Appended(events) = observation else { return };
        for event in events.iter().map(|recorded| &recorded.event) {
            let Some(leg) = event.transfer() else { continue };
            let legs = books.legs(leg.transfer_id);
            let whole = match legs {
                [one, other] => {
                    one.change + other.change == 0
                        && one.wallet == other.counterparty
                        && other.wallet == one.counterparty
                        && one.wallet != other.wallet
                }
                _ => false,
            };
            if !whole {
                report.add(1, Some(&event.wallet_id), || {
                    format!("transfer {} has {} legs that do not make a whole: {legs:?}", leg.transfer_id, legs.len())
                });
            }
        }
    }

    fn at_end(&mut self, books: &Books, _: End<'_>, report: &mut Report) {
        let claimed: i64 = books.wallets().filter_map(|(_, entries)| entries.last()).map(|entry| entry.balance).sum();
        let (came, went) = books.outside();
        if claimed != came - went {
            report.add(1, None, || format!("{came} came in and {went} went out, but the wallets hold {claimed}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::event::{Event, Fact};

    use crate::check::sample::{Run, append, asked_for, create, credit, debit, evidence_of, money, transfer, wallet};

    #[test]
    fn a_whole_transfer_is_fine() {
        let legs = transfer("a", 2, 7_00, "b", 2, 8_00, 3_00);
        let run = Run::of([append(&[create("a", 10_00)]), append(&[create("b", 5_00)]), append(&legs)]);
        assert!(run.found().is_empty());
    }

    #[test]
    fn a_leg_alone_is_found_at_its_append() {
        let [debit, credit] = transfer("a", 2, 7_00, "b", 2, 8_00, 3_00);
        let created = [append(&[create("a", 10_00)]), append(&[create("b", 5_00)])];
        let run = Run::of(created.into_iter().chain([append(&[debit]), append(&[credit])]));
        assert_eq!(run.found()[..1], [1]);
        assert!(run.text().contains("1 legs"), "{}", run.text());
    }

    #[test]
    fn money_from_nowhere_is_found() {
        let run = Run::of([append(&[create("a", 10_00)]), append(&[credit("a", 2, 1_00, 12_00, "")])]);
        assert_eq!(run.found(), [1]);
    }

    #[test]
    fn legs_that_do_not_make_a_whole_are_found() {
        let found = |change: fn(&mut [Event; 2])| {
            let mut legs = transfer("a", 2, 7_00, "b", 2, 8_00, 3_00);
            change(&mut legs);
            let created = [append(&[create("a", 10_00)]), append(&[create("b", 5_00)])];
            Run::of(created.into_iter().chain([append(&legs)])).found()
        };
        assert!(found(|_| {}).is_empty());
        let other_amount = found(|[_, credit]| (credit.amount, credit.balance) = (money(2_00), money(7_00)));
        assert_eq!(other_amount, [1, 1], "once for each leg");
        let other_side = found(|[debit, _]| {
            let Fact::Debited { transfer: Some(leg) } = &mut debit.fact else { panic!("a leg") };
            leg.counterparty = wallet("c");
        });
        assert_eq!(other_side, [1, 1]);
    }

    #[test]
    fn wallets_that_hold_more_than_came_in_are_found_at_the_end() {
        let sums = |balance: i64| {
            let (history, appends) =
                asked_for(vec![append(&[create("a", 10_00)]), append(&[debit("a", 2, 1_00, balance)])]);
            let evidence = evidence_of(&appends);
            let violations = Run::of(appends).end(&history, &evidence).violations;
            violations.into_iter().filter(|one| one.wallet.is_none()).map(|one| one.text).collect::<Vec<_>>()
        };
        assert_eq!(sums(9_00), Vec::<String>::new());
        assert_eq!(sums(9_50), ["1000 came in and 100 went out, but the wallets hold 950"]);
    }
}
