//! Follows the log by a subscription, for ever: fills the ring and tells how far the log has come.
//!
//! A subscription that breaks is taken up again where it broke, so the ring has no gap. One that is silent is not
//! trusted: the watchdog looks at the log, and when something is there that did not come, subscribes anew. (The server
//! may end a subscription without an error, and a connection may be dead without anybody being told.)

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wallex_core::id::Position;

use super::log;
use super::record::{ReadError, recorded};
use super::ring::Ring;
use crate::client::{Answers, CallError, Client, backoff};
use crate::protocol::READ;
use crate::protocol::read::{AllStart, Amount, ReadContent, ReadResp};
use crate::protocol::shared;

/// A subscription that lasted so long was a good one: the next attempt comes soon.
const GOOD_AFTER: Duration = Duration::from_secs(30);

/// Why a subscription is over.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the server ended the subscription")]
    ByServer,
    #[error("the subscription is silent while the log has grown")]
    Silent,
}

impl From<CallError> for Ended {
    fn from(error: CallError) -> Self {
        Self::Read(error.into())
    }
}

pub(super) async fn run(client: Client, ring: Arc<Ring>, head: watch::Sender<Position>, watchdog: Duration) {
    let mut follower = Follower { client, ring, head, watchdog, resume: None };
    let mut failures = 0;
    loop {
        let began = tokio::time::Instant::now();
        let Err(ended) = follower.subscribe().await;
        follower.ring.set_live(false);
        failures = if began.elapsed() > GOOD_AFTER { 1 } else { failures + 1 };
        let pause = backoff::delay(failures);
        tracing::warn!(%ended, ?pause, "the log is not followed");
        tokio::time::sleep(pause).await;
    }
}

struct Follower {
    client: Client,
    ring: Arc<Ring>,
    head: watch::Sender<Position>,
    watchdog: Duration,
    /// Where to go on; nothing before the end of the log was ever found.
    resume: Option<AllStart>,
}

impl Follower {
    async fn subscribe(&mut self) -> Result<std::convert::Infallible, Ended> {
        let start = match self.resume {
            Some(start) => start,
            None => self.begin().await?,
        };
        let mut answers = self.client.stream(&READ, log::request(start, Amount::Subscription(()))).await?;
        loop {
            match answers.next(self.watchdog).await {
                Ok(Some(answer)) => self.take(answer)?,
                Ok(None) => return Err(Ended::ByServer),
                Err(CallError::TimedOut(_)) => self.look(&mut answers).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Finds the end of the log: the ring begins there.
    async fn begin(&mut self) -> Result<AllStart, Ended> {
        let end = log::end(&self.client).await?;
        let at = end.unwrap_or_default();
        self.ring.begin(Position(at.prepare_position), at.commit_position);
        let start = end.map_or(AllStart::Start(()), AllStart::Position);
        self.resume = Some(start);
        self.head.send_replace(Position(at.prepare_position));
        Ok(start)
    }

    fn take(&mut self, answer: ReadResp) -> Result<(), Ended> {
        match answer.content {
            Some(ReadContent::Event(read)) => {
                let Some(event) = &read.event else { return Ok(()) };
                let recorded = recorded(event)?;
                let position = recorded.position;
                if self.ring.push(recorded, event.commit_position) {
                    // From (P, P) on: at or before this event, whatever the commit position of its append is.
                    self.resume = Some(log::start_at(position));
                    self.head.send_replace(position);
                }
            }
            Some(ReadContent::Checkpoint(checkpoint)) => {
                let (commit_position, prepare_position) = (checkpoint.commit_position, checkpoint.prepare_position);
                self.ring.pass(commit_position);
                self.resume = Some(AllStart::Position(shared::Position { commit_position, prepare_position }));
            }
            Some(ReadContent::Confirmation(_) | ReadContent::CaughtUp(_)) => self.ring.set_live(true),
            Some(
                ReadContent::FellBehind(_)
                | ReadContent::StreamNotFound(_)
                | ReadContent::FirstStreamPosition(_)
                | ReadContent::LastStreamPosition(_)
                | ReadContent::LastAllStreamPosition(_),
            )
            | None => {}
        }
        Ok(())
    }

    /// Nothing came for a while: is there nothing, or does it not come?
    async fn look(&mut self, answers: &mut Answers<ReadResp>) -> Result<(), Ended> {
        let there = log::read(&self.client, self.ring.end(), 1).await?;
        let Some(missed) = there.first().map(|event| event.position) else { return Ok(()) };
        // It may have been on its way while the log was read.
        while self.ring.end() < missed {
            match answers.next(self.client.timing().call).await {
                Ok(Some(answer)) => self.take(answer)?,
                Ok(None) => return Err(Ended::ByServer),
                Err(CallError::TimedOut(_)) => return Err(Ended::Silent),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
