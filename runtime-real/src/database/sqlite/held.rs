//! Events that a consumer set aside: dead letters, and those that wait behind one (INV-11).
//!
//! Works inside the writer's transaction, so that what is set aside changes together with the checkpoint (INV-06). An
//! event is held once for each consumer; one that could not be read has no payload. What is held and released is the
//! core's decision.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use wallex_core::id::{EventId, Version, WalletId};
use wallex_core::projector::{Consumer, DeadLetter, HeldEvent};
use wallex_core::time::Timestamp;

use super::error::{DatabaseError, Stop};
use super::form::{self, count, int, uuid_bytes};

/// Sets events aside. One that is held already takes the newer reason.
pub(super) async fn hold(
    connection: &mut SqliteConnection,
    events: &[HeldEvent],
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    for held in events {
        let (reason, attempts) = match &held.dead {
            Some(dead) => (Some(dead.reason.clone()), Some(i64::from(dead.attempts))),
            None => (None, None),
        };
        sqlx::query(
            "INSERT OR REPLACE INTO held_events (consumer_name, event_id, wallet_id, event_version, partition, position,
             event_type, payload, reason, attempts, held_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(held.consumer.name())
        .bind(held.event_id.as_bytes().to_vec())
        .bind(held.wallet_id.as_str().to_owned())
        .bind(int(held.version.0))
        .bind(held.partition)
        .bind(int(held.offset))
        .bind(held.event.as_ref().map(|event| form::event_type_code(event.event_type())))
        .bind(held.event.as_ref().map(form::payload_of))
        .bind(reason)
        .bind(attempts)
        .bind(at.to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Forgets events that are applied now.
pub(super) async fn release(
    connection: &mut SqliteConnection,
    consumer: Consumer,
    released: &[EventId],
) -> Result<(), sqlx::Error> {
    for event_id in released {
        sqlx::query("DELETE FROM held_events WHERE consumer_name = ? AND event_id = ?")
            .bind(consumer.name())
            .bind(event_id.as_bytes().to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Wallets of which a consumer holds events back.
pub(super) async fn wallets(connection: &mut SqliteConnection, consumer: Consumer) -> Result<Vec<WalletId>, Stop> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT wallet_id FROM held_events WHERE consumer_name = ? ORDER BY wallet_id")
            .bind(consumer.name())
            .fetch_all(connection)
            .await?;
    Ok(ids.iter().map(|id| form::wallet_id(id)).collect::<Result<_, _>>()?)
}

/// Everything held back for a wallet, in version order.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    consumer: Consumer,
    wallet: &WalletId,
) -> Result<Vec<HeldEvent>, Stop> {
    let rows = sqlx::query(
        "SELECT event_id, event_version, partition, position, event_type, payload, reason, attempts
         FROM held_events WHERE consumer_name = ? AND wallet_id = ? ORDER BY event_version",
    )
    .bind(consumer.name())
    .bind(wallet.as_str().to_owned())
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(|row| held_event(row, consumer, wallet)).collect::<Result<_, _>>()?)
}

fn held_event(row: &SqliteRow, consumer: Consumer, wallet: &WalletId) -> Result<HeldEvent, DatabaseError> {
    let id: Vec<u8> = row.try_get(0)?;
    let kind: Option<i64> = row.try_get(4)?;
    let payload: Option<String> = row.try_get(5)?;
    let event = match (kind, payload) {
        (Some(kind), Some(payload)) => Some(form::event_of(&id, form::event_type_of(kind)?, &payload)?),
        (_, _) => None,
    };
    let reason: Option<String> = row.try_get(6)?;
    let attempts: Option<u32> = row.try_get(7)?;
    Ok(HeldEvent {
        consumer,
        wallet_id: wallet.clone(),
        event_id: EventId::from_bytes(uuid_bytes(&id)?),
        version: Version(count(row.try_get(1)?)),
        partition: row.try_get(2)?,
        offset: count(row.try_get(3)?),
        event,
        dead: reason.map(|reason| DeadLetter { reason, attempts: attempts.unwrap_or(0) }),
    })
}
