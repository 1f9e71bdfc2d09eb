//! The outbox: rows written by the feeder, read by the relay and by consumers that lag behind the broker's memory.
//!
//! That a row is published is not written into it: the relay's checkpoint and one row per batch in `outbox_published`
//! say so, which saves an update of every row. Rows leave after the retention time, when they are published and every
//! consumer has passed them (INV-06).

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use wallex_core::currency::Currency;
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{Position, WalletId};
use wallex_core::projector::{Consumer, partition_of};
use wallex_core::time::Timestamp;

use super::error::{DatabaseError, Stop};
use super::form::{count, int, minor_units};
use super::heads::Arrival;
use super::known::Known;
use super::outbox_row::{self, OutboxRow, columns};
use super::rows::RowsStatement;

static INSERT: RowsStatement = RowsStatement::new(
    "INSERT OR ROLLBACK INTO outbox_events (position, wallet, event_version, event_type, event_id, created_us, amount,
     balance, counterparty, command_id, transfer_id, correlation_id, description, owner_id, trace_parent) VALUES",
    15,
    "",
);

static PARTITIONS: RowsStatement = RowsStatement::new(
    "INSERT INTO outbox_partitions (partition, last_position) VALUES",
    2,
    "ON CONFLICT (partition) DO UPDATE SET last_position = max(last_position, excluded.last_position)",
);

/// Inserts rows; a row whose position or whose (wallet, version) is there already is refused.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    known: &mut Known,
    events: &[Recorded],
) -> Result<(), Stop> {
    let numbers =
        known.numbers.resolve(connection, events.iter().flat_map(|recorded| parties(&recorded.event))).await?;
    let mut numbers = numbers.into_iter();
    let mut rows = Vec::with_capacity(events.len());
    for Recorded { position, event } in events {
        // Each event has its own wallet's number, and its counterparty's after it.
        let Some(wallet) = numbers.next() else { break };
        let counterparty = event.transfer().and_then(|_| numbers.next());
        let amount = minor_units(event.amount, &event.wallet_id, event.version)?;
        let balance = minor_units(event.balance, &event.wallet_id, event.version)?;
        rows.push(OutboxRow { position: *position, event, wallet, counterparty, amount, balance });
    }
    let arrivals =
        rows.iter().map(|row| Arrival { wallet: row.wallet, id: &row.event.wallet_id, version: row.event.version });
    known.outbox.advance(connection, &arrivals.collect::<Vec<_>>()).await?;
    INSERT.execute(connection, &rows, OutboxRow::bind).await?;
    known.outbox.write_when_due(connection).await?;
    advance_partitions(connection, events).await
}

async fn advance_partitions(connection: &mut SqliteConnection, events: &[Recorded]) -> Result<(), Stop> {
    let mut last: BTreeMap<u16, Position> = BTreeMap::new();
    for Recorded { position, event } in events {
        last.insert(partition_of(&event.wallet_id), *position);
    }
    let last: Vec<(u16, Position)> = last.into_iter().collect();
    PARTITIONS
        .execute(connection, &last, |(partition, position), row| {
            row.int(i64::from(*partition));
            row.int(int(position.0));
        })
        .await?;
    Ok(())
}

/// The wallets that an event names; the other side of a transfer has the same currency.
fn parties(event: &Event) -> impl Iterator<Item = (&WalletId, Currency)> + Clone {
    let counterparty = event.transfer().map(|leg| &leg.counterparty);
    std::iter::once(&event.wallet_id).chain(counterparty).map(|wallet| (wallet, event.currency))
}

/// Records that everything after `first` up to `last` is published or held.
pub(super) async fn record_published(
    connection: &mut SqliteConnection,
    after: Position,
    last: Position,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    if last <= after {
        return Ok(());
    }
    // When a checkpoint was moved back, what is published again has one time only: the newer.
    sqlx::query("DELETE FROM outbox_published WHERE last_position > ? AND first_position > ?")
        .bind(int(after.0))
        .bind(int(after.0))
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE outbox_published SET last_position = ? WHERE last_position > ?")
        .bind(int(after.0))
        .bind(int(after.0))
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO outbox_published (last_position, first_position, published_at) VALUES (?, ?, ?)")
        .bind(int(last.0))
        .bind(int(after.0) + 1)
        .bind(at.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Rows after a position, in order.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, DatabaseError> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM outbox_events e JOIN wallet_numbers n ON n.wallet = e.wallet
         LEFT JOIN wallet_numbers c ON c.wallet = e.counterparty
         WHERE e.position > ? ORDER BY e.position LIMIT ?",
    ))
    .bind(int(after.0))
    .bind(int(limit as u64))
    .fetch_all(connection)
    .await?;
    rows.iter().map(outbox_row::recorded).collect()
}

