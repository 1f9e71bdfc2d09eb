//! Events that a consumer set aside: dead letters, and those that wait behind one (INV-11).
//!
//! Works inside the caller's transaction, so that what is set aside changes together with the checkpoint (INV-06). An
//! event is held once for each consumer; one that could not be read has no payload. What is held and released is the
//! core's decision.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use wallex_core::id::{EventId, Version, WalletId};
use wallex_core::projector::{Consumer, DeadLetter, HeldEvent};
use wallex_core::time::Timestamp;

use super::checkpoints::{partition, small};
use super::error::{DatabaseError, Stop};
use super::form::{self, count, int, uuid_bytes};

/// Sets events aside in one statement. One that is held already takes the newer reason, also within the list.
pub(super) async fn hold(connection: &mut PgConnection, events: &[HeldEvent], at: Timestamp) -> Result<(), Stop> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO held_events (consumer_name, event_id, wallet_id, event_version, partition, position,
             event_type, payload, reason, attempts, held_at)
         SELECT DISTINCT ON (consumer, event) consumer, encode(event, 'hex')::uuid, wallet, version, part, pos,
             kind, payload::json, reason, attempts, $11::text::timestamptz
         FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bigint[], $5::smallint[], $6::bigint[], $7::smallint[],
                     $8::text[], $9::text[], $10::bigint[]) WITH ORDINALITY
             AS row (consumer, event, wallet, version, part, pos, kind, payload, reason, attempts, place)
         ORDER BY consumer, event, place DESC
         ON CONFLICT (consumer_name, event_id) DO UPDATE SET wallet_id = excluded.wallet_id,
             event_version = excluded.event_version, partition = excluded.partition, position = excluded.position,
             event_type = excluded.event_type, payload = excluded.payload, reason = excluded.reason,
             attempts = excluded.attempts, held_at = excluded.held_at",
    )
    .bind(events.iter().map(|held| held.consumer.name()).collect::<Vec<_>>())
    .bind(events.iter().map(|held| held.event_id.as_bytes().as_slice()).collect::<Vec<_>>())
    .bind(events.iter().map(|held| held.wallet_id.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|held| int(held.version.0)).collect::<Vec<_>>())
    .bind(events.iter().map(|held| small(held.partition)).collect::<Vec<_>>())
    .bind(events.iter().map(|held| int(held.offset)).collect::<Vec<_>>())
    .bind(events.iter().map(|held| held.event.as_ref().map(|event| type_code(event.event_type()))).collect::<Vec<_>>())
    .bind(events.iter().map(|held| held.event.as_ref().map(form::payload_of)).collect::<Vec<_>>())
    .bind(events.iter().map(|held| held.dead.as_ref().map(reason_of)).collect::<Vec<_>>())
    .bind(events.iter().map(|held| held.dead.as_ref().map(|dead| i64::from(dead.attempts))).collect::<Vec<_>>())
    .bind(at.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Text of this server cannot hold the character NUL.
fn reason_of(dead: &DeadLetter) -> String {
    dead.reason.replace('\0', "\u{fffd}")
}

/// The code of an event's kind as the tables have it.
pub(super) fn type_code(kind: wallex_core::event::EventType) -> i16 {
    i16::try_from(form::event_type_code(kind)).unwrap_or(0)
}

/// Forgets events that are applied now.
pub(super) async fn release(
    connection: &mut PgConnection,
    consumer: Consumer,
    released: &[EventId],
) -> Result<(), Stop> {
    if released.is_empty() {
        return Ok(());
    }
    let ids: Vec<Vec<u8>> = released.iter().map(|id| id.as_bytes().to_vec()).collect();
    sqlx::query(
        "DELETE FROM held_events WHERE consumer_name = $1
         AND event_id = ANY (ARRAY(SELECT encode(id, 'hex')::uuid FROM unnest($2::bytea[]) AS released (id)))",
    )
    .bind(consumer.name())
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(())
}

/// Wallets of which a consumer holds events back.
pub(super) async fn wallets(connection: &mut PgConnection, consumer: Consumer) -> Result<Vec<WalletId>, Stop> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT wallet_id FROM held_events WHERE consumer_name = $1 ORDER BY wallet_id")
            .bind(consumer.name())
            .fetch_all(connection)
            .await?;
    Ok(ids.iter().map(|id| form::wallet_id(id)).collect::<Result<_, _>>()?)
}

/// Everything held back for a wallet, in version order.
pub(super) async fn load(
    connection: &mut PgConnection,
    consumer: Consumer,
    wallet: &WalletId,
) -> Result<Vec<HeldEvent>, Stop> {
    let rows = sqlx::query(
        "SELECT uuid_send(event_id), event_version, partition, position, event_type, payload::text, reason, attempts
         FROM held_events WHERE consumer_name = $1 AND wallet_id = $2 ORDER BY event_version",
    )
    .bind(consumer.name())
    .bind(wallet.as_str().to_owned())
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(|row| held_event(row, consumer, wallet)).collect::<Result<_, _>>()?)
}

fn held_event(row: &PgRow, consumer: Consumer, wallet: &WalletId) -> Result<HeldEvent, DatabaseError> {
    let id: Vec<u8> = row.try_get(0)?;
    let kind: Option<i16> = row.try_get(4)?;
    let payload: Option<String> = row.try_get(5)?;
    let event = match (kind, payload) {
        (Some(kind), Some(payload)) => Some(form::event_of(&id, form::event_type_of(i64::from(kind))?, &payload)?),
        (_, _) => None,
    };
    let reason: Option<String> = row.try_get(6)?;
    let attempts: Option<i64> = row.try_get(7)?;
    let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(0);
    Ok(HeldEvent {
        consumer,
        wallet_id: wallet.clone(),
        event_id: EventId::from_bytes(uuid_bytes(&id)?),
        version: Version(count(row.try_get(1)?)),
        partition: partition(row.try_get(2)?),
        offset: count(row.try_get(3)?),
        event,
        dead: reason.map(|reason| DeadLetter { reason, attempts }),
    })
}
