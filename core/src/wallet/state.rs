//! The state of a wallet, which is also the snapshot that clients get, and the fold over its events.
//!
//! Keeps INV-02 (a debit beyond the balance is refused) and INV-03 (an event that is not the next one stops the
//! process, in release too). What comes from a store passes [`Wallet::check`] before it is folded: a history that
//! contradicts INV-01, INV-02 or INV-03 is named, not used. Which events an operation has is left to the file of the
//! operation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cause, Rejection};
use crate::currency::Currency;
use crate::event::{Event, Fact};
use crate::id::{OwnerId, Version, WalletId};
use crate::money::{Amount, Money};
use crate::mutant::{self, Mutant};
use crate::time::Timestamp;

/// A wallet as it stands after some event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    /// Its id.
    pub id: WalletId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// What it holds, for ever.
    pub currency: Currency,
    /// How much it holds, never below zero.
    pub balance: Money,
    /// How many events it has.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last event happened.
    pub updated_at: Timestamp,
}

/// An event that cannot follow the state it is folded into: its stream is damaged, or not a wallet's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// INV-03 does not hold.
    #[error("INV-03: version {found} follows version {after} in wallet {wallet_id}")]
    Version {
        /// The wallet.
        wallet_id: WalletId,
        /// The version before.
        after: Version,
        /// The version that came.
        found: Version,
    },
    /// A creation that is not first, or a first event that is no creation.
    #[error("wallet {wallet_id}: version {version} must be a creation if and only if it is the first event")]
    Creation {
        /// The wallet.
        wallet_id: WalletId,
        /// The version of the event.
        version: Version,
    },
    /// The balance after is not the balance before plus or minus the amount (INV-01), or is below zero (INV-02).
    #[error("INV-01: the balance of wallet {wallet_id} at version {version} is not the sum of its events")]
    Balance {
        /// The wallet.
        wallet_id: WalletId,
        /// The version of the event.
        version: Version,
    },
    /// An event of another wallet or currency.
    #[error("wallet {wallet_id}: version {version} belongs to another wallet or currency")]
    Foreign {
        /// The wallet.
        wallet_id: WalletId,
        /// The version of the event.
        version: Version,
    },
}

impl Wallet {
    /// Folds one more event into the state. Reads no clock and cannot fail: events that this engine did not just
    /// decide itself pass [`Wallet::check`] first.
    #[must_use]
    pub fn apply(state: Option<Self>, event: &Event) -> Self {
        match (state, &event.fact) {
            (Some(mut wallet), _) => {
                wallet.advance(event);
                wallet
            }
            (None, Fact::Created { owner_id }) => Self {
                id: event.wallet_id.clone(),
                owner_id: owner_id.clone(),
                currency: event.currency,
                balance: event.balance,
                version: event.version,
                created_at: event.occurred_at,
                updated_at: event.occurred_at,
            },
            (None, Fact::Credited { .. } | Fact::Debited { .. }) => {
                unreachable!("a wallet begins with its creation; events of others are checked before they are applied")
            }
        }
    }

    /// Folds an event into an existing wallet, in place.
    pub fn advance(&mut self, event: &Event) {
        assert_eq!(event.version, self.version.next(), "INV-03: versions are contiguous");
        self.balance = event.balance;
        self.version = event.version;
        self.updated_at = event.occurred_at;
    }

    /// Whether `event` can follow `state`.
    ///
    /// # Errors
    /// The [`Inconsistency`], which names the wallet and the invariant.
    pub fn check(state: Option<&Self>, event: &Event) -> Result<(), Inconsistency> {
        let (wallet_id, version) = (event.wallet_id.clone(), event.version);
        let after = state.map_or(Version(0), |wallet| wallet.version);
        if version != after.next() {
            return Err(Inconsistency::Version { wallet_id, after, found: version });
        }
        let expected = match (state, &event.fact) {
            (None, Fact::Created { .. }) => Some(event.amount),
            (Some(wallet), _) if wallet.id != wallet_id || wallet.currency != event.currency => {
                return Err(Inconsistency::Foreign { wallet_id, version });
            }
            (Some(wallet), Fact::Credited { .. }) => wallet.balance.plus(event.amount),
            (Some(wallet), Fact::Debited { .. }) => wallet.balance.minus(event.amount),
            (None, Fact::Credited { .. } | Fact::Debited { .. }) | (Some(_), Fact::Created { .. }) => {
                return Err(Inconsistency::Creation { wallet_id, version });
            }
        };
        if expected != Some(event.balance) || event.amount.is_negative() {
            return Err(Inconsistency::Balance { wallet_id, version });
        }
        Ok(())
    }

    /// The wallet as it stood right after `event`, which is one of its own: owner, currency and creation time never
    /// change, and the event carries the rest. This is how an answer is rebuilt from the log.
    #[must_use]
    pub fn as_of(&self, event: &Event) -> Self {
        Self { balance: event.balance, version: event.version, updated_at: event.occurred_at, ..self.clone() }
    }

    /// The wallet as it stood right before `event`, which is one of its own; nothing before its creation.
    #[must_use]
    pub fn before(&self, event: &Event) -> Option<Self> {
        let balance = match event.fact {
            Fact::Created { .. } => None,
            Fact::Credited { .. } => event.balance.minus(event.amount),
            Fact::Debited { .. } => event.balance.plus(event.amount),
        };
        Some(Self { balance: balance?, version: Version(event.version.0.saturating_sub(1)), ..self.as_of(event) })
    }

    pub(super) fn in_own_currency(&self, amount: Amount) -> Result<Money, Rejection> {
        amount.in_currency(self.currency).map_err(|_| Rejection::AmountTooPrecise { amount, currency: self.currency })
    }

    pub(super) fn balance_after_credit(&self, amount: Money) -> Result<Money, Rejection> {
        self.balance.plus(amount).ok_or_else(|| Rejection::BalanceLimit { wallet_id: self.id.clone() })
    }

    pub(super) fn balance_after_debit(&self, amount: Money) -> Result<Money, Rejection> {
        if mutant::on(Mutant::Overdraft) {
            let after = self.balance.minor_units() - amount.minor_units();
            return Ok(Money::from_minor_units(after as i64, self.currency));
        }
        self.balance.minus(amount).ok_or_else(|| Rejection::InsufficientFunds {
            wallet_id: self.id.clone(),
            balance: self.balance,
            requested: amount,
            currency: self.currency,
        })
    }

    /// The event that comes next in this wallet. Time never runs backwards within a wallet, whatever the clock does.
    pub(super) fn next_event(
        &self,
        fact: Fact,
        amount: Money,
        balance: Money,
        description: Option<Arc<str>>,
        cause: &Cause<'_>,
        index: usize,
    ) -> Event {
        Event {
            event_id: cause.command_id.event_id(index),
            wallet_id: self.id.clone(),
            version: self.version.next(),
            occurred_at: cause.now.max(self.updated_at),
            currency: self.currency,
            amount,
            balance,
            description,
            fact,
            command_id: cause.command_id,
            correlation_id: cause.correlation_id.clone(),
            trace_parent: cause.trace_parent.cloned(),
        }
    }
}
