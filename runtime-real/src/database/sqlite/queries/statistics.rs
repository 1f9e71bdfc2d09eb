//! How far the pipeline is: the outbox's lag, each consumer's place, and what was set aside.
//!
//! A projector that is far behind is not counted row by row: its lag is then the distance in positions. The figures are
//! read one after another and need not be of one moment. Who shows them is left to HTTP.

use wallex_core::id::Position;
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

use super::SqliteQueries;
use crate::database::FEEDER;
use crate::database::form::{count, int};
use crate::database::queries::{ConsumerStatistics, QueryError, Statistics};

/// Above this distance the lag of a consumer is the distance in positions instead of a count of rows.
const COUNTED_LAG_MAX: u64 = 100_000;

impl SqliteQueries {
    pub(in crate::database) async fn statistics(&self) -> Result<Statistics, QueryError> {
        let mut consumers = Vec::new();
        for consumer in [Consumer::Relay, Consumer::ReadModel, Consumer::Ledger] {
            consumers.push(self.consumer(consumer).await?);
        }
        let relay_held: i64 = sqlx::query_scalar("SELECT count(*) FROM held_events WHERE consumer_name = ?")
            .bind(Consumer::Relay.name())
            .fetch_one(&self.readers)
            .await?;
        let relay = consumers.iter().find(|one| one.consumer == Consumer::Relay);
        Ok(Statistics {
            outbox_filled: Position(self.checkpoints(FEEDER).await?.first().map_or(0, |(_, position)| *position)),
            outbox_lag_events: relay.map_or(0, |relay| relay.lag_events) + count(relay_held),
            outbox_oldest: relay.and_then(|relay| relay.oldest),
            dead_letters: consumers.iter().map(|one| one.dead_letters).sum(),
            consumers,
        })
    }

    async fn consumer(&self, consumer: Consumer) -> Result<ConsumerStatistics, QueryError> {
        let checkpoints = self.checkpoints(consumer.name()).await?;
        let (lag_events, oldest) = match consumer {
            Consumer::Relay => self.relay_lag(&checkpoints).await?,
            Consumer::ReadModel | Consumer::Ledger => self.projector_lag(consumer).await?,
        };
        let (dead, held): (i64, i64) =
            sqlx::query_as("SELECT count(reason), count(*) FROM held_events WHERE consumer_name = ?")
                .bind(consumer.name())
                .fetch_one(&self.readers)
                .await?;
        let (dead_letters, waiting) = (count(dead), count(held - dead));
        Ok(ConsumerStatistics { consumer, checkpoints, lag_events, oldest, dead_letters, waiting })
    }

    async fn checkpoints(&self, consumer: &'static str) -> Result<Vec<(u16, u64)>, QueryError> {
        let rows: Vec<(u16, i64)> = sqlx::query_as(
            "SELECT partition, position FROM projector_checkpoints WHERE consumer_name = ? ORDER BY partition",
        )
        .bind(consumer)
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.into_iter().map(|(partition, position)| (partition, count(position))).collect())
    }

    async fn relay_lag(&self, checkpoints: &[(u16, u64)]) -> Result<(u64, Option<Timestamp>), QueryError> {
        let published = checkpoints.first().map_or(0, |(_, position)| *position);
        let (lag, oldest): (i64, Option<i64>) =
            sqlx::query_as("SELECT count(*), min(created_us) FROM outbox_events WHERE position > ?")
                .bind(int(published))
                .fetch_one(&self.readers)
                .await?;
        Ok((count(lag), oldest.map(Timestamp::from_micros)))
    }

    /// Looks only at partitions that have more than the consumer took.
    async fn projector_lag(&self, consumer: Consumer) -> Result<(u64, Option<Timestamp>), QueryError> {
        let (from, last): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT min(c.position), max(o.last_position)
             FROM projector_checkpoints c JOIN outbox_partitions o ON o.partition = c.partition
             WHERE c.consumer_name = ? AND c.position < o.last_position",
        )
        .bind(consumer.name())
        .fetch_one(&self.readers)
        .await?;
        let (Some(from), Some(last)) = (from, last) else { return Ok((0, None)) };
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT e.created_us FROM outbox_events e JOIN wallet_numbers n ON n.wallet = e.wallet
             JOIN projector_checkpoints c ON c.consumer_name = ? AND c.partition = n.partition
             WHERE e.position > ? AND e.position > c.position ORDER BY e.position LIMIT 1",
        )
        .bind(consumer.name())
        .bind(from)
        .fetch_optional(&self.readers)
        .await?;
        let distance = count(last - from);
        let lag = if distance > COUNTED_LAG_MAX { distance } else { self.count_lag(consumer, from).await? };
        Ok((lag, oldest.map(Timestamp::from_micros)))
    }

    async fn count_lag(&self, consumer: Consumer, from: i64) -> Result<u64, QueryError> {
        let lag: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM outbox_events e JOIN wallet_numbers n ON n.wallet = e.wallet
             JOIN projector_checkpoints c ON c.consumer_name = ? AND c.partition = n.partition
             WHERE e.position > ? AND e.position > c.position",
        )
        .bind(consumer.name())
        .bind(from)
        .fetch_one(&self.readers)
        .await?;
        Ok(count(lag))
    }
}
