//! What a verification says: one verdict per invariant, as a table and as JSON.
//!
//! Counts every violation and keeps the words of the first. Finds none itself: that is left to `fold` and `compare`.
//! What is still to come (the lag of a consumer) is no violation.

use std::fmt;

use serde::Serialize;

/// The result of a verification.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether every invariant holds.
    pub holds: bool,
    /// Events in the log.
    pub events: u64,
    /// Position of the last one.
    pub log_head: u64,
    /// Wallets in the log.
    pub wallets: u64,
    /// How far each consumer of the log got.
    pub consumers: Vec<ConsumerLag>,
    /// One verdict per invariant.
    pub verdicts: Vec<Verdict>,
}

/// How far a consumer of the log got when the tables were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerLag {
    /// Its name in the tables.
    pub name: &'static str,
    /// Events it has not reached yet. They are not missing: they are still to come.
    pub lag: u64,
    /// Events it holds back behind dead letters, the dead letters included.
    pub held: u64,
}

/// What was found about one invariant.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Its stable name.
    pub invariant: &'static str,
    /// What it claims.
    pub claim: &'static str,
    /// What was looked at, and how many of each.
    pub checked: Vec<Checked>,
    /// How often it does not hold.
    pub violations: u64,
    /// The first violation, in words.
    pub first: Option<String>,
}

/// A kind of thing and how many of it were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What.
    pub what: &'static str,
    /// How many.
    pub count: u64,
}

impl Verdict {
    /// A verdict that holds until something is found.
    #[must_use]
    pub fn new(invariant: &'static str, claim: &'static str) -> Self {
        Self { invariant, claim, checked: Vec::new(), violations: 0, first: None }
    }

    /// Notes a violation; `words` are only formed for the first.
    pub fn violated(&mut self, words: impl FnOnce() -> String) {
        self.violations += 1;
        if self.first.is_none() {
            self.first = Some(words());
        }
    }

    /// Notes what was looked at.
    pub fn checked(&mut self, what: &'static str, count: u64) {
        self.checked.push(Checked { what, count });
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} events of {} wallets, up to position {}", self.events, self.wallets, self.log_head)?;
        for consumer in &self.consumers {
            write!(f, "{:<22} {} events behind the log", consumer.name, consumer.lag)?;
            if consumer.held > 0 {
                write!(f, ", {} held back behind dead letters", consumer.held)?;
            }
            writeln!(f)?;
        }
        let width = self.verdicts.iter().map(|verdict| verdict.claim.chars().count()).max().unwrap_or(0);
        writeln!(f, "\n{:<8}{:<width$}  {:<9} checked", "", "claim", "verdict")?;
        for verdict in &self.verdicts {
            let checked: Vec<String> =
                verdict.checked.iter().map(|one| format!("{} {}", one.count, one.what)).collect();
            let word = if verdict.holds() { "holds" } else { "VIOLATED" };
            writeln!(f, "{:<8}{:<width$}  {word:<9} {}", verdict.invariant, verdict.claim, checked.join(", "))?;
        }
        for verdict in self.verdicts.iter().filter(|verdict| !verdict.holds()) {
            let first = verdict.first.as_deref().unwrap_or_default();
            writeln!(f, "\n✗ {}: {} violations, the first: {first}", verdict.invariant, verdict.violations)?;
        }
        writeln!(f, "\n{}", if self.holds { "every invariant holds ✓" } else { "not every invariant holds ✗" })
    }
}
