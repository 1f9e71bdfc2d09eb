//! The statistics block, for people and as JSON.
//!
//! Puts together what the workers counted and the check found; only the sum of all balances is compared here (INV-01).
//! A run is clean when everything was accepted and agrees; what follows from that is left to `wallex load`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::cents::Cents;
use super::check::Findings;
use super::histogram::Histogram;
use super::model::Kind;
use super::worker::Tally;

/// What a run did and found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Makes the same operations again.
    pub seed: u64,
    /// Connections.
    pub workers: usize,
    /// Operations in one request; 0 for single requests.
    pub batch: usize,
    /// Wallets.
    pub wallets: Counts,
    /// Credits.
    pub credits: Counts,
    /// Debits.
    pub debits: Counts,
    /// Transfers.
    pub transfers: Counts,
    /// Credits, debits and transfers.
    pub total: Counts,
    /// Attempts that had to be repeated under their key.
    pub retries: u64,
    /// How long the creation of the wallets took, in seconds.
    pub create_seconds: f64,
    /// How long the operations took, in seconds.
    pub duration_seconds: f64,
    /// Successful operations per second.
    pub operations_per_second: f64,
    /// Latencies of requests by kind.
    pub latency: Vec<Latency>,
    /// What went wrong, and how often.
    pub findings: Vec<Finding>,
    /// The comparison at the end; nothing when it was switched off.
    pub check: Option<CheckReport>,
}

/// Operations that went well and that did not.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Accepted.
    pub ok: u64,
    /// Refused, or without outcome.
    pub failed: u64,
}

/// Latencies of one kind of request, in milliseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// `create`, `credit`, `debit`, `transfer`, `batch`, or `all` for everything but creations.
    pub kind: &'static str,
    /// Requests.
    pub count: u64,
    /// Half of them stayed within this.
    pub p50_ms: f64,
    /// 95%.
    pub p95_ms: f64,
    /// 99%.
    pub p99_ms: f64,
    /// All of them.
    pub max_ms: f64,
}

/// A failure and how often it came.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// In words.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// What the comparison at the end saw.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Whether everything agrees.
    pub agrees: bool,
    /// Wallets compared by balance and version.
    pub wallets: u64,
    /// Wallets that could not be compared, because an outcome is unknown.
    pub uncertain_wallets: u64,
    /// What all wallets together must hold.
    pub money_expected: String,
    /// What they hold.
    pub money_shown: String,
    /// Wallets whose ledger was added up.
    pub ledgers: u64,
    /// Ledger entries that were added up.
    pub ledger_entries: u64,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first of them.
    pub differences: Vec<String>,
}

/// What goes into a report.
#[derive(Debug)]
pub struct Parts<'a> {
    /// See [`Report::seed`].
    pub seed: u64,
    /// See [`Report::workers`].
    pub workers: usize,
    /// See [`Report::batch`].
    pub batch: usize,
    /// Of the creations.
    pub created: &'a Tally,
    /// How long they took.
    pub create_time: Duration,
    /// Of the operations.
    pub operated: &'a Tally,
    /// How long they took.
    pub operate_time: Duration,
    /// What the model says all wallets hold, and what the check saw.
    pub check: Option<(Cents, Findings)>,
}

impl Report {
    /// Puts a report together.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Self {
        let (created, operated) = (parts.created, parts.operated);
        let counts = |tally: &Tally, kind: Kind| Counts {
            ok: tally.accepted[kind as usize],
            failed: tally.failed[kind as usize],
        };
        let [credits, debits, transfers] =
            [Kind::Credit, Kind::Debit, Kind::Transfer].map(|kind| counts(operated, kind));
        let total = Counts {
            ok: credits.ok + debits.ok + transfers.ok,
            failed: credits.failed + debits.failed + transfers.failed,
        };
        let mut all = operated.batch_latencies.clone();
        operated.latencies.iter().for_each(|latencies| all.merge(latencies));
        let latency = [
            ("create", &created.latencies[Kind::Create as usize]),
            ("credit", &operated.latencies[Kind::Credit as usize]),
            ("debit", &operated.latencies[Kind::Debit as usize]),
            ("transfer", &operated.latencies[Kind::Transfer as usize]),
            ("batch", &operated.batch_latencies),
            ("all", &all),
        ];
        let seconds = parts.operate_time.as_secs_f64();
        let mut problems = created.clone();
        problems.merge(operated);
        Self {
            seed: parts.seed,
            workers: parts.workers,
            batch: parts.batch,
            wallets: counts(created, Kind::Create),
            credits,
            debits,
            transfers,
            total,
            retries: problems.retries,
            create_seconds: parts.create_time.as_secs_f64(),
            duration_seconds: seconds,
            operations_per_second: if seconds > 0.0 { total.ok as f64 / seconds } else { 0.0 },
            latency: latency.into_iter().filter_map(|(kind, counted)| Latency::of(kind, counted)).collect(),
            findings: problems.findings.into_iter().map(|(what, count)| Finding { what, count }).collect(),
            check: parts.check.map(|(expected, seen)| CheckReport::new(expected, seen)),
        }
    }

    /// Whether every operation was accepted and everything agrees.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.wallets.failed == 0 && self.total.failed == 0 && self.check.as_ref().is_none_or(|check| check.agrees)
    }
}

