//! What leaves the outbox: rows that were published long ago and that every consumer has passed.
//!
//! A projector has passed an event when its row of the wallet has reached the version, or when it set events of the wallet
//! aside: those carry their event themselves (INV-06, INV-11). Its offsets say nothing here, they are the broker's.

use sqlx::postgres::PgConnection;
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

use super::error::Stop;
use super::form::int;

/// Deletes up to `limit` rows, oldest first, up to the first that somebody needs. Says how many went.
pub(super) async fn delete(connection: &mut PgConnection, before: Timestamp, limit: usize) -> Result<u64, Stop> {
    // Batches are published in order of position, so the index on the time finds the last one that is old enough.
    let published: Option<i64> = sqlx::query_scalar(
        "SELECT last_position FROM outbox_published WHERE published_at < $1::text::timestamptz
         ORDER BY published_at DESC, last_position DESC LIMIT 1",
    )
    .bind(before.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(published) = published else { return Ok(0) };
    let deleted = sqlx::query(
        "WITH old AS MATERIALIZED (
             SELECT e.position, e.wallet_id, e.event_version FROM outbox_events e
             WHERE e.position <= $1 AND NOT EXISTS (
                 SELECT 1 FROM held_events h WHERE h.consumer_name = $2 AND h.position = e.position)
             ORDER BY e.position LIMIT $3),
         needed AS MATERIALIZED (
             SELECT min(o.position) AS position FROM old o
             WHERE (NOT EXISTS (SELECT 1 FROM wallet_states s
                                WHERE s.wallet_id = o.wallet_id AND s.version >= o.event_version)
                    AND NOT EXISTS (SELECT 1 FROM held_events h WHERE h.consumer_name = $4 AND h.wallet_id = o.wallet_id))
                OR (NOT EXISTS (SELECT 1 FROM ledger_rows l
                                WHERE l.wallet_id = o.wallet_id AND l.version = o.event_version)
                    AND NOT EXISTS (SELECT 1 FROM held_events h WHERE h.consumer_name = $5 AND h.wallet_id = o.wallet_id)))
         DELETE FROM outbox_events e USING old o
         WHERE e.position = o.position AND o.position < coalesce((SELECT position FROM needed), $1 + 1)",
    )
    .bind(published)
    .bind(Consumer::Relay.name())
    .bind(int(limit as u64))
    .bind(Consumer::ReadModel.name())
    .bind(Consumer::Ledger.name())
    .execute(&mut *connection)
    .await?;
    // The times of batches of which nothing is left.
    sqlx::query(
        "DELETE FROM outbox_published WHERE last_position <= $1
         AND last_position < coalesce((SELECT min(position) FROM outbox_events), $1 + 1)",
    )
    .bind(published)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
