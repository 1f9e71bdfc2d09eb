//! How far the pipeline is: the outbox's lag, each consumer's place, and what was set aside.
//!
//! A projector's lag is what its partitions ever got less what it applied and what it holds: three counters for each
//! partition, however long the outbox is. The age of its oldest event is looked for among the newest rows only.

use sqlx::postgres::PgConnection;
use wallex_core::id::Position;
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

use super::PostgresQueries;
use crate::database::FEEDER;
use crate::database::form::{count, int};
use crate::database::postgres::checkpoints::partition;
use crate::database::postgres::transaction::read;
use crate::database::queries::{ConsumerStatistics, QueryError, Statistics};

/// How many of the newest rows of the outbox are looked at for the oldest event that a projector has not passed.
const OLDEST_SOUGHT_MAX: i64 = 20_000;
/// How many are looked at first, beside those that are behind.
const OLDEST_SOUGHT_NEAR: i64 = 256;

impl PostgresQueries {
    pub(in crate::database) async fn statistics(&self) -> Result<Statistics, QueryError> {
        read(&self.pool, statistics).await
    }
}

async fn statistics(connection: &mut PgConnection) -> Result<Statistics, QueryError> {
    let mut consumers = Vec::new();
    for consumer in [Consumer::Relay, Consumer::ReadModel, Consumer::Ledger] {
        consumers.push(of_consumer(connection, consumer).await?);
    }
    let relay = consumers.iter().find(|one| one.consumer == Consumer::Relay);
    let held = relay.map_or(0, |relay| relay.dead_letters + relay.waiting);
    Ok(Statistics {
        outbox_filled: Position(checkpoints(connection, FEEDER).await?.first().map_or(0, |(_, position)| *position)),
        outbox_lag_events: relay.map_or(0, |relay| relay.lag_events) + held,
        outbox_oldest: relay.and_then(|relay| relay.oldest),
        dead_letters: consumers.iter().map(|one| one.dead_letters).sum(),
        consumers,
    })
}

async fn of_consumer(connection: &mut PgConnection, consumer: Consumer) -> Result<ConsumerStatistics, QueryError> {
    let checkpoints = checkpoints(connection, consumer.name()).await?;
    let (dead, held): (i64, i64) =
        sqlx::query_as("SELECT count(reason), count(*) FROM held_events WHERE consumer_name = $1")
            .bind(consumer.name())
            .fetch_one(&mut *connection)
            .await?;
    let (lag_events, oldest) = match consumer {
        Consumer::Relay => relay_lag(connection, &checkpoints).await?,
        Consumer::ReadModel | Consumer::Ledger => projector_lag(connection, consumer, held).await?,
    };
    let (dead_letters, waiting) = (count(dead), count(held - dead));
    Ok(ConsumerStatistics { consumer, checkpoints, lag_events, oldest, dead_letters, waiting })
}

async fn relay_lag(
    connection: &mut PgConnection,
    checkpoints: &[(u16, u64)],
) -> Result<(u64, Option<Timestamp>), QueryError> {
    let published = checkpoints.first().map_or(0, |(_, position)| *position);
    let (lag, oldest): (i64, Option<i64>) =
        sqlx::query_as("SELECT count(*), min(created_us) FROM outbox_events WHERE position > $1")
            .bind(int(published))
            .fetch_one(&mut *connection)
            .await?;
    Ok((count(lag), oldest.map(Timestamp::from_micros)))
}

async fn projector_lag(
    connection: &mut PgConnection,
    consumer: Consumer,
    held: i64,
) -> Result<(u64, Option<Timestamp>), QueryError> {
    let behind: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(o.events - c.applied), 0)::bigint FROM outbox_partitions o
         JOIN projector_checkpoints c ON c.partition = o.partition WHERE c.consumer_name = $1",
    )
    .bind(consumer.name())
    .fetch_one(&mut *connection)
    .await?;
    let lag = count(behind - held);
    if lag == 0 {
        return Ok((0, None));
    }
    // Most often what is not applied is the newest of all; a partition that stands still hides it further back.
    let near = int(lag).saturating_mul(2).saturating_add(OLDEST_SOUGHT_NEAR).min(OLDEST_SOUGHT_MAX);
    let (found, oldest) = oldest_open(connection, consumer, near).await?;
    if count(found) >= lag || near == OLDEST_SOUGHT_MAX {
        return Ok((lag, oldest));
    }
    let (_, oldest) = oldest_open(connection, consumer, OLDEST_SOUGHT_MAX).await?;
    Ok((lag, oldest))
}

/// How many of the newest rows of the outbox a projector has neither applied nor set aside, and when the oldest of those
/// happened.
async fn oldest_open(
    connection: &mut PgConnection,
    consumer: Consumer,
    among: i64,
) -> Result<(i64, Option<Timestamp>), QueryError> {
    const READ_MODEL: &str = "SELECT count(*), min(e.created_us) FROM (
         SELECT wallet_id, event_version, created_us FROM outbox_events ORDER BY position DESC LIMIT $1) e
         LEFT JOIN wallet_states s ON s.wallet_id = e.wallet_id
         WHERE coalesce(s.version, 0) < e.event_version AND NOT EXISTS (SELECT 1 FROM held_events h
             WHERE h.consumer_name = $2 AND h.wallet_id = e.wallet_id AND h.event_version = e.event_version)";
    const LEDGER: &str = "SELECT count(*), min(e.created_us) FROM (
         SELECT wallet_id, event_version, created_us FROM outbox_events ORDER BY position DESC LIMIT $1) e
         LEFT JOIN ledger_rows l ON l.wallet_id = e.wallet_id AND l.version = e.event_version
         WHERE l.version IS NULL AND NOT EXISTS (SELECT 1 FROM held_events h
             WHERE h.consumer_name = $2 AND h.wallet_id = e.wallet_id AND h.event_version = e.event_version)";
    let (found, oldest): (i64, Option<i64>) =
        sqlx::query_as(if consumer == Consumer::Ledger { LEDGER } else { READ_MODEL })
            .bind(among)
            .bind(consumer.name())
            .fetch_one(&mut *connection)
            .await?;
    Ok((found, oldest.map(Timestamp::from_micros)))
}

async fn checkpoints(connection: &mut PgConnection, consumer: &'static str) -> Result<Vec<(u16, u64)>, QueryError> {
    let rows: Vec<(i16, i64)> = sqlx::query_as(
        "SELECT partition, position FROM projector_checkpoints WHERE consumer_name = $1 ORDER BY partition",
    )
    .bind(consumer)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(stored, position)| (partition(stored), count(position))).collect())
}
