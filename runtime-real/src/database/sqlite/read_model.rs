//! Rows of `wallets_read_model`: inserted once, then moved from version to version.
//!
//! An update names the version that the row must have (INV-07, INV-08). A row that is elsewhere refuses the whole
//! transaction, by name.

use sqlx::sqlite::SqliteConnection;
use wallex_core::id::{Version, WalletId};
use wallex_core::projector::WalletChange;
use wallex_core::wallet::Wallet;

use super::error::{Stop, is_constraint};
use super::form::{int, minor_units};
use super::numbers::Numbers;
use super::rows::RowsStatement;

static INSERT: RowsStatement = RowsStatement::new(
    "INSERT OR ROLLBACK INTO wallet_states (wallet, version, balance, updated_us, created_us, owner_id) VALUES",
    6,
    "",
);

/// Updates many rows: an UPDATE that joins its VALUES would first copy them into a table of its own. The version that a
/// row must have is where its creation time stands. A row that is missing is inserted without an owner, which no wallet
/// is, and found by that.
static UPDATE: RowsStatement = RowsStatement::new(
    "INSERT INTO wallet_states (wallet, version, balance, updated_us, created_us) VALUES",
    5,
    "ON CONFLICT (wallet) DO UPDATE SET version = excluded.version, balance = excluded.balance,
     updated_us = excluded.updated_us WHERE version = excluded.created_us",
);

/// A row that moves on.
struct Update<'c> {
    wallet_id: &'c WalletId,
    wallet: i64,
    expected: i64,
    version: i64,
    balance: i64,
    updated_us: i64,
}

/// Applies changes, at most one for each wallet.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    numbers: &mut Numbers,
    changes: &[WalletChange],
) -> Result<(), Stop> {
    let inserts: Vec<&Wallet> = changes.iter().filter_map(inserted).collect();
    let of_inserts = numbers.resolve(connection, inserts.iter().map(|wallet| (&wallet.id, wallet.currency))).await?;
    let of_updates = numbers.find(connection, changes.iter().filter_map(updated)).await?;
    insert(connection, of_inserts, &inserts).await?;
    let mut updates = Vec::with_capacity(of_updates.len());
    let mut of_updates = of_updates.into_iter();
    for change in changes {
        if let WalletChange::Update { wallet_id, expected, version, balance, updated_at } = change {
            let Some(wallet) = of_updates.next() else { break };
            updates.push(Update {
                wallet_id,
                wallet,
                expected: int(expected.0),
                version: int(version.0),
                balance: minor_units(*balance, wallet_id, *version)?,
                updated_us: updated_at.as_micros(),
            });
        }
    }
    update(connection, &mut updates).await
}

fn inserted(change: &WalletChange) -> Option<&Wallet> {
    match change {
        WalletChange::Insert(wallet) => Some(wallet),
        WalletChange::Update { .. } => None,
    }
}

fn updated(change: &WalletChange) -> Option<&WalletId> {
    match change {
        WalletChange::Insert(_) => None,
        WalletChange::Update { wallet_id, .. } => Some(wallet_id),
    }
}

async fn insert(connection: &mut SqliteConnection, numbers: Vec<i64>, wallets: &[&Wallet]) -> Result<(), Stop> {
    let mut rows = Vec::with_capacity(wallets.len());
    for (number, wallet) in numbers.into_iter().zip(wallets) {
        rows.push((number, *wallet, minor_units(wallet.balance, &wallet.id, wallet.version)?));
    }
    let result = INSERT
        .execute(connection, &rows, |(number, wallet, balance), row| {
            row.int(*number);
            row.int(int(wallet.version.0));
            row.int(*balance);
            row.int(wallet.updated_at.as_micros());
            row.int(wallet.created_at.as_micros());
            row.shared_text(Some(wallet.owner_id.to_shared()));
        })
        .await;
    let Err(stopped) = result else { return Ok(()) };
    let chunk = stopped.chunk;
    let error = sqlx::Error::from(stopped);
    if is_constraint(&error) {
        // The transaction is rolled back, so what is found was there before.
        for (number, Wallet { id, .. }, _) in chunk {
            if let Some(version) = version_of(connection, *number).await? {
                return Err(Stop::Rejected(format!("wallet {id} is in the read model already, at version {version}")));
            }
        }
    }
    Err(Stop::Sql(error))
}

async fn update(connection: &mut SqliteConnection, updates: &mut [Update<'_>]) -> Result<(), Stop> {
    // In the order of the table, so that each of its pages is visited once.
    updates.sort_unstable_by_key(|update| update.wallet);
    let result = UPDATE
        .execute(connection, updates, |update, row| {
            row.int(update.wallet);
            row.int(update.version);
            row.int(update.balance);
            row.int(update.updated_us);
            row.int(update.expected);
        })
        .await;
    let Err(stopped) = result else { return refuse_missing(connection, updates).await };
    if let Some(error) = stopped.error {
        return Err(Stop::Sql(error));
    }
    for Update { wallet_id, wallet, expected, version, .. } in stopped.chunk {
        let found = version_of(connection, *wallet).await?;
        if found != Some(*version) {
            let found = found.map_or_else(|| "missing".to_owned(), |version| format!("at version {version}"));
            return Err(Stop::Rejected(format!("wallet {wallet_id} is {found} in the read model, not at {expected}")));
        }
    }
    Err(Stop::Rejected("a wallet of the read model is changed twice in one transaction".to_owned()))
}

/// Refuses updates of rows that were not there.
async fn refuse_missing(connection: &mut SqliteConnection, updates: &[Update<'_>]) -> Result<(), Stop> {
    if updates.is_empty() {
        return Ok(());
    }
    let missing: Option<i64> = sqlx::query_scalar("SELECT wallet FROM wallet_states WHERE owner_id = '' LIMIT 1")
        .fetch_optional(connection)
        .await?;
    let Some(missing) = missing else { return Ok(()) };
    let update = updates.iter().find(|update| update.wallet == missing);
    let (name, expected) = update.map_or(("?", 0), |update| (update.wallet_id.as_str(), update.expected));
    Err(Stop::Rejected(format!("wallet {name} is missing in the read model, not at {expected}")))
}

async fn version_of(connection: &mut SqliteConnection, wallet: i64) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT version FROM wallet_states WHERE wallet = ?")
        .bind(wallet)
        .fetch_optional(connection)
        .await
}

/// The versions of wallets, 0 for those that the read model does not have.
pub(super) async fn versions(
    connection: &mut SqliteConnection,
    wallets: &[WalletId],
) -> Result<Vec<Version>, sqlx::Error> {
    super::numbers::versions(
        connection,
        "SELECT j.key, s.version FROM json_each(?) j JOIN wallet_numbers n ON n.wallet_id = j.value
         JOIN wallet_states s ON s.wallet = n.wallet",
        wallets,
    )
    .await
}
