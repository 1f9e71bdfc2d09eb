//! Reads of the log: the events of all wallets in the order in which they were written, and nothing else (INV-06).
//!
//! **Positions.** KurrentDB orders its log by commit position, then by prepare position. The events of an append to
//! several streams may share their commit position; the prepare position, where the event's own record begins, is
//! unique and grows in the same order, because the server writes each append in one piece. So [`Position`] is the
//! prepare position. To go on after P, the log is read from (P, P), which is at or before the event at P whatever its
//! commit position is, and what is not after P is skipped: no event is lost or given twice, even when a page ends in
//! the middle of an append.

use wallex_core::event::Recorded;
use wallex_core::id::Position;

use super::STREAM_PREFIX;
use super::record::{ReadError, recorded};
use crate::client::{CallError, Client};
use crate::protocol::READ;
use crate::protocol::read::{
    AllSource, AllStart, Amount, ControlOption, Direction, Expression, Filter, FilterBy, FilterWindow, Filtering,
    ReadContent, ReadEvent, ReadOptions, ReadReq, RecordedEvent, Source, UuidContent, UuidOption,
};
use crate::protocol::shared;

/// Events that the server looks at before it gives a checkpoint.
const FILTER_WINDOW: u32 = 4_096;
/// A read from the middle of an append finds the append's earlier events again: this many more are asked for, and the
/// read goes on when even they were not enough.
const OVERLAP: usize = 16;

/// A read of the log or a subscription to it: wallets only.
pub(super) fn request(start: AllStart, amount: Amount) -> ReadReq {
    let prefix = vec![STREAM_PREFIX.to_owned()];
    let filter = Filter {
        by: Some(FilterBy::Stream(Expression { regex: String::new(), prefix })),
        window: Some(FilterWindow::Max(FILTER_WINDOW)),
        checkpoint_interval_multiplier: 1,
    };
    options(start, amount, Direction::Forwards, Filtering::Filter(filter))
}

fn options(start: AllStart, amount: Amount, direction: Direction, filtering: Filtering) -> ReadReq {
    ReadReq {
        options: Some(ReadOptions {
            source: Some(Source::All(AllSource { start: Some(start) })),
            direction: direction as i32,
            resolve_links: false,
            amount: Some(amount),
            filtering: Some(filtering),
            uuid: Some(UuidOption { content: Some(UuidContent::Structured(())) }),
            control: Some(ControlOption { compatibility: 1 }),
        }),
    }
}

/// Where to start so that nothing after the position is missed.
pub(super) fn start_at(after: Position) -> AllStart {
    if after == Position(0) { AllStart::Start(()) } else { AllStart::Position(shared::Position::at(after.0)) }
}

/// Events after a position, in log order, at most `limit`.
pub(super) async fn read(client: &Client, after: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
    read_as(client, after, limit, recorded).await
}

/// The positions of events after a position, in log order, at most `limit`: what the events say is not looked at.
pub(super) async fn positions(client: &Client, after: Position, limit: usize) -> Result<Vec<Position>, CallError> {
    read_as(client, after, limit, |event| Ok(Position(event.prepare_position))).await
}

async fn read_as<T, E: From<CallError>>(
    client: &Client,
    after: Position,
    limit: usize,
    taken: impl Fn(&RecordedEvent) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    let mut events: Vec<T> = Vec::new();
    if limit == 0 {
        return Ok(events);
    }
    let mut asked = limit.saturating_add(OVERLAP);
    loop {
        let count = asked as u64;
        let mut answers = client.stream(&READ, request(start_at(after), Amount::Count(count))).await?;
        let (mut seen, mut last) = (0, after);
        events.clear();
        while let Some(answer) = answers.next(client.timing().call).await? {
            let Some(event) = event_of(answer.content) else { continue };
            let Some(event) = event.event else { continue };
            seen += 1;
            if event.prepare_position <= last.0 {
                continue;
            }
            last = Position(event.prepare_position);
            events.push(taken(&event)?);
            if events.len() == limit {
                return Ok(events);
            }
        }
        if seen < count {
            return Ok(events);
        }
        // All that was asked for came, and most of it lies before the position: look further.
        asked = asked.saturating_mul(4);
    }
}

/// The last place in the log, whatever is there; nothing when it is empty.
pub(super) async fn end(client: &Client) -> Result<Option<shared::Position>, CallError> {
    let backwards = options(AllStart::End(()), Amount::Count(1), Direction::Backwards, Filtering::Nothing(()));
    let mut answers = client.stream(&READ, backwards).await?;
    while let Some(answer) = answers.next(client.timing().call).await? {
        if let Some(event) = event_of(answer.content).and_then(|read| read.event) {
            let (commit_position, prepare_position) = (event.commit_position, event.prepare_position);
            return Ok(Some(shared::Position { commit_position, prepare_position }));
        }
    }
    Ok(None)
}

fn event_of(content: Option<ReadContent>) -> Option<ReadEvent> {
    match content {
        Some(ReadContent::Event(event)) => Some(*event),
        Some(
            ReadContent::Confirmation(_)
            | ReadContent::Checkpoint(_)
            | ReadContent::StreamNotFound(_)
            | ReadContent::FirstStreamPosition(_)
            | ReadContent::LastStreamPosition(_)
            | ReadContent::LastAllStreamPosition(_)
            | ReadContent::CaughtUp(_)
            | ReadContent::FellBehind(_),
        )
        | None => None,
    }
}
