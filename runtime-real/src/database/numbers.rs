//! The numbers that stand for wallets in the tables.
//!
//! A wallet gets its number when its first event reaches the outbox, in log order: the same log gives the same
//! numbers. They make index entries a few bytes long, which is what the speed of the pipeline rests on. Known numbers
//! are cached; those given in a transaction count only when it commits, so a rollback clears the cache.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;
use wallex_core::currency::Currency;
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::partition_of;

use super::form::{count, int};
use super::rows::RowsStatement;

/// Most wallets whose number is kept in memory.
const NUMBERS_CACHED_MAX: usize = 262_144;

static INSERT: RowsStatement =
    RowsStatement::new("INSERT INTO wallet_numbers (wallet, wallet_id, currency, scale, partition) VALUES", 5, "");

/// Known numbers of wallets.
#[derive(Default)]
pub(super) struct Numbers {
    known: HashMap<WalletId, i64>,
    last: Option<i64>,
}

impl Numbers {
    /// Forgets everything: after a rollback or an unknown outcome.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.last = None;
    }

    /// The number of a wallet that [`Numbers::ensure`] was asked for.
    pub(super) fn of(&self, wallet: &WalletId) -> i64 {
        *self.known.get(wallet).expect("numbers are ensured before they are used")
    }

    /// Makes the numbers of these wallets known, giving new ones where there is none.
    pub(super) async fn ensure<'w>(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: impl Iterator<Item = (&'w WalletId, Currency)>,
    ) -> Result<(), sqlx::Error> {
        if self.known.len() > NUMBERS_CACHED_MAX {
            self.known.clear();
        }
        // In order of appearance, which is log order.
        let mut missing: Vec<(&WalletId, Currency)> = Vec::new();
        for (wallet, currency) in wallets {
            if !self.known.contains_key(wallet) {
                self.known.insert(wallet.clone(), UNNUMBERED);
                missing.push((wallet, currency));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<&WalletId> = missing.iter().map(|(wallet, _)| *wallet).collect();
        self.look_up(connection, &ids).await?;
        missing.retain(|(wallet, _)| self.known.get(*wallet) == Some(&UNNUMBERED));
        self.give(connection, &missing).await
    }

    /// Makes the numbers of these wallets known, and gives the first that has none.
    pub(super) async fn find<'w>(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: impl Iterator<Item = &'w WalletId>,
    ) -> Result<Option<&'w WalletId>, sqlx::Error> {
        let missing: Vec<&WalletId> = wallets.filter(|wallet| !self.known.contains_key(*wallet)).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        self.look_up(connection, &missing).await?;
        Ok(missing.into_iter().find(|wallet| !self.known.contains_key(*wallet)))
    }

    async fn look_up(&mut self, connection: &mut SqliteConnection, missing: &[&WalletId]) -> Result<(), sqlx::Error> {
        let ids = json_array(missing.iter().copied());
        let found: Vec<(i64, i64)> =
            sqlx::query_as("SELECT j.key, n.wallet FROM json_each(?) j JOIN wallet_numbers n ON n.wallet_id = j.value")
                .bind(ids)
                .fetch_all(connection)
                .await?;
        for (index, number) in found {
            if let Some(wallet) = usize::try_from(index).ok().and_then(|index| missing.get(index)) {
                self.known.insert(WalletId::clone(wallet), number);
            }
        }
        Ok(())
    }

    async fn give(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: &[(&WalletId, Currency)],
    ) -> Result<(), sqlx::Error> {
        let mut last = match self.last {
            Some(last) => last,
            None => {
                sqlx::query_scalar("SELECT coalesce(max(wallet), 0) FROM wallet_numbers")
                    .fetch_one(&mut *connection)
                    .await?
            }
        };
        for (wallet, _) in wallets {
            last += 1;
            self.known.insert((*wallet).clone(), last);
        }
        self.last = Some(last);
        INSERT
            .execute(connection, wallets, |(wallet, currency), row| {
                row.int(self.of(wallet));
                row.text(wallet.as_str().to_owned());
                row.text(currency.code().to_owned());
                row.int(int(u64::from(currency.scale())));
                row.int(i64::from(partition_of(wallet)));
            })
            .await?;
        Ok(())
    }
}

/// Stands in the cache for a wallet whose number is being looked up.
const UNNUMBERED: i64 = 0;

/// Wallet ids as a JSON array: their alphabet needs no escapes.
pub(super) fn json_array<'w>(wallets: impl Iterator<Item = &'w WalletId>) -> String {
    let mut out = String::from("[");
    for wallet in wallets {
        if out.len() > 1 {
            out.push(',');
        }
        out.push('"');
        out.push_str(wallet.as_str());
        out.push('"');
    }
    out.push(']');
    out
}

/// Runs a question that takes a JSON array of wallet ids and gives (index, version) for those it knows.
pub(super) async fn versions(
    connection: &mut SqliteConnection,
    question: &'static str,
    wallets: &[WalletId],
) -> Result<Vec<Version>, sqlx::Error> {
    let found: Vec<(i64, i64)> =
        sqlx::query_as(question).bind(json_array(wallets.iter())).fetch_all(connection).await?;
    let mut versions = vec![Version(0); wallets.len()];
    for (index, version) in found {
        if let Some(slot) = usize::try_from(index).ok().and_then(|index| versions.get_mut(index)) {
            *slot = Version(count(version));
        }
    }
    Ok(versions)
}
