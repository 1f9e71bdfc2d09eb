//! The outbox: rows written by the feeder and read by the relay.
//!
//! That a row is published is not written into it: the relay's checkpoint and one row per batch in `outbox_published`
//! say so, which saves a new version of every row.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use wallex_core::event::Recorded;
use wallex_core::id::Position;
use wallex_core::projector::partition_of;
use wallex_core::time::Timestamp;

use super::checkpoints::small;
use super::error::{DatabaseError, Stop};
use super::form::{self, count, int};
use super::held::type_code;

/// Inserts rows; a row whose position or whose (wallet, version) is there already is refused.
pub(super) async fn insert(connection: &mut PgConnection, events: &[Recorded]) -> Result<(), Stop> {
    if events.is_empty() {
        return Ok(());
    }
    let partitions: Vec<i16> = events.iter().map(|row| small(partition_of(&row.event.wallet_id))).collect();
    sqlx::query(
        "INSERT INTO outbox_events (position, wallet_id, event_version, event_type, event_id, partition, created_us, payload)
         SELECT position, wallet, version, kind, encode(id, 'hex')::uuid, part, created, payload::json
         FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::smallint[], $5::bytea[], $6::smallint[], $7::bigint[],
                     $8::text[]) AS row (position, wallet, version, kind, id, part, created, payload)",
    )
    .bind(events.iter().map(|row| int(row.position.0)).collect::<Vec<_>>())
    .bind(events.iter().map(|row| row.event.wallet_id.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|row| int(row.event.version.0)).collect::<Vec<_>>())
    .bind(events.iter().map(|row| type_code(row.event.event_type())).collect::<Vec<_>>())
    .bind(events.iter().map(|row| row.event.event_id.as_bytes().as_slice()).collect::<Vec<_>>())
    .bind(&partitions)
    .bind(events.iter().map(|row| row.event.occurred_at.as_micros()).collect::<Vec<_>>())
    .bind(events.iter().map(|row| form::payload_of(&row.event)).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    count_events(connection, &partitions).await
}

/// The feeder's checkpoint is locked, so nobody else counts meanwhile.
async fn count_events(connection: &mut PgConnection, partitions: &[i16]) -> Result<(), Stop> {
    let mut events: BTreeMap<i16, i64> = BTreeMap::new();
    for partition in partitions {
        *events.entry(*partition).or_default() += 1;
    }
    sqlx::query(
        "UPDATE outbox_partitions o SET events = o.events + new.events
         FROM unnest($1::smallint[], $2::bigint[]) AS new (partition, events) WHERE o.partition = new.partition",
    )
    .bind(events.keys().copied().collect::<Vec<_>>())
    .bind(events.values().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that everything after `after` up to `last` is published or held.
pub(super) async fn record_published(
    connection: &mut PgConnection,
    after: Position,
    last: Position,
    at: Timestamp,
) -> Result<(), Stop> {
    if last <= after {
        return Ok(());
    }
    // When a checkpoint was moved back, what is published again has one time only: the newer.
    sqlx::query("DELETE FROM outbox_published WHERE last_position > $1 AND first_position > $1")
        .bind(int(after.0))
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE outbox_published SET last_position = $1 WHERE last_position > $1")
        .bind(int(after.0))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO outbox_published (last_position, first_position, published_at)
         VALUES ($1, $2, $3::text::timestamptz)",
    )
    .bind(int(last.0))
    .bind(int(after.0) + 1)
    .bind(at.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Rows after a position, in order.
pub(super) async fn read(connection: &mut PgConnection, after: Position, limit: usize) -> Result<Vec<Recorded>, Stop> {
    let rows = sqlx::query(
        "SELECT position, event_type, uuid_send(event_id), payload::text FROM outbox_events WHERE position > $1
         ORDER BY position LIMIT $2",
    )
    .bind(int(after.0))
    .bind(int(limit as u64))
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(recorded).collect::<Result<_, _>>()?)
}

fn recorded(row: &PgRow) -> Result<Recorded, DatabaseError> {
    let position = Position(count(row.try_get(0)?));
    let kind = form::event_type_of(i64::from(row.try_get::<i16, _>(1)?))?;
    let id: &[u8] = row.try_get(2)?;
    let payload: &str = row.try_get(3)?;
    let event = form::event_of(id, kind, payload).map_err(|error| form::at_position(position, &error))?;
    Ok(Recorded { position, event })
}
