//! The checkers: one file for each invariant, fed at every step, asked for a verdict at the end.
//!
//! They share no code with what they check: the [`Books`] are a reference model with arithmetic of its own on integers,
//! and [`linear`] searches the clients' history without the log. Every checker has tests on hand-made good and bad
//! runs.
//!
//! | file | owns |
//! |---|---|
//! | `inv_01` … `inv_14` | the invariant of that number; INV-13 has no file: traces of two runs are compared |
//! | `books`, `delivery` | what the log has, and how far it has come after the log |
//! | `operations`, [`linear`] | attempts as operations, and whether their history is linearizable (INV-09) |
//! | `sample` | events and runs for tests |

mod books;
mod delivery;
mod inv_01;
mod inv_02;
mod inv_03;
mod inv_04;
mod inv_05;
mod inv_06;
mod inv_07;
mod inv_08;
mod inv_09;
mod inv_10;
mod inv_11;
mod inv_12;
mod inv_14;
pub mod linear;
mod operations;
#[cfg(test)]
pub(crate) mod sample;

use std::fmt;

use serde::{Deserialize, Serialize};
use wallex_core::event::Recorded;
use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

use crate::history::History;
use crate::observe::{Evidence, Moment, Observation};

pub use books::{Books, Entry};

/// The id of an invariant, 1 to 14; see docs/INVARIANTS.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Invariant(pub u8);

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INV-{:02}", self.0)
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen, in words.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// At which step of the trace.
    pub step: u64,
    /// About which wallet, when it is about one.
    pub wallet: Option<WalletId>,
}

/// Where checkers put what they find.
#[derive(Debug)]
pub(crate) struct Report {
    moment: Moment,
    found: Vec<Violation>,
    inconclusive: Vec<String>,
}

/// More than this is not worth keeping: the first ones tell.
const VIOLATIONS_MAX: usize = 100;

impl Report {
    pub(crate) fn add(&mut self, invariant: u8, wallet: Option<&WalletId>, text: impl FnOnce() -> String) {
        if self.found.len() < VIOLATIONS_MAX {
            let Moment { at, step } = self.moment;
            let invariant = Invariant(invariant);
            self.found.push(Violation { invariant, text: text(), at, step, wallet: wallet.cloned() });
        }
    }
}

/// What there is to judge when a run is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) history: &'a History,
    pub(crate) evidence: &'a Evidence,
}

/// One invariant.
pub(crate) trait Checker: Send {
    /// An event became durable; `books` are as they were right before it.
    fn on_event(&mut self, books: &Books, recorded: &Recorded, report: &mut Report) {
        let (_, _, _) = (books, recorded, report);
    }

    /// Something happened; `books` hold it already.
    fn on(&mut self, books: &Books, observation: &Observation<'_>, report: &mut Report) {
        let (_, _, _) = (books, observation, report);
    }

    /// The run is over.
    fn at_end(&mut self, books: &Books, end: End<'_>, report: &mut Report) {
        let (_, _, _) = (books, end, report);
    }
}

/// What came of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// In the order in which they were found.
    pub violations: Vec<Violation>,
    /// Searches that gave up before they knew; neither good nor bad.
    pub inconclusive: Vec<String>,
}

/// All checkers of a run.
pub struct Checks {
    books: Books,
    checkers: Vec<Box<dyn Checker>>,
    report: Report,
}

impl Default for Checks {
    fn default() -> Self {
        let moment = Moment { at: Timestamp::from_micros(0), step: 0 };
        Self {
            books: Books::default(),
            checkers: vec![
                Box::new(inv_01::Conservation),
                Box::new(inv_02::Floor),
                Box::new(inv_03::Dense::default()),
                Box::new(inv_04::Durable::default()),
                Box::new(inv_05::Once::default()),
                Box::new(inv_06::ZeroLoss),
                Box::new(inv_07::InOrder::default()),
                Box::new(inv_08::Faithful),
                Box::new(inv_09::Linearizable),
                Box::new(inv_10::Convergence),
                Box::new(inv_11::OnlyItsOwn),
                Box::new(inv_12::AtLeast),
                Box::new(inv_14::Recovered),
            ],
            report: Report { moment, found: Vec::new(), inconclusive: Vec::new() },
        }
    }
}

impl Checks {
    /// Takes in one observation. The first violation so far, if there is one.
    pub fn observe(&mut self, moment: Moment, observation: &Observation<'_>) -> Option<&Violation> {
        self.report.moment = moment;
        match observation {
            Observation::Appended(events) => self.append(events),
            Observation::JournalRecovered { log, .. } => {
                // What was on its way at the crash and survived becomes durable now.
                self.tell(observation);
                let new = |recorded: &&Recorded| self.books.find(recorded.event.event_id).is_none();
                let survived: Vec<Recorded> = log.iter().filter(new).cloned().collect();
                self.append(&survived);
            }
            Observation::Answered(..)
            | Observation::OutboxWritten { .. }
            | Observation::Published(_)
            | Observation::DeadPublished(_)
            | Observation::RelayMarked { .. }
            | Observation::Projected { .. }
            | Observation::DatabaseRolledBack(_)
            | Observation::Healed => {
                self.books.delivery.take(observation);
                self.tell(observation);
            }
        }
        self.report.found.first()
    }

    fn append(&mut self, events: &[Recorded]) {
        for recorded in events {
            for checker in &mut self.checkers {
                checker.on_event(&self.books, recorded, &mut self.report);
            }
            self.books.take(recorded);
        }
        self.tell(&Observation::Appended(events));
    }

    fn tell(&mut self, observation: &Observation<'_>) {
        for checker in &mut self.checkers {
            checker.on(&self.books, observation, &mut self.report);
        }
    }

    /// What was found so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.report.found
    }

    /// The reference model as it stands.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Judges the end of the run.
    #[must_use]
    pub fn finish(mut self, moment: Moment, history: &History, evidence: &Evidence) -> Verdict {
        self.report.moment = moment;
        for checker in &mut self.checkers {
            checker.at_end(&self.books, End { history, evidence }, &mut self.report);
        }
        Verdict { violations: self.report.found, inconclusive: self.report.inconclusive }
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("violations", &self.report.found).finish_non_exhaustive()
    }
}
