//! The check at the end of a run: what the service shows, against the client's model.
//!
//! Reads every wallet with `minVersion`, so that the read model has caught up (INV-12), and the ledger of as many
//! wallets as fit into [`LEDGER_ENTRIES_MAX`]. Proves from outside that no money came or went (INV-01), that versions
//! have no gap (INV-03) and that both projections agree with what was acknowledged (INV-08).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::cents::Cents;
use super::client::Connection;
use super::model::{Accounts, Expected, WalletIndex};

/// Ledger entries that a check reads at most; beyond that, wallets are checked by balance and version alone.
pub const LEDGER_ENTRIES_MAX: u64 = 200_000;
/// How long projections may take to catch up before the check calls it a finding.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
const PAGE: u64 = 500;
/// Differences that are written out.
const DIFFERENCES_MAX: usize = 20;

/// What all workers of a check share.
#[derive(Debug)]
pub struct Check {
    accounts: Arc<Accounts>,
    next: AtomicUsize,
    ledger_budget: AtomicU64,
    deadline: Instant,
}

/// What a check saw.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Wallets whose balance and version were compared.
    pub wallets: u64,
    /// Wallets that cannot be compared, because the outcome of an operation on them is unknown.
    pub uncertain: u64,
    /// The sum of the balances compared.
    pub balances: Cents,
    /// Wallets whose ledger was read.
    pub ledgers: u64,
    /// Ledger entries read.
    pub entries: u64,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first of them, in words.
    pub differences: Vec<String>,
}

impl Findings {
    /// Adds what another worker saw.
    pub fn merge(&mut self, other: Self) {
        self.wallets += other.wallets;
        self.uncertain += other.uncertain;
        self.balances = self.balances + other.balances;
        self.ledgers += other.ledgers;
        self.entries += other.entries;
        self.difference_count += other.difference_count;
        let room = DIFFERENCES_MAX.saturating_sub(self.differences.len());
        self.differences.extend(other.differences.into_iter().take(room));
    }

    /// Notes a difference.
    pub fn differ(&mut self, difference: String) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference);
        }
    }
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    version: u64,
    #[serde(borrow)]
    balance: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<Entry<'a>>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    version: u64,
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    balance: &'a RawValue,
}

impl Check {
    /// A check of all wallets of a run.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>) -> Self {
        Self {
            accounts,
            next: AtomicUsize::new(0),
            ledger_budget: AtomicU64::new(LEDGER_ENTRIES_MAX),
            deadline: Instant::now() + CATCH_UP_MAX,
        }
    }

    /// Checks wallets, shared with the other workers, until none is left.
    pub async fn run(self: Arc<Self>, mut connection: Connection) -> Findings {
        let mut findings = Findings::default();
        loop {
            let wallet = self.next.fetch_add(1, Relaxed);
            if wallet >= self.accounts.len() {
                return findings;
            }
            match self.accounts.expected(wallet) {
                Some(expected) => {
                    if let Err(difference) = self.compare(wallet, expected, &mut connection, &mut findings).await {
                        findings.differ(format!("wallet {}: {difference}", self.accounts.id(wallet)));
                    }
                }
                None if self.accounts.is_usable(wallet) => findings.uncertain += 1,
                None => {}
            }
        }
    }

    async fn compare(
        &self,
        wallet: WalletIndex,
        expected: Expected,
        connection: &mut Connection,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let id = self.accounts.id(wallet);
        let body = self.read(connection, &format!("/wallets/{id}?minVersion={}", expected.version)).await?;
        let shown: Snapshot<'_> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let balance = cents(shown.balance)?;
        findings.wallets += 1;
        findings.balances = findings.balances + balance;
        if (balance, shown.version) != (expected.balance, expected.version) {
            return Err(format!(
                "balance {balance} at version {} is shown, {} at version {} was acknowledged",
                shown.version, expected.balance, expected.version
            ));
        }
        let entries = expected.version;
        let fits = |left: u64| left.checked_sub(entries);
        if self.ledger_budget.fetch_update(Relaxed, Relaxed, fits).is_ok() {
            self.compare_ledger(&id, expected, connection, findings).await?;
        }
        Ok(())
    }

    /// The wallet's ledger has one entry for each version, running balances that add up, and the balance as its sum.
    async fn compare_ledger(
        &self,
        id: &str,
        expected: Expected,
        connection: &mut Connection,
        findings: &mut Findings,
    ) -> Result<(), String> {
        // The two projections move on their own: the ledger may be behind the read model for a moment.
        loop {
            let (entries, sum) = self.sum_ledger(id, connection).await?;
            if entries < expected.version && Instant::now() < self.deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            findings.ledgers += 1;
            findings.entries += entries;
            return if (entries, sum) == (expected.version, expected.balance) {
                Ok(())
            } else {
                Err(format!(
                    "{entries} ledger entries add up to {sum}, {} that add up to {} were acknowledged",
                    expected.version, expected.balance
                ))
            };
        }
    }

    async fn sum_ledger(&self, id: &str, connection: &mut Connection) -> Result<(u64, Cents), String> {
        let (mut entries, mut sum, mut cursor) = (0, Cents(0), None::<String>);
        loop {
            let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let path = format!("/wallets/{id}/transactions?order=asc&limit={PAGE}{after}");
            let body = self.read(connection, &path).await?;
            let page: Page<'_> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            for entry in &page.items {
                entries += 1;
                sum = sum + cents(entry.amount)?;
                if entry.version != entries {
                    return Err(format!("ledger entry {entries} has version {}", entry.version));
                }
                if cents(entry.balance)? != sum {
                    return Err(format!("the running balance of ledger entry {entries} is not the sum {sum}"));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok((entries, sum));
            }
        }
    }

    /// Reads until there is a 200, for projections that are behind and a service that is busy.
    async fn read(&self, connection: &mut Connection, path: &str) -> Result<hyper::body::Bytes, String> {
        loop {
            let trouble = match connection.get(path).await {
                Ok(reply) if reply.status == 200 => return Ok(reply.body),
                Ok(reply) => format!("{} for GET {path}", reply.status),
                Err(error) => format!("{error:?} for GET {path}"),
            };
            if Instant::now() >= self.deadline {
                return Err(trouble);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn cents(json: &RawValue) -> Result<Cents, String> {
    Cents::parse(json.get()).ok_or_else(|| format!("{} is no amount of money", json.get()))
}
