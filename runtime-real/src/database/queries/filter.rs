//! What readers may ask for: filters of lists, and what tells one question from another.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use wallex_core::id::{OwnerId, WalletId};
use wallex_core::projector::EntryKind;
use wallex_core::time::Timestamp;

use super::cursor::{Cursor, question};

/// Which wallets to list.
#[derive(Clone, Debug, Default)]
pub struct WalletFilter {
    /// Those of this owner.
    pub owner_id: Option<OwnerId>,
    /// Those with at least this balance. It is compared in whole units of each wallet's own currency: 10 is ten dollars
    /// as well as ten yen, and nothing is converted.
    pub min_balance: Option<Decimal>,
    /// Those with at most this balance; see [`WalletFilter::min_balance`].
    pub max_balance: Option<Decimal>,
    /// The page after this one.
    pub after: Option<Cursor>,
    /// Most rows of a page.
    pub limit: usize,
}

impl WalletFilter {
    pub(in crate::database) fn question(&self) -> [u8; 8] {
        let bound = |bound: Option<Decimal>| bound.map(|bound| bound.normalize().to_string()).unwrap_or_default();
        let owner = self.owner_id.as_ref().map_or("", OwnerId::as_str);
        question(&["wallets", owner, &bound(self.min_balance), &bound(self.max_balance)])
    }
}

/// A bound in units as one in minor units; what does not fit lies beyond every balance.
pub(in crate::database) fn minor_bound(bound: Decimal, scale: u32, round: fn(&Decimal) -> Decimal) -> i64 {
    let beyond = if bound.is_sign_negative() { i64::MIN } else { i64::MAX };
    let minor = bound.checked_mul(Decimal::from(10_i64.pow(scale)));
    minor.and_then(|minor| round(&minor).to_i64()).unwrap_or(beyond)
}

/// Which entries of a wallet to list.
#[derive(Clone, Debug, Default)]
pub struct TransactionFilter {
    /// Those of this kind.
    pub kind: Option<EntryKind>,
    /// Those at or after this time.
    pub from: Option<Timestamp>,
    /// Those before this time.
    pub to: Option<Timestamp>,
    /// Oldest first, instead of newest first.
    pub ascending: bool,
    /// The page after this one.
    pub after: Option<Cursor>,
    /// Most rows of a page.
    pub limit: usize,
}

impl TransactionFilter {
    pub(in crate::database) fn question(&self, wallet: &WalletId) -> [u8; 8] {
        let time = |time: Option<Timestamp>| time.map(|time| time.as_micros().to_string()).unwrap_or_default();
        let kind = self.kind.map_or("", EntryKind::name);
        let order = if self.ascending { "asc" } else { "desc" };
        question(&["transactions", wallet.as_str(), kind, &time(self.from), &time(self.to), order])
    }
}
