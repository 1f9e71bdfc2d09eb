//! The one thread that owns the log, and the queue of appends before it.
//!
//! Whatever waits when the thread is ready for more becomes one group with one write and one sync; a lone append waits
//! for nobody. The queue is bounded in bytes: who finds no room is told so at once, with nothing done.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use wallex_core::time::Timestamp;
use wallex_journal::raw::{APPEND_BYTES_MAX, Append, Log, Outcome};
use wallex_journal::{JournalError, OsStorage};

/// Most bytes of appends that are being received, wait, or are being written.
const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Most appends that wait.
const QUEUE_APPENDS_MAX: usize = 8_192;
/// Most appends in one group.
const GROUP_APPENDS_MAX: usize = 4_096;

#[derive(Debug)]
enum Job {
    Append(Append, oneshot::Sender<Outcome>),
    Stop,
}

/// Takes appends; clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct Appender {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

/// Room in the queue for what an append brings, taken piece by piece while it is received.
pub(super) struct Room {
    semaphore: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The append is too large.
    TooLarge {
        /// What came of it so far.
        bytes: usize,
    },
    /// The server has too much to do.
    Busy,
}

impl Room {
    /// Takes room for so many more bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > APPEND_BYTES_MAX {
            return Err(NoRoom::TooLarge { bytes: self.bytes });
        }
        let more =
            u32::try_from(bytes).ok().and_then(|bytes| self.semaphore.clone().try_acquire_many_owned(bytes).ok());
        let more = more.ok_or(NoRoom::Busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

/// An append that waits for its outcome.
pub(super) struct Pending {
    outcome: oneshot::Receiver<Outcome>,
    _room: Room,
}

impl Pending {
    /// Waits for the outcome.
    pub(super) async fn outcome(self) -> Outcome {
        // A writer that went away may have written it.
        self.outcome.await.unwrap_or(Outcome::Unknown)
    }
}

impl Appender {
    /// No room yet; it is given back when it is dropped.
    pub(super) fn room(&self) -> Room {
        Room { semaphore: self.room.clone(), taken: None, bytes: 0 }
    }

    /// Puts an append into the queue; appends take effect in that order.
    pub(super) async fn begin(&self, append: Append, room: Room) -> Pending {
        let (answer, outcome) = oneshot::channel();
        if let Err(mpsc::error::SendError(Job::Append(_, answer))) = self.jobs.send(Job::Append(append, answer)).await {
            // Nobody listens only when the call is over as well.
            let _ = answer.send(Outcome::Failed("the server is shutting down".to_owned()));
        }
        Pending { outcome, _room: room }
    }

    /// Appends and waits for the outcome.
    pub(super) async fn append(&self, append: Append, room: Room) -> Outcome {
        self.begin(append, room).await.outcome().await
    }

    /// Lets the writer end when everything before this is done.
    pub(super) async fn stop(&self) {
        // A writer that is gone has stopped.
        let _ = self.jobs.send(Job::Stop).await;
    }
}

/// The thread, and what it says.
pub(super) struct Writer {
    pub(super) appender: Appender,
    /// Position of the last durable event.
    pub(super) position: watch::Receiver<u64>,
    pub(super) thread: JoinHandle<Result<(), JournalError>>,
}

/// Starts the writer, and beside it the thread that makes segments ready before they are needed.
pub(super) fn start(log: Log<OsStorage>) -> std::io::Result<Writer> {
    let (jobs, waiting) = mpsc::channel(QUEUE_APPENDS_MAX);
    let (moved, position) = watch::channel(log.position());
    let (prepare, due) = sync_channel::<()>(1);
    let reader = log.reader();
    std::thread::Builder::new().name("eventlog-prepare".to_owned()).spawn(move || {
        for () in due {
            if let Err(error) = reader.prepare_next_segment() {
                tracing::warn!(%error, "the next segment could not be made ready; the writer will make it itself");
            }
        }
    })?;
    let thread =
        std::thread::Builder::new().name("eventlog".to_owned()).spawn(move || write(log, waiting, &moved, &prepare))?;
    let appender = Appender { jobs, room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)) };
    Ok(Writer { appender, position, thread })
}

fn write(
    mut log: Log<OsStorage>,
    mut waiting: mpsc::Receiver<Job>,
    moved: &watch::Sender<u64>,
    prepare: &SyncSender<()>,
) -> Result<(), JournalError> {
    let reader = log.reader();
    let mut segments = 0;
    let mut jobs = Vec::new();
    loop {
        if waiting.blocking_recv_many(&mut jobs, GROUP_APPENDS_MAX) == 0 {
            return log.close(now());
        }
        let (mut group, mut answers) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        for job in jobs.drain(..) {
            match job {
                Job::Append(append, answer) => {
                    group.push(append);
                    answers.push(answer);
                }
                // What came before is still taken; the next receive ends when the queue is empty.
                Job::Stop => waiting.close(),
            }
        }
        let outcomes = log.append(&group, now());
        moved.send_if_modified(|position| std::mem::replace(position, log.position()) != log.position());
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // The call may be over; the append is done nevertheless.
            let _ = answer.send(outcome);
        }
        if reader.segments() != segments {
            segments = reader.segments();
            // One that is already asked for is enough.
            let _ = prepare.try_send(());
        }
    }
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
