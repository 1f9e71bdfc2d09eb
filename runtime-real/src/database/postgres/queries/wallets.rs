//! Wallets of the read model: one by id, many by filter.
//!
//! A list is in the order in which the wallets came into the read model, so new wallets come at its end.

use rust_decimal::Decimal;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use wallex_core::id::{OwnerId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use super::PostgresQueries;
use crate::database::error::DatabaseError;
use crate::database::form::{self, count, int};
use crate::database::postgres::transaction::read;
use crate::database::queries::{Page, QueryError, WalletFilter, minor_bound, page};

macro_rules! wallets_where {
    ($condition:literal) => {
        concat!(
            "SELECT number, wallet_id, owner_id, currency, balance, version, created_us, updated_us
             FROM wallet_states WHERE ",
            $condition
        )
    };
}

const ONE: &str = wallets_where!("wallet_id = $1");
const LIST: &str = wallets_where!(
    "($1::text IS NULL OR owner_id = $1) AND number > $2
     AND balance BETWEEN CASE scale WHEN 0 THEN $3 WHEN 2 THEN $4 WHEN 3 THEN $5 ELSE $6 END
                     AND CASE scale WHEN 0 THEN $7 WHEN 2 THEN $8 WHEN 3 THEN $9 ELSE $10 END
     ORDER BY number LIMIT $11"
);
const OF_OWNER: &str = wallets_where!(
    "owner_id = $1 AND number > $2
     AND balance BETWEEN CASE scale WHEN 0 THEN $3 WHEN 2 THEN $4 WHEN 3 THEN $5 ELSE $6 END
                     AND CASE scale WHEN 0 THEN $7 WHEN 2 THEN $8 WHEN 3 THEN $9 ELSE $10 END
     ORDER BY number LIMIT $11"
);

impl PostgresQueries {
    pub(in crate::database) async fn wallet(&self, wallet: &WalletId) -> Result<Option<Wallet>, QueryError> {
        let question = async |connection: &mut PgConnection| {
            Ok::<_, QueryError>(sqlx::query(ONE).bind(wallet.as_str()).fetch_optional(connection).await?)
        };
        let row = read(&self.pool, question).await?;
        Ok(row.as_ref().map(wallet_of).transpose()?)
    }

    pub(in crate::database) async fn wallets(&self, filter: &WalletFilter) -> Result<Page<Wallet>, QueryError> {
        let question = filter.question();
        let after = filter.after.map_or(Ok(0), |cursor| cursor.key_for(question))?;
        let mut query = sqlx::query(if filter.owner_id.is_some() { OF_OWNER } else { LIST })
            .bind(filter.owner_id.as_ref().map(OwnerId::as_str))
            .bind(int(after));
        for scale in [0, 2, 3, 4] {
            query = query.bind(filter.min_balance.map_or(i64::MIN, |bound| minor_bound(bound, scale, Decimal::ceil)));
        }
        for scale in [0, 2, 3, 4] {
            query = query.bind(filter.max_balance.map_or(i64::MAX, |bound| minor_bound(bound, scale, Decimal::floor)));
        }
        let query = query.bind(int(filter.limit as u64 + 1));
        let run = async |connection: &mut PgConnection| Ok::<_, QueryError>(query.fetch_all(connection).await?);
        let rows = read(&self.pool, run).await?;
        let wallets = rows.iter().map(|row| Ok((count(row.try_get(0)?), wallet_of(row)?)));
        Ok(page(wallets.collect::<Result<_, DatabaseError>>()?, filter.limit, question))
    }
}

fn wallet_of(row: &PgRow) -> Result<Wallet, DatabaseError> {
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
