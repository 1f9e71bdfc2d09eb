//! Rows of `wallets_read_model`: inserted once, then moved from version to version.
//!
//! An update names the version that the row must have (INV-07, INV-08). A row that is elsewhere refuses the whole
//! transaction, by name. The partition's checkpoint is locked before, so a wallet's row has one writer at a time.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use wallex_core::id::{Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::{WalletChange, partition_of};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use super::error::Stop;
use super::form::{count, int, minor_units};

/// How many events the changes stand for, by partition.
pub(super) fn events(changes: &[WalletChange]) -> BTreeMap<u16, i64> {
    let mut events: BTreeMap<u16, i64> = BTreeMap::new();
    for change in changes {
        let (wallet, from, to) = match change {
            WalletChange::Insert(wallet) => (&wallet.id, 0, wallet.version.0),
            WalletChange::Update { wallet_id, expected, version, .. } => (wallet_id, expected.0, version.0),
        };
        *events.entry(partition_of(wallet)).or_default() += int(to.saturating_sub(from));
    }
    events
}

/// Applies changes, at most one for each wallet.
pub(super) async fn apply(connection: &mut PgConnection, changes: &[WalletChange], at: Timestamp) -> Result<(), Stop> {
    let mut inserts: Vec<&Wallet> = Vec::new();
    let mut updates = Updates::default();
    for change in changes {
        match change {
            WalletChange::Insert(wallet) => inserts.push(wallet),
            WalletChange::Update { wallet_id, expected, version, balance, updated_at } => {
                updates.push(wallet_id, *expected, *version, *balance, *updated_at)?;
            }
        }
    }
    insert(connection, &inserts, at).await?;
    updates.run(connection, at).await
}

async fn insert(connection: &mut PgConnection, wallets: &[&Wallet], at: Timestamp) -> Result<(), Stop> {
    if wallets.is_empty() {
        return Ok(());
    }
    let balances = wallets
        .iter()
        .map(|wallet| minor_units(wallet.balance, &wallet.id, wallet.version))
        .collect::<Result<Vec<i64>, Stop>>()?;
    // In the order of creation: the numbers given here are the order of lists.
    let inserted: Vec<String> = sqlx::query_scalar(
        "INSERT INTO wallet_states (wallet_id, owner_id, currency, scale, balance, version, created_us, updated_us, projected_at)
         SELECT wallet, owner, currency, scale, balance, version, created, updated, $9::text::timestamptz
         FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
              WITH ORDINALITY AS row (wallet, owner, currency, scale, balance, version, created, updated, nth) ORDER BY nth
         ON CONFLICT (wallet_id) DO NOTHING RETURNING wallet_id",
    )
    .bind(wallets.iter().map(|wallet| wallet.id.as_str()).collect::<Vec<_>>())
    .bind(wallets.iter().map(|wallet| wallet.owner_id.as_str()).collect::<Vec<_>>())
    .bind(wallets.iter().map(|wallet| wallet.currency.code()).collect::<Vec<_>>())
    .bind(wallets.iter().map(|wallet| i16::try_from(wallet.currency.scale()).unwrap_or(0)).collect::<Vec<_>>())
    .bind(balances)
    .bind(wallets.iter().map(|wallet| int(wallet.version.0)).collect::<Vec<_>>())
    .bind(wallets.iter().map(|wallet| wallet.created_at.as_micros()).collect::<Vec<_>>())
    .bind(wallets.iter().map(|wallet| wallet.updated_at.as_micros()).collect::<Vec<_>>())
    .bind(at.to_string())
    .fetch_all(&mut *connection)
    .await?;
    if inserted.len() == wallets.len() {
        return Ok(());
    }
    for wallet in wallets {
        if !inserted.iter().any(|id| id == wallet.id.as_str()) {
            let found = version_of(connection, &wallet.id).await?.unwrap_or(0);
            let id = &wallet.id;
            return Err(Stop::Rejected(format!("wallet {id} is in the read model already, at version {found}")));
        }
    }
    Err(Stop::Rejected("a wallet is inserted into the read model twice in one transaction".to_owned()))
}

/// Rows that move on, column by column.
#[derive(Default)]
struct Updates<'c> {
    wallets: Vec<&'c str>,
    ids: Vec<&'c WalletId>,
    expected: Vec<i64>,
    versions: Vec<i64>,
    balances: Vec<i64>,
    updated: Vec<i64>,
}

impl<'c> Updates<'c> {
    fn push(
        &mut self,
        wallet: &'c WalletId,
        expected: Version,
        version: Version,
        balance: Money,
        at: Timestamp,
    ) -> Result<(), Stop> {
        self.wallets.push(wallet.as_str());
        self.ids.push(wallet);
        self.expected.push(int(expected.0));
        self.versions.push(int(version.0));
        self.balances.push(minor_units(balance, wallet, version)?);
        self.updated.push(at.as_micros());
        Ok(())
    }

    async fn run(self, connection: &mut PgConnection, at: Timestamp) -> Result<(), Stop> {
        if self.wallets.is_empty() {
            return Ok(());
        }
        let moved = sqlx::query(
            "UPDATE wallet_states s
             SET version = row.version, balance = row.balance, updated_us = row.updated, projected_at = $6::text::timestamptz
             FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                  AS row (wallet, expected, version, balance, updated)
             WHERE s.wallet_id = row.wallet AND s.version = row.expected",
        )
        .bind(&self.wallets)
        .bind(&self.expected)
        .bind(&self.versions)
        .bind(&self.balances)
        .bind(&self.updated)
        .bind(at.to_string())
        .execute(&mut *connection)
        .await?;
        if moved.rows_affected() == self.wallets.len() as u64 {
            return Ok(());
        }
        for ((wallet, expected), version) in self.ids.into_iter().zip(&self.expected).zip(&self.versions) {
            let found = version_of(connection, wallet).await?;
            if found != Some(*version) {
                let found = found.map_or_else(|| "missing".to_owned(), |version| format!("at version {version}"));
                return Err(Stop::Rejected(format!("wallet {wallet} is {found} in the read model, not at {expected}")));
            }
        }
        Err(Stop::Rejected("a wallet of the read model is changed twice in one transaction".to_owned()))
    }
}

async fn version_of(connection: &mut PgConnection, wallet: &WalletId) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT version FROM wallet_states WHERE wallet_id = $1")
        .bind(wallet.as_str())
        .fetch_optional(connection)
        .await
}

/// The versions of wallets, 0 for those that the read model does not have.
pub(super) async fn versions(connection: &mut PgConnection, wallets: &[WalletId]) -> Result<Vec<Version>, Stop> {
    let found: Vec<i64> = sqlx::query_scalar(
        "SELECT coalesce(s.version, 0) FROM unnest($1::text[]) WITH ORDINALITY AS asked (wallet, nth)
         LEFT JOIN wallet_states s ON s.wallet_id = asked.wallet ORDER BY asked.nth",
    )
    .bind(wallets.iter().map(WalletId::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|version| Version(count(version))).collect())
}
