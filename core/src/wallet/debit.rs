//! Debit a wallet: money goes out, never more than there is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cause, Rejection, Wallet};
use crate::event::{Event, Fact};
use crate::id::WalletId;
use crate::money::Amount;

/// Take money out of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debit {
    /// The wallet.
    pub wallet_id: WalletId,
    /// How much.
    pub amount: Amount,
    /// What for.
    pub description: Option<Arc<str>>,
}

impl Debit {
    /// # Errors
    /// [`Rejection::AmountTooPrecise`] or [`Rejection::InsufficientFunds`].
    pub fn decide(&self, wallet: &Wallet, cause: &Cause<'_>, index: usize) -> Result<Event, Rejection> {
        let amount = wallet.in_own_currency(self.amount)?;
        let balance = wallet.balance_after_debit(amount)?;
        let fact = Fact::Debited { transfer: None };
        Ok(wallet.next_event(fact, amount, balance, self.description.clone(), cause, index))
    }
}
