//! INV-12: a reader who asks for version N gets at least N.

use super::{Books, Checker, Report};
use crate::history::{Command, Outcome};
use crate::observe::Observation;

#[derive(Debug)]
pub(crate) struct AtLeast;

impl Checker for AtLeast {
    fn on(&mut self, _: &Books, observation: &Observation<'_>, report: &mut Report) {
        let Observation::Answered(attempt, Outcome::Read(shown)) = observation else { return };
        let Command::ReadModel { wallet, min_version } = &*attempt.command else { return };
        let version = shown.as_ref().map_or(0, |shown| shown.version);
        if version < *min_version {
            report.add(12, Some(wallet), || {
                format!("client {} asked for version {min_version} and was shown {version}", attempt.client)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::check::sample::{Run, answer, append, at, create, credit, snapshot, wallet};
    use crate::history::{Command, History, Outcome};
    use crate::observe::Observation;

    #[test]
    fn a_reader_who_is_shown_an_older_version_or_nothing_is_found() {
        let mut run = Run::of([append(&[create("a", 10_00)]), append(&[credit("a", 2, 1_00, 11_00, "")])]);
        answer(&mut run, &Outcome::Read(Some(snapshot("a", 2, 11_00))));
        assert!(run.found().is_empty());
        answer(&mut run, &Outcome::Read(Some(snapshot("a", 1, 10_00))));
        answer(&mut run, &Outcome::Read(None));
        assert_eq!(run.found(), [12, 12]);
    }

    #[test]
    fn a_reader_who_is_shown_a_later_version_or_asks_for_none_is_content() {
        let mut run = Run::of([append(&[create("a", 10_00)])]);
        run.append(append(&[credit("a", 2, 1_00, 11_00, "")]));
        run.append(append(&[credit("a", 3, 1_00, 12_00, "")]));
        answer(&mut run, &Outcome::Read(Some(snapshot("a", 3, 12_00))));
        let mut history = History::default();
        history.invoke(at(0), 0, None, Arc::new(Command::ReadModel { wallet: wallet("b"), min_version: 0 }));
        history.invoke(at(0), 0, None, Arc::new(Command::ReadStore { wallet: wallet("b") }));
        for attempt in history.attempts() {
            run.see(&Observation::Answered(attempt, &Outcome::Read(None)));
        }
        assert!(run.found().is_empty());
    }
}
