//! The refusals of the domain, typed.
//!
//! Owns their stable codes, and which of them stand: a final one is stored and replayed under its idempotency key
//! (INV-05), one that is a fault of the request leaves the key free. Status and body of the answer are left to HTTP.

use serde::{Deserialize, Serialize};

use crate::currency::Currency;
use crate::id::{Version, WalletId};
use crate::money::{Amount, Money};

/// Why the domain refuses an operation. [`Rejection::code`] is the stable name that clients see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// No wallet has this id.
    #[error("wallet {wallet_id} does not exist")]
    WalletNotFound {
        /// The id asked for.
        wallet_id: WalletId,
    },
    /// The id is taken.
    #[error("wallet {wallet_id} exists already")]
    WalletExists {
        /// The id asked for.
        wallet_id: WalletId,
    },
    /// The money is not there (INV-02).
    #[error("wallet {wallet_id} holds {balance} {currency}, which is less than the {requested} {currency} asked for")]
    InsufficientFunds {
        /// The wallet to be debited.
        wallet_id: WalletId,
        /// What it holds.
        balance: Money,
        /// What was asked for.
        requested: Money,
        /// Of which currency.
        currency: Currency,
    },
    /// A transfer from a wallet to itself.
    #[error("source and destination are the same wallet, {wallet_id}")]
    SameWallet {
        /// Both sides.
        wallet_id: WalletId,
    },
    /// A transfer between currencies.
    #[error("the source holds {from} and the destination {to}: a transfer needs the same currency on both sides")]
    CurrencyMismatch {
        /// Of the source.
        from: Currency,
        /// Of the destination.
        to: Currency,
    },
    /// The balance would pass [`crate::limits::BALANCE_MAX`].
    #[error("the balance of wallet {wallet_id} would pass the limit of {limit}", limit = crate::limits::BALANCE_MAX)]
    BalanceLimit {
        /// The wallet to be credited.
        wallet_id: WalletId,
    },
    /// `If-Match` names another version than the wallet has.
    #[error("wallet {wallet_id} is at version {actual}, which is none that If-Match names")]
    VersionMismatch {
        /// The wallet addressed.
        wallet_id: WalletId,
        /// The first version that the client named, 0 when it named none.
        expected: Version,
        /// The version the wallet has.
        actual: Version,
    },
    /// More decimal places than the wallet's currency has. A mistake in the request that only the wallet can reveal:
    /// it counts as a failed validation of `amount`, and is not stored under an idempotency key.
    #[error("{amount} has more than the {scale} decimal places of {currency}", scale = currency.scale())]
    AmountTooPrecise {
        /// What was asked for.
        amount: Amount,
        /// The wallet's currency.
        currency: Currency,
    },
    /// An operation of a batch that was refused when the batch was first carried out, by an instance that died before it
    /// could say why. Only an answer rebuilt from the log has it, and only where the operation would be accepted now.
    #[error(
        "the operation was refused when the batch was carried out; the reason was lost with the instance that knew it"
    )]
    RefusedEarlier {
        /// The wallet addressed.
        wallet_id: WalletId,
    },
    /// An atomic batch in which at least one operation is refused: nothing happened.
    #[error("{count} of the operations are refused, so none was carried out", count = refused.len())]
    Batch {
        /// The refused operations, in request order.
        refused: Vec<Refused>,
    },
}

/// One refused operation of an atomic batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Why.
    pub rejection: Rejection,
}

impl Rejection {
    /// The stable machine code of the problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WalletNotFound { .. } => "wallet-not-found",
            Self::WalletExists { .. } => "wallet-exists",
            Self::InsufficientFunds { .. } => "insufficient-funds",
            Self::SameWallet { .. } => "same-wallet",
            Self::CurrencyMismatch { .. } => "currency-mismatch",
            Self::BalanceLimit { .. } => "balance-limit",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::AmountTooPrecise { .. } => "validation-failed",
            Self::RefusedEarlier { .. } => "refused-earlier",
            Self::Batch { .. } => "batch-refused",
        }
    }

    /// Whether this is an answer of the domain, stored and replayed under its idempotency key; otherwise the request
    /// itself was at fault, and the key stays free for the corrected one.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::AmountTooPrecise { .. } => false,
            Self::Batch { refused } => refused.iter().all(|one| one.rejection.is_final()),
            Self::WalletNotFound { .. }
            | Self::WalletExists { .. }
            | Self::InsufficientFunds { .. }
            | Self::SameWallet { .. }
            | Self::CurrencyMismatch { .. }
            | Self::BalanceLimit { .. }
            | Self::VersionMismatch { .. }
            | Self::RefusedEarlier { .. } => true,
        }
    }
}
