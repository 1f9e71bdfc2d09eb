//! How far the pipeline is, in numbers.

use wallex_core::id::Position;
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;

/// The pipeline at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The position up to which the outbox is filled from the log.
    pub outbox_filled: Position,
    /// Rows that are not published.
    pub outbox_lag_events: u64,
    /// When the oldest of them happened: its age is the lag in time.
    pub outbox_oldest: Option<Timestamp>,
    /// Relay and projectors.
    pub consumers: Vec<ConsumerStatistics>,
    /// Dead letters of all consumers.
    pub dead_letters: u64,
}

/// One consumer at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStatistics {
    /// Which.
    pub consumer: Consumer,
    /// Partition and checkpoint.
    pub checkpoints: Vec<(u16, u64)>,
    /// Events of the outbox that it has not passed. Above 100,000 it is the distance in positions.
    pub lag_events: u64,
    /// When the oldest of them happened.
    pub oldest: Option<Timestamp>,
    /// Its dead letters.
    pub dead_letters: u64,
    /// Events that wait behind them.
    pub waiting: u64,
}
