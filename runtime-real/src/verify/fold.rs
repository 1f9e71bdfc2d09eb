//! The fold of the log, in arithmetic of its own: whole minor units, one record per wallet.
//!
//! Proves INV-01, INV-02 and INV-03 on the way, and keeps for each wallet what the projections must show at their own
//! checkpoints (INV-08). Shares no rule with the core's `decide` and `apply`: it reads decoded events and adds up.
//! Memory grows with wallets, not with events.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use wallex_core::currency::Currency;
use wallex_core::event::{Event, Fact};
use wallex_core::id::{OwnerId, TransferId, WalletId};
use wallex_core::projector::partition_of;

use super::progress::{AllCounts, Progress, Standing};
use super::report::Verdict;

/// What the read model must show for a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub owner: OwnerId,
    /// What it holds.
    pub currency: Currency,
    /// How much, in minor units.
    pub balance: i128,
    /// How many events.
    pub version: u64,
    /// Microseconds since the epoch.
    pub created_at: i64,
    /// Microseconds since the epoch.
    pub updated_at: i64,
}

/// What the ledger must hold for a wallet, independent of the order of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerSums {
    /// Rows.
    pub count: u64,
    /// The sum of their signed amounts, in minor units.
    pub amount: i128,
    /// The wrapping sum of the rows' hashes.
    pub hash: u64,
}

/// One ledger row, for its hash. Text is hashed as it stands, so that any change of a column shows.
#[derive(Hash)]
pub struct LedgerRow<'a> {
    /// The event.
    pub event_id: [u8; 16],
    /// The wallet's version.
    pub version: u64,
    /// `create`, `credit`, `debit`, `transfer_in`, `transfer_out`.
    pub kind: &'a str,
    /// Signed, in minor units.
    pub amount: i128,
    /// In minor units.
    pub balance: i128,
    /// The code.
    pub currency: &'a str,
    /// The transfer.
    pub transfer_id: Option<[u8; 16]>,
    /// The other side.
    pub counterparty: Option<&'a str>,
    /// What the client wrote.
    pub description: Option<&'a str>,
    /// Microseconds since the epoch.
    pub occurred_at: i64,
    /// The command.
    pub command_id: [u8; 16],
    /// The request.
    pub correlation_id: &'a str,
}

impl LedgerSums {
    /// Adds a row.
    pub fn add(&mut self, row: &LedgerRow<'_>) {
        // The default hasher has fixed keys: the same row has the same hash.
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        self.count += 1;
        self.amount += row.amount;
        self.hash = self.hash.wrapping_add(hasher.finish());
    }
}

/// A wallet, folded to the end of the log and to the checkpoints of its projections.
#[derive(Clone, Debug)]
pub struct Folded {
    /// At the end of the log.
    pub now: Row,
    /// At the read model's checkpoint; nothing when it has not seen the wallet yet.
    pub read_model: Option<Row>,
    /// At the ledger's checkpoint.
    pub ledger: LedgerSums,
}

struct OpenLeg {
    wallet: WalletId,
    counterparty: WalletId,
    currency: Currency,
    /// Signed: a debit is negative.
    change: i128,
}

/// The fold of the whole log.
pub struct LogFold<'a> {
    progress: &'a Progress,
    wallets: HashMap<WalletId, Folded>,
    /// Transfers of which one leg was seen. Both legs are in one append, so there are few.
    open: HashMap<TransferId, OpenLeg>,
    /// What came in from outside minus what went out, by currency.
    external: HashMap<Currency, i128>,
    transfers: u64,
    /// How many events everybody has before them, and how many they set aside.
    pub counts: AllCounts,
    /// Events so far.
    pub events: u64,
    /// Position of the last event.
    pub head: u64,
    inv_01: Verdict,
    inv_02: Verdict,
    inv_03: Verdict,
}