/// Published rows of some partitions, in order, without those that the relay set aside. `wanted` sees partition and
/// position before a row is decoded; rows that it declines count for `limit` all the same. Gives the rows and the last
/// position seen, which is nothing when there is no more.
pub(super) async fn read_published(
    readers: &SqlitePool,
    after: Position,
    up_to: Position,
    limit: usize,
    wanted: impl Fn(u16, Position) -> bool,
) -> Result<(Vec<Recorded>, Option<Position>), DatabaseError> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        ", n.partition FROM outbox_events e JOIN wallet_numbers n ON n.wallet = e.wallet
         LEFT JOIN wallet_numbers c ON c.wallet = e.counterparty
         WHERE e.position > ? AND e.position <= ?
           AND NOT EXISTS (SELECT 1 FROM held_events h WHERE h.consumer_name = ? AND h.position = e.position)
         ORDER BY e.position LIMIT ?",
    ))
    .bind(int(after.0))
    .bind(int(up_to.0))
    .bind(Consumer::Relay.name())
    .bind(int(limit as u64))
    .fetch_all(readers)
    .await?;
    let mut found = Vec::new();
    for row in &rows {
        if wanted(row.try_get(outbox_row::COLUMNS)?, Position(count(row.try_get(0)?))) {
            found.push(outbox_row::recorded(row)?);
        }
    }
    let last = match rows.last() {
        Some(row) if rows.len() == limit => Some(Position(count(row.try_get(0)?))),
        Some(_) | None => None,
    };
    Ok((found, last))
}

/// How far the relay got, and the last position of each partition.
pub(super) async fn published_end(readers: &SqlitePool) -> Result<(Position, Vec<(u16, Position)>), DatabaseError> {
    let relay: i64 =
        sqlx::query_scalar("SELECT position FROM projector_checkpoints WHERE consumer_name = ? AND partition = 0")
            .bind(Consumer::Relay.name())
            .fetch_one(readers)
            .await?;
    let partitions: Vec<(u16, i64)> =
        sqlx::query_as("SELECT partition, last_position FROM outbox_partitions").fetch_all(readers).await?;
    let relay = Position(count(relay));
    // Rows after the relay's checkpoint are not published yet.
    let ends = partitions.into_iter().map(|(partition, last)| (partition, Position(count(last)).min(relay)));
    Ok((relay, ends.collect()))
}

/// Deletes up to `limit` rows that were published before a point in time and that every consumer has passed, and what
/// else is kept for them. Says how many rows went.
pub(super) async fn delete_published(
    connection: &mut SqliteConnection,
    before: Timestamp,
    limit: usize,
) -> Result<u64, Stop> {
    let up_to = deletable(connection, before, limit).await?;
    let deleted = sqlx::query(
        "DELETE FROM outbox_events WHERE position <= ?
         AND NOT EXISTS (SELECT 1 FROM held_events h WHERE h.consumer_name = ? AND h.position = outbox_events.position)",
    )
    .bind(up_to)
    .bind(Consumer::Relay.name())
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM outbox_published WHERE last_position <= ?").bind(up_to).execute(&mut *connection).await?;
    for consumer in [Consumer::ReadModel, Consumer::Ledger] {
        sqlx::query(
            "DELETE FROM projector_steps WHERE consumer_name = ? AND partition IN
             (SELECT partition FROM projector_checkpoints WHERE consumer_name = ?) AND last_position <= ?",
        )
        .bind(consumer.name())
        .bind(consumer.name())
        .bind(up_to)
        .execute(&mut *connection)
        .await?;
    }
    Ok(deleted.rows_affected())
}

/// The last position that may go.
async fn deletable(connection: &mut SqliteConnection, before: Timestamp, limit: usize) -> Result<i64, Stop> {
    // Batches are published in order of position, so the index on the time finds the last one that is old enough.
    let published: Option<i64> = sqlx::query_scalar(
        "SELECT last_position FROM outbox_published WHERE published_at < ? ORDER BY published_at DESC, last_position DESC
         LIMIT 1",
    )
    .bind(before.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    let limited: Option<i64> = sqlx::query_scalar(
        "SELECT max(position) FROM (SELECT position FROM outbox_events WHERE position <= ? ORDER BY position LIMIT ?)",
    )
    .bind(published.unwrap_or(0))
    .bind(int(limit as u64))
    .fetch_one(&mut *connection)
    .await?;
    // A partition without new events stays at its old offset and needs nothing.
    let needed_after: Option<i64> = sqlx::query_scalar(
        "SELECT min(c.position) FROM projector_checkpoints c JOIN outbox_partitions o ON o.partition = c.partition
         WHERE c.consumer_name IN (?, ?) AND c.position < o.last_position",
    )
    .bind(Consumer::ReadModel.name())
    .bind(Consumer::Ledger.name())
    .fetch_one(connection)
    .await?;
    let up_to = limited.unwrap_or(0);
    Ok(needed_after.map_or(up_to, |after| up_to.min(after)))
}
