//! Create a wallet, with or without money in it.

use serde::{Deserialize, Serialize};

use super::{Cause, Rejection, Wallet};
use crate::currency::Currency;
use crate::event::{Event, Fact};
use crate::id::{OwnerId, Version, WalletId};
use crate::money::Money;

/// Bring a wallet into being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// The new wallet.
    pub wallet_id: WalletId,
    /// Whose it will be.
    pub owner_id: OwnerId,
    /// The currency it will hold, for ever.
    pub currency: Currency,
    /// Its first money, zero or more.
    pub initial_balance: Money,
}

impl Create {
    /// # Errors
    /// [`Rejection::WalletExists`].
    pub fn decide(&self, existing: Option<&Wallet>, cause: &Cause<'_>, index: usize) -> Result<Event, Rejection> {
        if existing.is_some() {
            return Err(Rejection::WalletExists { wallet_id: self.wallet_id.clone() });
        }
        assert!(!self.initial_balance.is_negative(), "INV-02: an opening balance is not negative");
        Ok(Event {
            event_id: cause.command_id.event_id(index),
            wallet_id: self.wallet_id.clone(),
            version: Version(1),
            occurred_at: cause.now,
            currency: self.currency,
            amount: self.initial_balance,
            balance: self.initial_balance,
            description: None,
            fact: Fact::Created { owner_id: self.owner_id.clone() },
            command_id: cause.command_id,
            correlation_id: cause.correlation_id.clone(),
            trace_parent: cause.trace_parent.cloned(),
        })
    }
}
