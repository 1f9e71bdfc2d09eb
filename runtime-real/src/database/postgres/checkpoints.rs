//! Progress of the feeder, the relay and the projectors.
//!
//! A checkpoint moves by compare-and-set inside the transaction of the rows it stands for, and before them: its row is
//! the lock that makes instances wait for each other, so of two writers only one wins (INV-06, INV-08).

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use wallex_core::id::Position;
use wallex_core::projector::{Consumer, PartitionProgress};
use wallex_core::time::Timestamp;

use super::error::Stop;
use super::form::{count, int, wallet_id};

/// A partition as the tables have it.
pub(super) fn small(partition: u16) -> i16 {
    i16::try_from(partition).unwrap_or(i16::MAX)
}

/// A partition as the tables have it.
pub(super) fn partition(stored: i16) -> u16 {
    u16::try_from(stored).unwrap_or(0)
}

/// Moves the checkpoint of a consumer without partitions from where it must be.
pub(super) async fn advance(
    connection: &mut PgConnection,
    consumer: &'static str,
    expected: Position,
    next: Position,
    at: Timestamp,
) -> Result<(), Stop> {
    let moved = sqlx::query(
        "UPDATE projector_checkpoints SET position = $1, updated_at = $2::text::timestamptz
         WHERE consumer_name = $3 AND partition = 0 AND position = $4",
    )
    .bind(int(next.0))
    .bind(at.to_string())
    .bind(consumer)
    .bind(int(expected.0))
    .execute(connection)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(Stop::Conflict) }
}

/// Moves the checkpoints of a projector from where they must be, and counts the events that it applies. Partitions of
/// which nothing moves are locked all the same, so that rows of a wallet have one writer at a time.
pub(super) async fn advance_partitions(
    connection: &mut PgConnection,
    consumer: Consumer,
    checkpoints: &[(u16, u64, u64)],
    applied: BTreeMap<u16, i64>,
    at: Timestamp,
) -> Result<(), Stop> {
    let mut moves: BTreeMap<u16, (Option<i64>, Option<i64>, i64)> =
        applied.into_iter().map(|(partition, events)| (partition, (None, None, events))).collect();
    for (partition, expected, next) in checkpoints {
        let one = moves.entry(*partition).or_default();
        (one.0, one.1) = (Some(int(*expected)), Some(int(*next)));
    }
    if moves.is_empty() {
        return Ok(());
    }
    let partitions: Vec<i16> = moves.keys().map(|partition| small(*partition)).collect();
    let moved = sqlx::query(
        "WITH locked AS MATERIALIZED (
             SELECT partition FROM projector_checkpoints WHERE consumer_name = $1 AND partition = ANY($2::smallint[])
             ORDER BY partition FOR UPDATE)
         UPDATE projector_checkpoints c
         SET position = coalesce(m.next, c.position), applied = c.applied + m.applied, updated_at = $6::text::timestamptz
         FROM unnest($2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS m (partition, expected, next, applied)
         JOIN locked l ON l.partition = m.partition
         WHERE c.consumer_name = $1 AND c.partition = m.partition AND c.position = coalesce(m.expected, c.position)",
    )
    .bind(consumer.name())
    .bind(partitions)
    .bind(moves.values().map(|one| one.0).collect::<Vec<_>>())
    .bind(moves.values().map(|one| one.1).collect::<Vec<_>>())
    .bind(moves.values().map(|one| one.2).collect::<Vec<_>>())
    .bind(at.to_string())
    .execute(connection)
    .await?;
    if moved.rows_affected() == moves.len() as u64 { Ok(()) } else { Err(Stop::Conflict) }
}

pub(super) async fn read(connection: &mut PgConnection, consumer: &'static str) -> Result<Position, Stop> {
    let position: Option<i64> =
        sqlx::query_scalar("SELECT position FROM projector_checkpoints WHERE consumer_name = $1 AND partition = 0")
            .bind(consumer)
            .fetch_optional(connection)
            .await?;
    Ok(Position(count(position.unwrap_or(0))))
}

pub(super) async fn progress(
    connection: &mut PgConnection,
    consumer: Consumer,
    partitions: &[u16],
) -> Result<Vec<PartitionProgress>, Stop> {
    let asked: Vec<i16> = partitions.iter().map(|partition| small(*partition)).collect();
    let rows: Vec<(i16, i64, Vec<String>)> = sqlx::query_as(
        "SELECT c.partition, c.position, array(
             SELECT DISTINCT h.wallet_id FROM held_events h
             WHERE h.consumer_name = $1 AND h.partition = c.partition ORDER BY h.wallet_id)
         FROM projector_checkpoints c WHERE c.consumer_name = $1 AND c.partition = ANY($2)",
    )
    .bind(consumer.name())
    .bind(asked)
    .fetch_all(connection)
    .await?;
    let mut found: BTreeMap<u16, PartitionProgress> = BTreeMap::new();
    for (stored, position, held) in rows {
        let held_wallets = held.iter().map(|text| wallet_id(text)).collect::<Result<_, _>>()?;
        let partition = partition(stored);
        found.insert(partition, PartitionProgress { partition, offset: count(position), held_wallets });
    }
    let missing = |partition| PartitionProgress { partition, offset: 0, held_wallets: Vec::new() };
    Ok(partitions.iter().map(|one| found.remove(one).unwrap_or_else(|| missing(*one))).collect())
}