impl<'a> LogFold<'a> {
    /// A fold that has seen nothing.
    #[must_use]
    pub fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            wallets: HashMap::new(),
            open: HashMap::new(),
            external: HashMap::new(),
            transfers: 0,
            counts: AllCounts::default(),
            events: 0,
            head: 0,
            inv_01: Verdict::new("INV-01", "money is conserved; a transfer has both legs or none"),
            inv_02: Verdict::new("INV-02", "no balance is ever below its floor"),
            inv_03: Verdict::new("INV-03", "a wallet's versions are 1, 2, 3, … without gap or repeat"),
        }
    }

    /// Takes the next event of the log.
    pub fn take(&mut self, position: u64, event: &Event) {
        self.events += 1;
        if position <= self.head {
            let head = self.head;
            self.inv_03.violated(|| format!("position {position} follows position {head}"));
        }
        self.head = position;
        let change = match event.fact {
            Fact::Created { .. } | Fact::Credited { .. } => event.amount.minor_units(),
            Fact::Debited { .. } => -event.amount.minor_units(),
        };
        self.take_transfer(event, change);
        let Some(row) = self.take_row(position, event, change) else { return };
        let (in_read_model, in_ledger) = self.stand(position, event);
        let folded = self.wallets.entry(event.wallet_id.clone()).or_insert_with(|| Folded {
            now: row.clone(),
            read_model: None,
            ledger: LedgerSums::default(),
        });
        if in_read_model {
            folded.read_model = Some(row.clone());
        }
        if in_ledger {
            folded.ledger.add(&ledger_row(event, change));
        }
        folded.now = row;
    }

    /// Counts the event for everybody, and says whether it must show in the read model and in the ledger.
    fn stand(&mut self, position: u64, event: &Event) -> (bool, bool) {
        let (progress, counts) = (self.progress, &mut self.counts);
        counts.feeder.count(0, progress.feeder.standing(0, position, event));
        let relay = progress.relay.standing(0, position, event);
        counts.relay.count(0, relay);
        let partition = partition_of(&event.wallet_id);
        let [in_read_model, in_ledger] =
            [(&progress.read_model, &mut counts.read_model), (&progress.ledger, &mut counts.ledger)].map(
                |(reached, counts)| {
                    // What the relay set aside was never published: it is to come, wherever the consumer is.
                    let standing = match relay {
                        Standing::Held | Standing::Ahead if reached.versions.is_none() => Standing::Ahead,
                        Standing::Held | Standing::Ahead | Standing::Taken => {
                            reached.standing(partition, position, event)
                        }
                    };
                    counts.count(partition, standing);
                    standing == Standing::Taken
                },
            );
        (in_read_model, in_ledger)
    }

    /// The wallet after the event; nothing when the event has no place to go.
    fn take_row(&mut self, position: u64, event: &Event, change: i128) -> Option<Row> {
        let at = || format!("wallet {} at version {} (position {position})", event.wallet_id, event.version.0);
        let before = self.wallets.get(&event.wallet_id).map(|folded| &folded.now);
        let version_before = before.map_or(0, |row| row.version);
        if event.version.0 != version_before + 1 {
            self.inv_03.violated(|| format!("{}: the version before is {version_before}", at()));
        }
        if event.amount.minor_units() < 0 {
            self.inv_01.violated(|| format!("{}: the amount {} is negative", at(), event.amount));
        }
        let balance = before.map_or(0, |row| row.balance) + change;
        if balance != event.balance.minor_units() {
            self.inv_01.violated(|| {
                format!(
                    "{}: the event says balance {}, its events add up to {balance} minor units",
                    at(),
                    event.balance
                )
            });
        }
        if event.balance.minor_units() < 0 || balance < 0 {
            self.inv_02.violated(|| format!("{}: the balance is {}", at(), event.balance));
        }
        let (owner, created_at) = match (before, &event.fact) {
            (None, Fact::Created { owner_id }) => (owner_id.clone(), event.occurred_at.as_micros()),
            (Some(row), Fact::Credited { .. } | Fact::Debited { .. }) => (row.owner.clone(), row.created_at),
            (None, Fact::Credited { .. } | Fact::Debited { .. }) | (Some(_), Fact::Created { .. }) => {
                self.inv_03.violated(|| format!("{}: a creation must be the first event and only that", at()));
                return None;
            }
        };
        if before.is_some_and(|row| row.currency != event.currency) {
            self.inv_01.violated(|| format!("{}: the currency changes to {}", at(), event.currency));
        }
        let updated_at = event.occurred_at.as_micros();
        Some(Row { owner, currency: event.currency, balance, version: event.version.0, created_at, updated_at })
    }

    fn take_transfer(&mut self, event: &Event, change: i128) {
        let Some(leg) = event.transfer() else {
            *self.external.entry(event.currency).or_default() += change;
            return;
        };
        let this = OpenLeg {
            wallet: event.wallet_id.clone(),
            counterparty: leg.counterparty.clone(),
            currency: event.currency,
            change,
        };
        match self.open.remove(&leg.transfer_id) {
            None => drop(self.open.insert(leg.transfer_id, this)),
            Some(other) => {
                self.transfers += 1;
                let fits = other.change == -this.change
                    && other.currency == this.currency
                    && other.wallet == this.counterparty
                    && other.counterparty == this.wallet;
                if !fits {
                    self.inv_01.violated(|| {
                        format!(
                            "the legs of transfer {} in {} and {} do not match",
                            leg.transfer_id, other.wallet, this.wallet
                        )
                    });
                }
            }
        }
    }

    /// Ends the fold: the wallets, and what was found about INV-01, INV-02 and INV-03.
    #[must_use]
    pub fn finish(mut self) -> (HashMap<WalletId, Folded>, [Verdict; 3]) {
        for (transfer, leg) in &self.open {
            self.inv_01.violated(|| format!("transfer {transfer} has one leg only, in wallet {}", leg.wallet));
        }
        let mut held: HashMap<Currency, i128> = HashMap::new();
        for folded in self.wallets.values() {
            *held.entry(folded.now.currency).or_default() += folded.now.balance;
        }
        for (currency, external) in &self.external {
            let held = held.get(currency).copied().unwrap_or(0);
            if held != *external {
                self.inv_01.violated(|| {
                    format!("{currency}: balances add up to {held} minor units, {external} came in and did not go out")
                });
            }
        }
        let wallets = self.wallets.len() as u64;
        self.inv_01.checked("events", self.events);
        self.inv_01.checked("transfers", self.transfers);
        self.inv_01.checked("currencies", self.external.len() as u64);
        self.inv_02.checked("balances", self.events);
        self.inv_03.checked("wallets", wallets);
        self.inv_03.checked("events", self.events);
        (self.wallets, [self.inv_01, self.inv_02, self.inv_03])
    }
}

/// The row that the ledger must hold for an event.
fn ledger_row(event: &Event, change: i128) -> LedgerRow<'_> {
    let kind = match (&event.fact, event.transfer().is_some()) {
        (Fact::Created { .. }, _) => "create",
        (Fact::Credited { .. }, false) => "credit",
        (Fact::Credited { .. }, true) => "transfer_in",
        (Fact::Debited { .. }, false) => "debit",
        (Fact::Debited { .. }, true) => "transfer_out",
    };
    LedgerRow {
        event_id: *event.event_id.as_bytes(),
        version: event.version.0,
        kind,
        amount: change,
        balance: event.balance.minor_units(),
        currency: event.currency.code(),
        transfer_id: event.transfer().map(|leg| *leg.transfer_id.as_bytes()),
        counterparty: event.transfer().map(|leg| leg.counterparty.as_str()),
        description: event.description.as_deref(),
        occurred_at: event.occurred_at.as_micros(),
        command_id: *event.command_id.as_bytes(),
        correlation_id: event.correlation_id.as_str(),
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
