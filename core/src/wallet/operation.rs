//! What can be asked of wallets, and the one place that finds the wallets an operation speaks of.
//!
//! Looks whether wallets that must be there exist, whether the version is that of `If-Match`, and whether a transfer
//! has two sides; everything else is left to the `decide` of each operation. Pure: the caller ([`crate::command`])
//! brings the wallets and the time.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Create, Credit, Debit, Events, Rejection, Transfer, Wallet};
use crate::event::TraceParent;
use crate::id::{CommandId, CorrelationId, Version, WalletId};
use crate::time::Timestamp;

/// One request of the domain, which may be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Create a wallet.
    Create(Create),
    /// Put money in.
    Credit(Credit),
    /// Take money out.
    Debit(Debit),
    /// Move money.
    Transfer(Transfer),
}

/// What the version of the wallet that an operation addresses must be (`If-Match`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IfMatch {
    /// This one.
    Version(Version),
    /// One of these, which no wallet is when there are none.
    AnyOf(Vec<Version>),
}

impl IfMatch {
    /// Whether a wallet at `version` meets it.
    #[must_use]
    pub fn admits(&self, version: Version) -> bool {
        match self {
            Self::Version(expected) => *expected == version,
            Self::AnyOf(versions) => versions.contains(&version),
        }
    }

    /// The first version it names, 0 when it names none.
    #[must_use]
    pub fn first(&self) -> Version {
        match self {
            Self::Version(expected) => *expected,
            Self::AnyOf(versions) => versions.first().copied().unwrap_or(Version(0)),
        }
    }
}

/// Who caused events, and when: what [`Operation::decide`] stamps on them.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// The command.
    pub command_id: CommandId,
    /// The request.
    pub correlation_id: &'a CorrelationId,
    /// Its trace context.
    pub trace_parent: Option<&'a TraceParent>,
    /// The present, as the runtime sees it.
    pub now: Timestamp,
}

/// The wallets as they stand at the moment of a decision.
pub trait Wallets {
    /// The state of a wallet, or nothing when it does not exist.
    fn wallet(&self, id: &WalletId) -> Option<&Wallet>;
}

impl Operation {
    /// The wallet that the request addresses (the source of a transfer), whose version `If-Match` speaks of.
    #[must_use]
    pub fn subject(&self) -> &WalletId {
        match self {
            Self::Create(create) => &create.wallet_id,
            Self::Credit(credit) => &credit.wallet_id,
            Self::Debit(debit) => &debit.wallet_id,
            Self::Transfer(transfer) => &transfer.from,
        }
    }

    /// Every wallet that the operation reads or changes: one, or two for a transfer.
    #[must_use]
    pub fn wallets(&self) -> SmallVec<[&WalletId; 2]> {
        let mut wallets = SmallVec::new();
        wallets.push(self.subject());
        if let Self::Transfer(transfer) = self
            && transfer.to != transfer.from
        {
            wallets.push(&transfer.to);
        }
        wallets
    }

    /// Decides against the wallets as they stand. `index` is the number of
    /// the operation's first event within its command.
    ///
    /// # Errors
    /// The [`Rejection`] of the domain.
    pub fn decide(
        &self,
        wallets: &impl Wallets,
        if_match: Option<&IfMatch>,
        cause: &Cause<'_>,
        index: usize,
    ) -> Result<Events, Rejection> {
        let found =
            |id: &WalletId| wallets.wallet(id).ok_or_else(|| Rejection::WalletNotFound { wallet_id: id.clone() });
        let matched = |id: &WalletId| -> Result<&Wallet, Rejection> {
            let wallet = found(id)?;
            match if_match {
                Some(expected) if !expected.admits(wallet.version) => {
                    let (expected, actual) = (expected.first(), wallet.version);
                    Err(Rejection::VersionMismatch { wallet_id: id.clone(), expected, actual })
                }
                Some(_) | None => Ok(wallet),
            }
        };
        let mut events = Events::new();
        match self {
            Self::Create(create) => events.push(create.decide(wallets.wallet(&create.wallet_id), cause, index)?),
            Self::Credit(credit) => events.push(credit.decide(matched(&credit.wallet_id)?, cause, index)?),
            Self::Debit(debit) => events.push(debit.decide(matched(&debit.wallet_id)?, cause, index)?),
            Self::Transfer(transfer) => {
                if transfer.from == transfer.to {
                    return Err(Rejection::SameWallet { wallet_id: transfer.from.clone() });
                }
                events.extend(transfer.decide(matched(&transfer.from)?, found(&transfer.to)?, cause, index)?);
            }
        }
        Ok(events)
    }
}
