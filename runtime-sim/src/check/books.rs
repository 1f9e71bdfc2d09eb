//! The reference model: what the event store has made durable, kept as plain books in minor units.
//!
//! It shares no arithmetic with the core: balances are folded here from amounts alone, and what an event claims about its
//! balance is compared with that. Entries keep the order in which they became durable, even when their versions are
//! wrong, so that the checkers see what a reader of the store would see.

use std::collections::BTreeMap;

use wallex_core::event::{Event, Fact, Recorded};
use wallex_core::id::{CommandId, EventId, Position, TransferId, WalletId};

use super::delivery::Delivery;
use crate::history::{AttemptId, Step};

/// One event of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub position: Position,
    /// Its id.
    pub event_id: EventId,
    /// The version it claims.
    pub version: u64,
    /// The balance it claims, in minor units.
    pub balance: i64,
    /// The balance that follows from all amounts up to here.
    pub folded: i64,
    /// What a client asks for to get it; both legs of a transfer have the same.
    pub done: Step,
    /// The command that caused it.
    pub command_id: CommandId,
    /// The client's attempt that caused it.
    pub attempt: Option<AttemptId>,
}

/// A leg of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The wallet.
    pub wallet: WalletId,
    /// The other side that it names.
    pub counterparty: WalletId,
    /// What it adds to its wallet, in minor units.
    pub change: i64,
}

/// Everything that the event store has made durable.
#[derive(Clone, Debug, Default)]
pub struct Books {
    wallets: BTreeMap<WalletId, Vec<Entry>>,
    places: BTreeMap<EventId, (WalletId, usize)>,
    transfers: BTreeMap<TransferId, Vec<Leg>>,
    log: Vec<(Position, EventId, WalletId)>,
    money_in: i64,
    money_out: i64,
    pub(crate) delivery: Delivery,
}

impl Books {
    /// Takes in one durable event.
    pub(crate) fn take(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let change = change_of(event);
        match event.transfer() {
            Some(leg) => {
                let (wallet, counterparty) = (event.wallet_id.clone(), leg.counterparty.clone());
                self.transfers.entry(leg.transfer_id).or_default().push(Leg { wallet, counterparty, change });
            }
            None if change < 0 => self.money_out += -change,
            None => self.money_in += change,
        }
        let entries = self.wallets.entry(event.wallet_id.clone()).or_default();
        self.log.push((recorded.position, event.event_id, event.wallet_id.clone()));
        self.places.insert(event.event_id, (event.wallet_id.clone(), entries.len()));
        entries.push(Entry {
            position: recorded.position,
            event_id: event.event_id,
            version: event.version.0,
            balance: minor(event.balance.minor_units()),
            folded: entries.last().map_or(0, |entry| entry.folded) + change,
            done: step_of(event),
            command_id: event.command_id,
            attempt: AttemptId::of(&event.correlation_id),
        });
    }

    /// The events of a wallet, in the order in which they became durable.
    #[must_use]
    pub fn entries(&self, wallet: &WalletId) -> &[Entry] {
        self.wallets.get(wallet).map_or(&[], Vec::as_slice)
    }

    /// The event of a wallet that claims a version.
    #[must_use]
    pub fn at_version(&self, wallet: &WalletId, version: u64) -> Option<&Entry> {
        let entries = self.entries(wallet);
        let expected = usize::try_from(version).ok()?.checked_sub(1)?;
        entries.get(expected).filter(|entry| entry.version == version)
    }

    /// Where an event is.
    #[must_use]
    pub fn find(&self, event: EventId) -> Option<(&WalletId, &Entry)> {
        let (wallet, at) = self.places.get(&event)?;
        Some((wallet, self.wallets.get(wallet)?.get(*at)?))
    }

    /// The events after one position and up to another, in log order.
    pub(crate) fn between(&self, after: Position, to: Position) -> &[(Position, EventId, WalletId)] {
        let at = |position: Position| self.log.partition_point(|(there, _, _)| *there <= position);
        self.log.get(at(after)..at(to)).unwrap_or_default()
    }

    /// The ids of all events, in the order in which they became durable.
    pub(crate) fn order(&self) -> impl Iterator<Item = EventId> {
        self.log.iter().map(|(_, event, _)| *event)
    }

    /// All wallets, by id.
    pub fn wallets(&self) -> impl Iterator<Item = (&WalletId, &[Entry])> {
        self.wallets.iter().map(|(wallet, entries)| (wallet, entries.as_slice()))
    }

    /// All transfers, by id, with the legs there are.
    pub fn transfers(&self) -> impl Iterator<Item = (TransferId, &[Leg])> {
        self.transfers.iter().map(|(transfer, legs)| (*transfer, legs.as_slice()))
    }

    /// The legs of a transfer.
    #[must_use]
    pub fn legs(&self, transfer: TransferId) -> &[Leg] {
        self.transfers.get(&transfer).map_or(&[], Vec::as_slice)
    }

    /// Money that came in from outside and went out, in minor units.
    #[must_use]
    pub fn outside(&self) -> (i64, i64) {
        (self.money_in, self.money_out)
    }

    /// Number of events.
    #[must_use]
    pub fn events(&self) -> usize {
        self.places.len()
    }
}

/// What an event adds to its wallet, in minor units.
pub(crate) fn change_of(event: &Event) -> i64 {
    let amount = minor(event.amount.minor_units());
    match event.fact {
        Fact::Created { .. } | Fact::Credited { .. } => amount,
        Fact::Debited { .. } => -amount,
    }
}

/// What a client asks for to get an event, told from the event alone.
pub(crate) fn step_of(event: &Event) -> Step {
    let (wallet, amount) = (event.wallet_id.clone(), minor(event.amount.minor_units()));
    match &event.fact {
        Fact::Created { .. } => Step::Create(wallet, amount),
        Fact::Credited { transfer: None } => Step::Credit(wallet, amount),
        Fact::Debited { transfer: None } => Step::Debit(wallet, amount),
        Fact::Credited { transfer: Some(leg) } => Step::Transfer(leg.counterparty.clone(), wallet, amount),
        Fact::Debited { transfer: Some(leg) } => Step::Transfer(wallet, leg.counterparty.clone(), amount),
    }
}

/// Minor units as the books keep them: balances are bounded to 64 bits.
pub(crate) fn minor(units: i128) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
