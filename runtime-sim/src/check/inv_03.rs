//! INV-03: a wallet's versions are 1, 2, 3, … without gap or repeat, and it begins with its creation. Log positions grow.

use wallex_core::event::{Fact, Recorded};
use wallex_core::id::Position;

use super::{Books, Checker, Report};

#[derive(Debug, Default)]
pub(crate) struct Dense(Position);

impl Checker for Dense {
    fn on_event(&mut self, books: &Books, recorded: &Recorded, report: &mut Report) {
        let event = &recorded.event;
        let expected = books.entries(&event.wallet_id).len() as u64 + 1;
        if event.version.0 != expected {
            report.add(3, Some(&event.wallet_id), || {
                format!("version {} was appended where version {expected} comes next", event.version)
            });
        }
        if matches!(event.fact, Fact::Created { .. }) != (expected == 1) {
            report.add(3, Some(&event.wallet_id), || format!("event {expected} of the wallet is {:?}", event.fact));
        }
        if recorded.position <= self.0 {
            report.add(3, Some(&event.wallet_id), || {
                format!("position {} follows position {} in the log", recorded.position, self.0)
            });
        }
        self.0 = recorded.position;
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::event::Recorded;
    use wallex_core::id::Position;

    use crate::check::sample::{Run, append, create, credit};
    use crate::observe::Observation;

    #[test]
    fn gaps_repeats_and_late_creations_are_found() {
        let first = || append(&[create("a", 1_00)]);
        let next = |version| append(&[credit("a", version, 1_00, 2_00, "")]);
        assert!(Run::of([first(), next(2)]).found().is_empty());
        assert_eq!(Run::of([first(), next(3)]).found()[..1], [3]);
        assert_eq!(Run::of([first(), next(1)]).found()[..1], [3]);
        assert_eq!(Run::of([append(&[credit("a", 1, 1_00, 1_00, "")])]).found(), [3]);
    }

    #[test]
    fn a_wallet_that_is_created_twice_is_found() {
        assert_eq!(Run::of([append(&[create("a", 0)]), append(&[create("a", 0)])]).found()[..2], [3, 3]);
    }

    #[test]
    fn a_log_whose_positions_do_not_grow_is_found() {
        let at = |positions: [u64; 2]| {
            let mut run = Run::of([]);
            for (position, event) in positions.into_iter().zip([create("a", 1_00), create("b", 1_00)]) {
                run.see(&Observation::Appended(&[Recorded { position: Position(position), event }]));
            }
            run.found()
        };
        assert!(at([1, 2]).is_empty());
        assert!(at([220, 660]).is_empty(), "positions may leave holes");
        assert_eq!(at([2, 2]), [3]);
        assert_eq!(at([2, 1]), [3]);
    }
}
