//! A naive ledger that decides what is to be written, and knows what must be found afterwards.
//!
//! It makes appends with the core's own decisions: ids derive from commands, times and balances fit together. Nothing is
//! left to chance: the same calls give the same events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wallex_core::currency::Currency;
use wallex_core::effect::{Append, StreamWrite};
use wallex_core::event::{Event, TraceParent};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Version, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Cause, Create, Credit, Operation, Transfer, Wallet, Wallets};

/// When the first command is decided.
const BEGIN: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
/// The time between two commands.
const STEP: std::time::Duration = std::time::Duration::from_secs(1);

/// The wallets and the log as they must be. Copies decide on their own, and never under the same command id.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// State of every wallet.
    pub wallets: BTreeMap<WalletId, Wallet>,
    /// Everything that was accepted, in log order.
    pub events: Vec<Event>,
    commands: Arc<AtomicU64>,
}

impl Wallets for Ledger {
    fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.wallets.get(id)
    }
}

/// The wallet with this name.
///
/// # Panics
/// When the name is no id.
#[must_use]
pub fn wallet(name: &str) -> WalletId {
    WalletId::parse(name).expect("a wallet id")
}

impl Ledger {
    /// What one operation writes. The ledger does not count it as done.
    ///
    /// # Panics
    /// When the operation is refused: statements ask for what is possible.
    pub fn decide(&self, operation: &Operation) -> Append {
        let number = self.commands.fetch_add(1, Ordering::Relaxed) + 1;
        let now = BEGIN.plus(STEP.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)));
        let command_id = CommandId::new(now, number);
        let correlation_id = CorrelationId::parse(&format!("request/{number}")).expect("a correlation id");
        let trace_parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let trace_parent = trace_parent.filter(|_| number.is_multiple_of(2));
        let cause = Cause { command_id, correlation_id: &correlation_id, trace_parent: trace_parent.as_ref(), now };
        let events = operation.decide(self, None, &cause, 0).expect("statements ask for what is possible");
        let writes = events.into_iter().map(|event| StreamWrite {
            wallet: event.wallet_id.clone(),
            expected: Version(event.version.0 - 1),
            events: vec![event],
        });
        Append { writes: writes.collect(), records: Vec::new() }
    }

    /// Counts an append as done.
    pub fn accept(&mut self, append: &Append) {
        for event in append.writes.iter().flat_map(|write| &write.events) {
            let after = Wallet::apply(self.wallets.remove(&event.wallet_id), event);
            self.wallets.insert(event.wallet_id.clone(), after);
            self.events.push(event.clone());
        }
    }

    /// A new wallet with 1000.00 USD.
    pub fn create(&self, name: &str) -> Append {
        let currency = Currency::parse("USD").expect("a currency");
        self.decide(&Operation::Create(Create {
            wallet_id: wallet(name),
            owner_id: OwnerId::parse("owner").expect("an owner id"),
            currency,
            initial_balance: Money::parse("1000", currency).expect("an amount"),
        }))
    }

    /// Money into a wallet.
    pub fn credit(&self, name: &str, amount: &str) -> Append {
        self.decide(&Operation::Credit(Credit {
            wallet_id: wallet(name),
            amount: Amount::parse(amount).expect("an amount"),
            description: None,
        }))
    }

    /// Money from one wallet to another.
    pub fn transfer(&self, from: &str, to: &str, amount: &str) -> Append {
        self.decide(&Operation::Transfer(Transfer {
            from: wallet(from),
            to: wallet(to),
            amount: Amount::parse(amount).expect("an amount"),
            description: Some(Arc::from("rent \"May\" – ü")),
        }))
    }

    /// The events of one wallet, in order.
    #[must_use]
    pub fn stream(&self, name: &str) -> Vec<Event> {
        self.events.iter().filter(|event| event.wallet_id.as_str() == name).cloned().collect()
    }
}

/// Two appends as one: where both write to a wallet, the second follows the first.
#[must_use]
pub fn together(first: &Append, second: &Append) -> Append {
    let mut both = first.clone();
    for write in &second.writes {
        match both.writes.iter_mut().find(|earlier| earlier.wallet == write.wallet) {
            Some(earlier) => earlier.events.extend(write.events.iter().cloned()),
            None => both.writes.push(write.clone()),
        }
    }
    both
}
