//! The numbers that stand for wallets in the tables.
//!
//! A wallet gets its number when its first event reaches the outbox, in log order: the same log gives the same
//! numbers. They make index entries a few bytes long, which is what the speed of the pipeline rests on. Known numbers
//! are cached; those given in a transaction count only when it commits, so a rollback clears the cache.

use std::hash::{BuildHasher as _, RandomState};

use sqlx::sqlite::SqliteConnection;
use wallex_core::currency::Currency;
use wallex_core::id::{Version, WalletId};
use wallex_core::index::{Index, index};
use wallex_core::projector::partition_of;

use super::error::Stop;
use super::form::{count, int};
use super::rows::RowsStatement;

/// Most wallets whose number is kept in memory.
const NUMBERS_CACHED_MAX: usize = 262_144;

static INSERT: RowsStatement = RowsStatement::new(
    "INSERT OR ROLLBACK INTO wallet_numbers (wallet, wallet_id, currency, scale, partition) VALUES",
    5,
    "",
);

/// Known numbers of wallets.
pub(super) struct Numbers {
    known: Index<WalletId, i64>,
    last: Option<i64>,
}

impl Numbers {
    pub(super) fn new() -> Self {
        // A seed of this process: clients choose wallet ids, and must not be able to choose colliding ones.
        Self { known: index(RandomState::new().hash_one(0)), last: None }
    }

    /// Forgets everything: after a rollback or an unknown outcome.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.last = None;
    }

    /// The numbers of these wallets, in order; wallets that have none get one, in order of appearance.
    pub(super) async fn resolve<'w>(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: impl Iterator<Item = (&'w WalletId, Currency)> + Clone,
    ) -> Result<Vec<i64>, sqlx::Error> {
        self.make_room();
        let mut numbers = Vec::with_capacity(wallets.size_hint().0);
        let mut missing: Vec<(&WalletId, Currency)> = Vec::new();
        for (wallet, currency) in wallets.clone() {
            let number = self.known.get(wallet).copied();
            if number.is_none() {
                self.known.insert(wallet.clone(), UNNUMBERED);
                missing.push((wallet, currency));
            }
            numbers.push(number.unwrap_or(UNNUMBERED));
        }
        if missing.is_empty() {
            return Ok(numbers);
        }
        let ids: Vec<&WalletId> = missing.iter().map(|(wallet, _)| *wallet).collect();
        self.look_up(connection, &ids).await?;
        missing.retain(|(wallet, _)| self.known.get(*wallet) == Some(&UNNUMBERED));
        self.give(connection, &missing).await?;
        for (number, (wallet, _)) in numbers.iter_mut().zip(wallets) {
            if *number == UNNUMBERED {
                *number = self.known.get(wallet).copied().unwrap_or(UNNUMBERED);
            }
        }
        Ok(numbers)
    }

    fn make_room(&mut self) {
        if self.known.len() > NUMBERS_CACHED_MAX {
            self.known.clear();
        }
    }

    /// The numbers of these wallets, in order.
    ///
    /// # Errors
    /// [`Stop::Rejected`] names the first that has none.
    pub(super) async fn find<'w>(
        &mut self,
        connection: &mut SqliteConnection,
        wallets: impl Iterator<Item = &'w WalletId> + Clone,
    ) -> Result<Vec<i64>, Stop> {
        self.make_room();
        let missing: Vec<&WalletId> = wallets.clone().filter(|wallet| !self.known.contains_key(*wallet)).collect();
        if !missing.is_empty() {
            self.look_up(connection, &missing).await?;
        }
        let number = |wallet: &WalletId| {
            let known = self.known.get(wallet).copied();
            known.ok_or_else(|| Stop::Rejected(format!("wallet {wallet} has no events in the outbox")))
        };
        wallets.map(number).collect()
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
        let mut rows = Vec::with_capacity(wallets.len());
        for (wallet, currency) in wallets {
            last += 1;
            self.known.insert((*wallet).clone(), last);
            rows.push((last, *wallet, *currency));
        }
        self.last = Some(last);
        INSERT
            .execute(connection, &rows, |(number, wallet, currency), row| {
                row.int(*number);
                row.shared_text(Some(wallet.to_shared()));
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

/// The numbers of these wallets, nothing for those that have none.
pub(super) async fn numbers(
    connection: &mut SqliteConnection,
    wallets: &[WalletId],
) -> Result<Vec<Option<i64>>, sqlx::Error> {
    answers(
        connection,
        "SELECT j.key, n.wallet FROM json_each(?) j JOIN wallet_numbers n ON n.wallet_id = j.value",
        wallets,
    )
    .await
}

/// Runs a question that takes a JSON array of wallet ids and gives (index, version) for those it knows.
pub(super) async fn versions(
    connection: &mut SqliteConnection,
    question: &'static str,
    wallets: &[WalletId],
) -> Result<Vec<Version>, sqlx::Error> {
    let found = answers(connection, question, wallets).await?;
    Ok(found.into_iter().map(|version| Version(count(version.unwrap_or(0)))).collect())
}

async fn answers(
    connection: &mut SqliteConnection,
    question: &'static str,
    wallets: &[WalletId],
) -> Result<Vec<Option<i64>>, sqlx::Error> {
    let found: Vec<(i64, i64)> =
        sqlx::query_as(question).bind(json_array(wallets.iter())).fetch_all(connection).await?;
    let mut answers = vec![None; wallets.len()];
    for (index, answer) in found {
        if let Some(slot) = usize::try_from(index).ok().and_then(|index| answers.get_mut(index)) {
            *slot = Some(answer);
        }
    }
    Ok(answers)
}
