//! Progress of the feeder, the relay and the projectors.
//!
//! A checkpoint moves by compare-and-set inside the transaction of the rows it stands for, so of two writers only one
//! wins, and a replay finds the checkpoint elsewhere and changes nothing (INV-06, INV-08).

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use wallex_core::id::Position;
use wallex_core::projector::{Consumer, PartitionProgress};
use wallex_core::time::Timestamp;

use super::error::Stop;
use super::form::{count, int, wallet_id};
use super::rows::RowsStatement;

static ADVANCE: RowsStatement = RowsStatement::new(
    "UPDATE projector_checkpoints SET position = v.column4, updated_at = v.column5 FROM (VALUES",
    5,
    ") AS v WHERE consumer_name = v.column1 AND partition = v.column2 AND position = v.column3",
);

static STEPS: RowsStatement = RowsStatement::new(
    "INSERT OR REPLACE INTO projector_steps (consumer_name, partition, last_position, processed_at) VALUES",
    4,
    "",
);

/// Moves a checkpoint from where it must be.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    consumer: &'static str,
    partition: u16,
    expected: u64,
    next: u64,
    at: Timestamp,
) -> Result<(), Stop> {
    let moved = sqlx::query(
        "UPDATE projector_checkpoints SET position = ?, updated_at = ?
         WHERE consumer_name = ? AND partition = ? AND position = ?",
    )
    .bind(int(next))
    .bind(at.to_string())
    .bind(consumer)
    .bind(partition)
    .bind(int(expected))
    .execute(connection)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(Stop::Conflict) }
}

pub(super) async fn read(connection: &mut SqliteConnection, consumer: &'static str) -> Result<Position, Stop> {
    let position: Option<i64> =
        sqlx::query_scalar("SELECT position FROM projector_checkpoints WHERE consumer_name = ? AND partition = 0")
            .bind(consumer)
            .fetch_optional(connection)
            .await?;
    Ok(Position(count(position.unwrap_or(0))))
}

/// Moves a projector's checkpoints (partition, from, to) from where they must be, and records when it passed their
/// offsets, for the column `processed_at`.
pub(super) async fn advance_all(
    connection: &mut SqliteConnection,
    consumer: Consumer,
    checkpoints: &[(u16, u64, u64)],
    at: Timestamp,
) -> Result<(), Stop> {
    let (name, at): (Arc<str>, Arc<str>) = (consumer.name().into(), at.to_string().into());
    let moved = ADVANCE.execute(connection, checkpoints, |(partition, expected, next), row| {
        row.shared_text(Some(Arc::clone(&name)));
        row.int(i64::from(*partition));
        row.int(int(*expected));
        row.int(int(*next));
        row.shared_text(Some(Arc::clone(&at)));
    });
    match moved.await {
        Ok(()) => {}
        Err(stopped) => return Err(stopped.error.map_or(Stop::Conflict, Stop::Sql)),
    }
    STEPS
        .execute(connection, checkpoints, |(partition, _, next), row| {
            row.shared_text(Some(Arc::clone(&name)));
            row.int(i64::from(*partition));
            row.int(int(*next));
            row.shared_text(Some(Arc::clone(&at)));
        })
        .await?;
    Ok(())
}

pub(super) async fn progress(
    connection: &mut SqliteConnection,
    consumer: Consumer,
    partitions: &[u16],
) -> Result<Vec<PartitionProgress>, Stop> {
    let mut all = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let offset: Option<i64> =
            sqlx::query_scalar("SELECT position FROM projector_checkpoints WHERE consumer_name = ? AND partition = ?")
                .bind(consumer.name())
                .bind(*partition)
                .fetch_optional(&mut *connection)
                .await?;
        let held: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT wallet_id FROM held_events WHERE consumer_name = ? AND partition = ? ORDER BY wallet_id",
        )
        .bind(consumer.name())
        .bind(*partition)
        .fetch_all(&mut *connection)
        .await?;
        let held_wallets = held.iter().map(|text| wallet_id(text)).collect::<Result<_, _>>()?;
        all.push(PartitionProgress { partition: *partition, offset: count(offset.unwrap_or(0)), held_wallets });
    }
    Ok(all)
}
