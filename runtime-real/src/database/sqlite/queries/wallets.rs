//! Wallets of the read model: one by id, many by filter.
//!
//! A list is in the order in which the wallets were created (the number that each got then), so a page never changes
//! behind a reader: new wallets come at the end.

use rust_decimal::Decimal;
use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use wallex_core::id::{Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use super::SqliteQueries;
use crate::database::error::DatabaseError;
use crate::database::form::{self, count, int};
use crate::database::queries::{Page, QueryError, WalletFilter, minor_bound, page};

macro_rules! wallet_columns {
    () => {
        "n.wallet, n.wallet_id, s.owner_id, n.currency, s.balance, s.version, s.created_us, s.updated_us"
    };
}

macro_rules! wallets_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            wallet_columns!(),
            " FROM wallet_states s CROSS JOIN wallet_numbers n ON n.wallet = s.wallet WHERE ",
            $condition,
            " AND s.wallet > ?2
             AND s.balance BETWEEN CASE n.scale WHEN 0 THEN ?3 WHEN 2 THEN ?4 WHEN 3 THEN ?5 ELSE ?6 END
                               AND CASE n.scale WHEN 0 THEN ?7 WHEN 2 THEN ?8 WHEN 3 THEN ?9 ELSE ?10 END
             ORDER BY s.wallet LIMIT ?11"
        )
    };
}

const ALL: &str = wallets_where!("?1 IS NULL");
const OF_OWNER: &str = wallets_where!("s.owner_id = ?1");

impl SqliteQueries {
    pub(in crate::database) async fn wallets(&self, filter: &WalletFilter) -> Result<Page<Wallet>, QueryError> {
        let question = filter.question();
        let after = filter.after.map_or(Ok(0), |cursor| cursor.key_for(question))?;
        let mut query = sqlx::query(if filter.owner_id.is_some() { OF_OWNER } else { ALL })
            .bind(filter.owner_id.as_ref().map(|owner| owner.as_str().to_owned()))
            .bind(int(after));
        for scale in [0, 2, 3, 4] {
            query = query.bind(filter.min_balance.map_or(i64::MIN, |bound| minor_bound(bound, scale, Decimal::ceil)));
        }
        for scale in [0, 2, 3, 4] {
            query = query.bind(filter.max_balance.map_or(i64::MAX, |bound| minor_bound(bound, scale, Decimal::floor)));
        }
        let rows = query.bind(int(filter.limit as u64 + 1)).fetch_all(&self.readers).await?;
        let wallets = rows.iter().map(|row| Ok((count(row.try_get(0)?), wallet_of(row)?)));
        Ok(page(wallets.collect::<Result<_, DatabaseError>>()?, filter.limit, question))
    }
}

pub(super) async fn one(readers: &SqlitePool, wallet: &WalletId) -> Result<Option<Wallet>, QueryError> {
    const ONE: &str = concat!(
        "SELECT ",
        wallet_columns!(),
        " FROM wallet_numbers n JOIN wallet_states s ON s.wallet = n.wallet WHERE n.wallet_id = ?"
    );
    let row = sqlx::query(ONE).bind(wallet.as_str().to_owned()).fetch_optional(readers).await?;
    Ok(row.as_ref().map(wallet_of).transpose()?)
}

fn wallet_of(row: &SqliteRow) -> Result<Wallet, DatabaseError> {
    let currency = form::currency(row.try_get(3)?)?;
    Ok(Wallet {
        id: form::wallet_id(row.try_get(1)?)?,
        owner_id: form::owner_id(row.try_get(2)?)?,
        currency,
        balance: Money::from_minor_units(row.try_get(4)?, currency),
        version: Version(count(row.try_get(5)?)),
        created_at: Timestamp::from_micros(row.try_get(6)?),
        updated_at: Timestamp::from_micros(row.try_get(7)?),
    })
}
