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
    use crate::check::sample::{Run, append, create, credit};

    #[test]
    fn gaps_repeats_and_late_creations_are_found() {
        let first = || append(&[create("a", 1_00)]);
        let next = |version| append(&[credit("a", version, 1_00, 2_00, "")]);
        assert!(Run::of([first(), next(2)]).found().is_empty());
        assert_eq!(Run::of([first(), next(3)]).found()[..1], [3]);
        assert_eq!(Run::of([first(), next(1)]).found()[..1], [3]);
        assert_eq!(Run::of([append(&[credit("a", 1, 1_00, 1_00, "")])]).found(), [3]);
    }
}
