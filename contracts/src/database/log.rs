//! A small log to write: wallets whose events follow each other as the aggregate would decide them.
//!
//! The same calls give the same events. Positions have holes, descriptions have quotes and umlauts, and only some
//! events have a trace, so a database that counts on less fails. It refuses nothing: that balances stay in range is
//! left to the caller. The adapters' own tests use it too.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex_core::currency::Currency;
use wallex_core::event::{Event, Fact, Recorded, TraceParent, TransferLeg};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Position, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::{LedgerEntry, WalletChange};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

/// The wallet with this name.
///
/// # Panics
/// When the name is no id.
#[must_use]
pub fn id(name: &str) -> WalletId {
    WalletId::parse(name).expect("the names of statements are ids")
}

/// `seconds` after the moment at which the statements begin.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000 + 42)
}

/// The log and the state of its wallets. Positions leave holes, as those of KurrentDB do.
#[derive(Default)]
pub struct Log {
    /// The wallets as of the last event.
    pub wallets: BTreeMap<WalletId, Wallet>,
    /// The events, in order.
    pub rows: Vec<Recorded>,
}

/// The distance between two positions.
pub(super) const POSITION_STEP: u64 = 3;

impl Log {
    /// Two wallets of dollars, `alice` with 100.00 and `bob` with nothing, two transfers between them, and a credit.
    #[must_use]
    pub fn of_two() -> Self {
        let mut log = Self::default();
        log.create("alice", 10_000);
        log.create("bob", 0);
        log.transfer("alice", "bob", 2_550);
        log.transfer("alice", "bob", 1);
        log.credit("bob", 5);
        log
    }

    /// The position of the last event.
    #[must_use]
    pub fn end(&self) -> Position {
        self.rows.last().map(|row| row.position).unwrap_or_default()
    }

    /// A new wallet.
    pub fn create(&mut self, name: &str, minor: i64) {
        let owner_id = OwnerId::parse("owner").expect("an id");
        let event = self.event(name, Fact::Created { owner_id }, minor, minor);
        self.push(event);
    }

    /// Money from outside.
    pub fn credit(&mut self, name: &str, minor: i64) {
        let event = self.event(name, Fact::Credited { transfer: None }, minor, self.balance(name) + minor);
        self.push(event);
    }

    /// Money from one wallet to another: two events of one command.
    pub fn transfer(&mut self, from: &str, to: &str, minor: i64) {
        let command = self.command();
        let transfer_id = TransferId::from(command.event_id(0));
        for (index, name, other, change) in [(0, from, to, -minor), (1, to, from, minor)] {
            let leg = Some(TransferLeg { transfer_id, counterparty: id(other) });
            let fact = if change < 0 { Fact::Debited { transfer: leg } } else { Fact::Credited { transfer: leg } };
            let event = self.event(name, fact, minor, self.balance(name) + change);
            self.push(Event { event_id: command.event_id(index), command_id: command, ..event });
        }
    }

    /// The row at this index (from 0).
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn row(&self, index: usize) -> &Recorded {
        &self.rows[index]
    }

    fn balance(&self, name: &str) -> i64 {
        i64::try_from(self.wallets[&id(name)].balance.minor_units()).expect("small sums")
    }

    fn push(&mut self, event: Event) {
        let state = self.wallets.remove(&event.wallet_id);
        self.wallets.insert(event.wallet_id.clone(), Wallet::apply(state, &event));
        self.rows.push(Recorded { position: Position((self.rows.len() as u64 + 1) * POSITION_STEP), event });
    }

    fn command(&self) -> CommandId {
        CommandId::new(at(self.rows.len() as i64), self.rows.len() as u64)
    }

    fn event(&self, name: &str, fact: Fact, amount: i64, balance: i64) -> Event {
        let (wallet_id, number) = (id(name), self.rows.len());
        let currency = Currency::parse("USD").expect("a currency");
        let trace = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        Event {
            event_id: self.command().event_id(0),
            version: self.wallets.get(&wallet_id).map_or(Version(1), |wallet| wallet.version.next()),
            wallet_id,
            occurred_at: at(number as i64),
            currency,
            amount: Money::from_minor_units(amount, currency),
            balance: Money::from_minor_units(balance, currency),
            description: number
                .is_multiple_of(3)
                .then(|| Arc::from(format!("rent \"{number}\" \\ für März {{}}, NULL"))),
            fact,
            command_id: self.command(),
            correlation_id: CorrelationId::parse(&format!("request/{number}")).expect("an id"),
            trace_parent: trace.filter(|_| number.is_multiple_of(2)),
        }
    }
}

/// The changes of the read model that a projector makes of these events.
#[must_use]
pub fn changes(events: &[Recorded]) -> Vec<WalletChange> {
    let mut changes: Vec<WalletChange> = Vec::new();
    for Recorded { event, .. } in events {
        let known = changes.iter_mut().find(|change| match change {
            WalletChange::Insert(wallet) => wallet.id == event.wallet_id,
            WalletChange::Update { wallet_id, .. } => *wallet_id == event.wallet_id,
        });
        match known {
            Some(WalletChange::Insert(wallet)) => wallet.advance(event),
            Some(WalletChange::Update { version, balance, updated_at, .. }) => {
                (*version, *balance, *updated_at) = (event.version, event.balance, event.occurred_at);
            }
            None if event.version == Version(1) => changes.push(WalletChange::Insert(Wallet::apply(None, event))),
            None => changes.push(WalletChange::Update {
                wallet_id: event.wallet_id.clone(),
                expected: Version(event.version.0 - 1),
                version: event.version,
                balance: event.balance,
                updated_at: event.occurred_at,
            }),
        }
    }
    changes
}

/// The ledger entries of these events.
#[must_use]
pub fn entries(events: &[Recorded]) -> Vec<LedgerEntry> {
    events.iter().map(|row| LedgerEntry::from(&row.event)).collect()
}
