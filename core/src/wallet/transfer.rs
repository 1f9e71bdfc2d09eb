//! Transfer between two wallets: a debit and a credit that happen together or not at all.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cause, Rejection, Wallet};
use crate::event::{Event, Fact, TransferLeg};
use crate::id::{TransferId, WalletId};
use crate::money::{Amount, Money};
use crate::mutant::{self, Mutant};

/// Move money from one wallet to another of the same currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Where the money comes from.
    pub from: WalletId,
    /// Where it goes.
    pub to: WalletId,
    /// How much.
    pub amount: Amount,
    /// What for.
    pub description: Option<Arc<str>>,
}

impl Transfer {
    /// The debit and the credit, in this order. Their order in the command gives the transfer its id.
    ///
    /// # Errors
    /// [`Rejection::CurrencyMismatch`], [`Rejection::AmountTooPrecise`], [`Rejection::InsufficientFunds`] or
    /// [`Rejection::BalanceLimit`].
    pub fn decide(&self, from: &Wallet, to: &Wallet, cause: &Cause<'_>, index: usize) -> Result<[Event; 2], Rejection> {
        if from.currency != to.currency {
            return Err(Rejection::CurrencyMismatch { from: from.currency, to: to.currency });
        }
        let amount = from.in_own_currency(self.amount)?;
        let from_balance = from.balance_after_debit(amount)?;
        let mut to_balance = to.balance_after_credit(amount)?;
        if mutant::on(Mutant::MoneyLost) {
            to_balance = Money::from_minor_units(to_balance.minor_units() as i64 - 1, to.currency);
        }
        let transfer_id = TransferId::from(cause.command_id.event_id(index));
        let leg = |counterparty: &WalletId| Some(TransferLeg { transfer_id, counterparty: counterparty.clone() });
        let debited = Fact::Debited { transfer: leg(&to.id) };
        let credited = Fact::Credited { transfer: leg(&from.id) };
        Ok([
            from.next_event(debited, amount, from_balance, self.description.clone(), cause, index),
            to.next_event(credited, amount, to_balance, self.description.clone(), cause, index + 1),
        ])
    }
}
