//! Reading page by page, and handing events to a client that may be slow.
//!
//! A page is read on a thread for blocking work, and the next one only when the client has taken the one before, so a
//! call holds at most a page and a queue in memory. A client that takes nothing for the stall timeout is cut off.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use wallex_journal::JournalError;
use wallex_journal::raw::{Direction, Limits, StoredEvent, StreamPage};

use super::answers::{shutting_down, unreadable};
use super::route::State;
use crate::protocol::read::{ReadContent, ReadResp};

/// Most events of a page.
const PAGE_EVENTS_MAX: usize = 512;
/// A page ends with the event that reaches so many bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Most messages that wait for the client, and most bytes of them.
const QUEUE_MESSAGES_MAX: usize = 256;
const QUEUE_BYTES_MAX: u32 = 4 << 20;
/// What a message costs beside its event's data and metadata, in bytes.
const MESSAGE_COST_BYTES: usize = 256;

/// Messages on their way to a client.
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<ReadResp, Status>> + Send>>;

/// A message with its part of the queue's room.
type Queued = (Result<ReadResp, Status>, Option<OwnedSemaphorePermit>);

/// Hands messages to a client.
pub(super) struct Outlet {
    messages: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    /// Kept for the last word to a client that takes nothing.
    last: mpsc::OwnedPermit<Queued>,
    stall_timeout: Duration,
}

/// Why a call ends before its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client is gone.
    Gone,
    /// It is to be told this.
    Told(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Told(status)
    }
}

impl Outlet {
    /// An outlet, and what the client gets.
    pub(super) fn new(stall_timeout: Duration) -> Result<(Self, Messages), Status> {
        let (messages, receiver) = mpsc::channel(QUEUE_MESSAGES_MAX + 1);
        let last = messages.clone().try_reserve_owned().map_err(|_| Status::internal("a fresh queue has no room"))?;
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize));
        let taken = ReceiverStream::new(receiver).map(|(message, _room)| message);
        Ok((Self { messages, room, last, stall_timeout }, Box::pin(taken)))
    }

    /// Hands over a message, when there is room.
    pub(super) async fn send(&self, content: ReadContent) -> Result<(), Ended> {
        self.hand_over(ReadResp { content: Some(content) }).await
    }

    pub(super) async fn hand_over(&self, message: ReadResp) -> Result<(), Ended> {
        let cost = u32::try_from(cost(&message)).map_or(QUEUE_BYTES_MAX, |cost| cost.min(QUEUE_BYTES_MAX));
        let handing_over = async {
            let room = self.room.clone().acquire_many_owned(cost).await.map_err(|_| Ended::Gone)?;
            self.messages.send((Ok(message), Some(room))).await.map_err(|_| Ended::Gone)
        };
        tokio::select! {
            biased;
            result = handing_over => result,
            () = self.gone() => Err(Ended::Gone),
            () = tokio::time::sleep(self.stall_timeout) => {
                Err(Ended::Told(Status::aborted("the client is too slow: it has taken nothing for too long")))
            }
        }
    }

    /// Comes back when the client is gone.
    pub(super) async fn gone(&self) {
        self.messages.closed().await;
    }

    /// Ends the call.
    pub(super) fn end(self, result: Result<(), Ended>) {
        match result {
            Ok(()) | Err(Ended::Gone) => {}
            Err(Ended::Told(status)) => drop(self.last.send((Err(status), None))),
        }
    }
}

/// What a message takes of the queue's room.
fn cost(message: &ReadResp) -> usize {
    match &message.content {
        Some(ReadContent::Event(read)) => {
            let event = read.event.as_ref();
            MESSAGE_COST_BYTES + event.map_or(0, |event| event.data.len() + event.custom_metadata.len())
        }
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
        | None => MESSAGE_COST_BYTES,
    }
}

/// The limits of a page of which `wanted` more events are of interest.
fn limits(wanted: u64) -> Limits {
    let events = usize::try_from(wanted).map_or(PAGE_EVENTS_MAX, |wanted| wanted.min(PAGE_EVENTS_MAX));
    Limits { events, bytes: PAGE_BYTES_MAX }
}

/// A page of the log; see [`wallex_journal::raw::Reader::log`].
pub(super) async fn log_page(
    state: &Arc<State>,
    from: u64,
    direction: Direction,
    wanted: u64,
) -> Result<Vec<StoredEvent>, Ended> {
    let reader = state.reader.clone();
    blocking(move || reader.log(from, direction, limits(wanted))).await
}

/// A page of a stream; see [`wallex_journal::raw::Reader::stream`].
pub(super) async fn stream_page(
    state: &Arc<State>,
    stream: &str,
    from: u64,
    direction: Direction,
    wanted: u64,
) -> Result<StreamPage, Ended> {
    let (reader, stream) = (state.reader.clone(), stream.to_owned());
    blocking(move || reader.stream(&stream, from, direction, limits(wanted))).await
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, Ended> {
    match tokio::task::spawn_blocking(read).await {
        Ok(page) => page.map_err(|error| Ended::Told(unreadable(&error))),
        Err(_) => Err(Ended::Told(shutting_down())),
    }
}
