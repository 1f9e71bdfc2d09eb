//! Reads of wallets: the tail after a known version, a range, and the events of one command.
//!
//! There are no snapshots here: a load gives every event after the known version, of all its wallets or of none. A
//! stream that does not exist is empty. Bytes become events in `record`, and what an error means is told there; retries
//! are the core's.

use tokio::task::JoinSet;
use wallex_core::effect::{Completion, Load, Loaded};
use wallex_core::event::{Event, stream_name};
use wallex_core::id::{CommandId, Version, WalletId};
use wallex_core::time::Timestamp;

use super::record::{ReadError, recorded};
use crate::client::Client;
use crate::protocol::READ;
use crate::protocol::read::{
    Amount, Direction, Filtering, ReadContent, ReadOptions, ReadReq, Source, StreamSource, StreamStart, UuidContent,
    UuidOption,
};
use crate::protocol::shared::StreamIdentifier;

/// Wallets that are read at once: as many streams of one connection are busy, at most.
const LOADS_AT_ONCE_MAX: usize = 64;

/// Reads wallets, several at a time.
pub(super) async fn load(client: &Client, loads: Vec<Load>) -> Completion<Vec<Loaded>> {
    let mut loaded: Vec<Option<Loaded>> = vec![None; loads.len()];
    let mut waiting = loads.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < LOADS_AT_ONCE_MAX
            && let Some((at, load)) = waiting.next()
        {
            let client = client.clone();
            running.spawn(async move { (at, read(&client, &load.wallet, load.known.next(), Version(u64::MAX)).await) });
        }
        match running.join_next().await {
            None => break,
            Some(Ok((at, Ok(events)))) => loaded[at] = Some(Loaded { snapshot: None, events }),
            Some(Ok((_, Err(error)))) => return error.into_completion(),
            Some(Err(error)) => {
                tracing::error!(%error, "a read has panicked");
                return Completion::Unknown;
            }
        }
    }
    Completion::Done(loaded.into_iter().flatten().collect())
}

/// Reads the versions `from` to `to` of a wallet, as far as they are there.
pub(super) async fn read(
    client: &Client,
    wallet: &WalletId,
    from: Version,
    to: Version,
) -> Result<Vec<Event>, ReadError> {
    let first = from.0.max(1) - 1;
    if to.0 <= first {
        return Ok(Vec::new());
    }
    let start = StreamStart::Revision(first);
    let mut events: Vec<Event> = Vec::new();
    // A count is a signed number inside the server.
    let count = (to.0 - first).min(i64::MAX as u64);
    let mut pages = Pages::open(client, wallet, start, Direction::Forwards, count).await?;
    while let Some(event) = pages.next().await? {
        events.push(event);
    }
    Ok(events)
}

/// Reads back from the end of a wallet's stream, no further than to `not_before`, and no further than the command goes:
/// its events are neighbours, for they were one append.
pub(super) async fn find_command(
    client: &Client,
    wallet: &WalletId,
    command: CommandId,
    not_before: Timestamp,
) -> Result<Vec<Event>, ReadError> {
    let mut found = Vec::new();
    let mut pages = Pages::open(client, wallet, StreamStart::End(()), Direction::Backwards, i64::MAX as u64).await?;
    while let Some(event) = pages.next().await? {
        if event.occurred_at < not_before {
            break;
        }
        if event.command_id == command {
            found.push(event);
        } else if !found.is_empty() {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

/// The events of a stream, as they come.
struct Pages {
    answers: crate::client::Answers<crate::protocol::read::ReadResp>,
    patience: std::time::Duration,
}

impl Pages {
    async fn open(
        client: &Client,
        wallet: &WalletId,
        start: StreamStart,
        direction: Direction,
        count: u64,
    ) -> Result<Self, ReadError> {
        let stream = Some(StreamIdentifier::new(stream_name(wallet)));
        let options = ReadOptions {
            source: Some(Source::Stream(StreamSource { stream, start: Some(start) })),
            direction: direction as i32,
            amount: Some(Amount::Count(count)),
            filtering: Some(Filtering::Nothing(())),
            uuid: Some(UuidOption { content: Some(UuidContent::Structured(())) }),
            ..ReadOptions::default()
        };
        let answers = client.stream(&READ, ReadReq { options: Some(options) }).await?;
        Ok(Self { answers, patience: client.timing().call })
    }

    /// The next event; nothing at the end, and for a stream that is not there.
    async fn next(&mut self) -> Result<Option<Event>, ReadError> {
        while let Some(answer) = self.answers.next(self.patience).await? {
            match answer.content {
                Some(ReadContent::Event(read)) => {
                    if let Some(event) = &read.event {
                        return Ok(Some(recorded(event)?.event));
                    }
                }
                Some(ReadContent::StreamNotFound(_)) => return Ok(None),
                Some(
                    ReadContent::Confirmation(_)
                    | ReadContent::Checkpoint(_)
                    | ReadContent::FirstStreamPosition(_)
                    | ReadContent::LastStreamPosition(_)
                    | ReadContent::LastAllStreamPosition(_)
                    | ReadContent::CaughtUp(_)
                    | ReadContent::FellBehind(_),
                )
                | None => {}
            }
        }
        Ok(None)
    }
}
