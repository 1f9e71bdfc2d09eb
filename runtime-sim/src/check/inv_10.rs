//! INV-10: after the faults stop, everything converges within a stated time. The world waits for it and says what has not
//! come to rest; each such thing is a violation.

use super::{Books, Checker, End, Report};

#[derive(Debug)]
pub(crate) struct Convergence;

impl Checker for Convergence {
    fn at_end(&mut self, _: &Books, end: End<'_>, report: &mut Report) {
        for thing in &end.evidence.unsettled {
            report.add(10, None, || format!("not at rest within its time: {thing}"));
        }
        for attempt in end.history.attempts().iter().filter(|attempt| attempt.returned.is_none()) {
            report.add(10, attempt.command.wallets().next(), || {
                format!("client {} still waits for {:?}", attempt.client, attempt.command)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::check::sample::{Run, at, wallet};
    use crate::history::{Command, History, Outcome};
    use crate::observe::Evidence;

    #[test]
    fn what_is_not_at_rest_is_named() {
        let evidence = Evidence { unsettled: vec!["the relay is at 7 of 9".to_owned()], ..Evidence::default() };
        let verdict = Run::of([]).end(&History::default(), &evidence);
        assert_eq!(verdict.violations[0].invariant.0, 10);
        assert!(verdict.violations[0].text.contains("7 of 9"));
    }

    #[test]
    fn a_client_without_an_answer_is_found() {
        let mut history = History::default();
        let read = Arc::new(Command::ReadStore { wallet: wallet("a") });
        let waits = history.invoke(at(0), 1, None, read);
        let verdict = Run::of([]).end(&history, &Evidence::default());
        assert_eq!(verdict.violations.len(), 1);
        history.returns(at(5), waits, Outcome::Read(None));
        assert!(Run::of([]).end(&history, &Evidence::default()).violations.is_empty());
    }
}
