//! INV-09: the history that clients saw is linearizable, unknown outcomes included. The search is in [`super::linear`]; the
//! log only tells it where to look first.

use super::linear::{self, Judgement};
use super::{Books, Checker, End, Report};

#[derive(Debug)]
pub(crate) struct Linearizable;

impl Checker for Linearizable {
    fn at_end(&mut self, books: &Books, end: End<'_>, report: &mut Report) {
        for judgement in linear::judge(end.history, books) {
            match judgement {
                Judgement::Linearizable => {}
                Judgement::GaveUp(text) => report.inconclusive.push(text),
                Judgement::Not { wallet, text } => report.add(9, wallet.as_ref(), || text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::check::sample::{Run, at, done, evidence_of, snapshot, wallet};
    use crate::history::{Command, History, Outcome, Step};

    /// Somebody creates a wallet, and somebody reads it after that. The hard histories are those of [`super::linear`].
    fn found(seen: Option<i64>) -> Vec<u8> {
        let mut history = History::default();
        let create = Command::One { step: Step::Create(wallet("a"), 10_00), if_match: None };
        let created = history.invoke(at(0), 0, None, Arc::new(create));
        history.returns(at(1), created, done(&[("a", 1, 10_00)]));
        let read = history.invoke(at(2), 1, None, Arc::new(Command::ReadStore { wallet: wallet("a") }));
        history.returns(at(3), read, Outcome::Read(seen.map(|balance| snapshot("a", 1, balance))));
        let violations = Run::of([]).end(&history, &evidence_of(&[])).violations;
        violations.iter().map(|violation| violation.invariant.0).collect()
    }

    #[test]
    fn a_reader_who_is_shown_less_than_was_answered_before_is_found_at_the_end() {
        assert!(found(Some(10_00)).is_empty());
        assert_eq!(found(None), [9]);
        assert_eq!(found(Some(9_00)), [9]);
    }
}