impl Latency {
    fn of(kind: &'static str, latencies: &Histogram) -> Option<Self> {
        let ms = |micros: u64| micros as f64 / 1_000.0;
        (latencies.count() > 0).then(|| Self {
            kind,
            count: latencies.count(),
            p50_ms: ms(latencies.quantile_micros(500)),
            p95_ms: ms(latencies.quantile_micros(950)),
            p99_ms: ms(latencies.quantile_micros(990)),
            max_ms: ms(latencies.max_micros()),
        })
    }
}

impl CheckReport {
    fn new(expected: Cents, mut seen: Findings) -> Self {
        // With a wallet in doubt the sums cannot be compared; that run has failed operations anyway.
        if seen.uncertain == 0 && seen.balances != expected {
            seen.differ(format!("money: {} is shown, {expected} was brought in", seen.balances));
        }
        Self {
            agrees: seen.difference_count == 0 && seen.uncertain == 0,
            wallets: seen.wallets,
            uncertain_wallets: seen.uncertain,
            money_expected: expected.to_string(),
            money_shown: seen.balances.to_string(),
            ledgers: seen.ledgers,
            ledger_entries: seen.entries,
            difference_count: seen.difference_count,
            differences: seen.differences,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, counts: Counts| {
            writeln!(f, "{name:<12}{:>12} ✓ {:>8} ✗", grouped(counts.ok), grouped(counts.failed))
        };
        line(f, "Wallets", self.wallets)?;
        line(f, "Credits", self.credits)?;
        line(f, "Debits", self.debits)?;
        line(f, "Transfers", self.transfers)?;
        line(f, "Total", self.total)?;
        writeln!(f, "{:<12}{:>12.2} s", "Duration", self.duration_seconds)?;
        writeln!(f, "{:<12}{:>12} operations/s", "Throughput", grouped(self.operations_per_second as u64))?;
        writeln!(f, "{:<12}{:>12}", "Retries", grouped(self.retries))?;
        writeln!(
            f,
            "\n{:<12}{:>12}{:>10}{:>10}{:>10}{:>10}",
            "Latency", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms"
        )?;
        for row in &self.latency {
            let count = grouped(row.count);
            writeln!(
                f,
                "  {:<10}{count:>12}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
                row.kind, row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "\n✗ {} × {}", grouped(finding.count), finding.what)?;
        }
        match &self.check {
            Some(check) => write!(f, "\n{check}"),
            None => writeln!(f, "\nCheck       switched off"),
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Check")?;
        writeln!(f, "  balances and versions of {} wallets compared", grouped(self.wallets))?;
        if self.uncertain_wallets > 0 {
            writeln!(f, "  {} wallets not comparable: an outcome is unknown", grouped(self.uncertain_wallets))?;
        }
        writeln!(f, "  {} ledger entries of {} wallets added up", grouped(self.ledger_entries), grouped(self.ledgers))?;
        writeln!(f, "  money brought in {}, money shown {}", self.money_expected, self.money_shown)?;
        for difference in &self.differences {
            writeln!(f, "  ✗ {difference}")?;
        }
        let hidden = self.difference_count - self.differences.len() as u64;
        if hidden > 0 {
            writeln!(f, "  ✗ and {} more", grouped(hidden))?;
        }
        writeln!(f, "  {}", if self.agrees { "everything agrees ✓" } else { "not everything agrees ✗" })
    }
}

/// Digits in groups of three: `20,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed: u64, findings: Findings) -> Report {
        let (mut created, mut operated) = (Tally::default(), Tally::default());
        created.accepted[Kind::Create as usize] = 2;
        operated.accepted[Kind::Credit as usize] = 19_999;
        operated.failed[Kind::Transfer as usize] = failed;
        Report::new(Parts {
            seed: 1,
            workers: 1,
            batch: 0,
            created: &created,
            create_time: Duration::from_secs(1),
            operated: &operated,
            operate_time: Duration::from_secs(2),
            check: Some((Cents(500), findings)),
        })
    }

    #[test]
    fn a_run_is_clean_when_all_was_accepted_and_the_money_agrees() {
        let agreeing = Findings { wallets: 2, balances: Cents(500), ..Findings::default() };
        assert!(report(0, agreeing.clone()).is_clean());
        assert!(!report(1, agreeing.clone()).is_clean());
        assert!(!report(0, Findings { balances: Cents(499), ..agreeing.clone() }).is_clean());
        assert!(!report(0, Findings { uncertain: 1, ..agreeing }).is_clean());
    }

    #[test]
    fn the_block_says_how_many_of_each_and_what_differs() {
        let text = report(1, Findings { balances: Cents(499), ..Findings::default() }).to_string();
        for part in ["19,999 ✓", "1 ✗", "9,999 operations/s", "money: 4.99 is shown, 5.00 was brought in"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
