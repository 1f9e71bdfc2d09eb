//! Everything after the log: one thread that owns the node with feeder, relay and projectors.
//!
//! It waits for one thing (a completion, a hint, a timer, an order), feeds it, drains the effects, and starts each of
//! them as a task. The machines have one effect at a time each, so at most four run at once.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::id::{Position, WalletId};
use wallex_core::limits::PARTITIONS;
use wallex_core::node::PipelineStatus;
use wallex_core::projector::Consumer;
use wallex_journal::{JournalError, OsStorage, Reader};
use wallex_recording::RecordedNode;

use super::now;
use super::tasks::{Ended, Perform, Tasks};
use crate::broker::Broker;
use crate::database::Database;
use crate::priority;
use crate::telemetry::Telemetry;

/// The name of its threads.
const THREAD: &str = "wallex-pipeline";

/// An order from outside.
#[derive(Debug)]
pub(super) enum Order {
    Stop,
    Retry(Consumer, WalletId),
}

/// The running pipeline.
pub struct Pipeline {
    thread: JoinHandle<()>,
    control: PipelineControl,
}

/// Looks at the pipeline and gives it orders; cheap to clone.
#[derive(Clone)]
pub struct PipelineControl {
    orders: mpsc::UnboundedSender<Order>,
    status: Arc<Mutex<PipelineStatus>>,
}

impl PipelineControl {
    pub(super) fn new(orders: mpsc::UnboundedSender<Order>, status: Arc<Mutex<PipelineStatus>>) -> Self {
        Self { orders, status }
    }

    /// How far it got.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tries again what a consumer holds back for a wallet.
    pub fn retry_held(&self, consumer: Consumer, wallet: WalletId) {
        // A pipeline that has stopped tries everything again when it starts.
        let _stopped = self.orders.send(Order::Retry(consumer, wallet));
    }
}

impl Pipeline {
    /// Starts the thread, with a node that begins now; `projectors` when its consumers are to read. `appended` tells when
    /// the log has grown.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        node: RecordedNode,
        projectors: bool,
        log: Reader<OsStorage>,
        database: Database,
        broker: Broker,
        appended: watch::Receiver<Position>,
        telemetry: Telemetry,
    ) -> io::Result<Self> {
        let (orders, incoming) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(PipelineStatus::default()));
        let control = PipelineControl::new(orders, Arc::clone(&status));
        let published = broker.published();
        let ports = Ports { log, database, broker };
        // The threads that read the log for it are part of it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().thread_name(THREAD).build()?;
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            priority::step_back();
            let driver = Driver { node, tasks: Tasks::new(ports, telemetry), published, status };
            tokio::task::LocalSet::new().block_on(&runtime, driver.run(incoming, appended, projectors));
        })?;
        Ok(Self { thread, control })
    }

    /// A handle to it.
    #[must_use]
    pub fn control(&self) -> PipelineControl {
        self.control.clone()
    }

    /// Lets the transaction that runs finish, and stops. What is not done yet is done after the next start.
    pub fn stop(self) {
        let _stopped = self.control.orders.send(Order::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the pipeline's thread has panicked");
        }
    }
}

/// What effects are performed against.
struct Ports {
    log: Reader<OsStorage>,
    database: Database,
    broker: Broker,
}

struct Driver {
    node: RecordedNode,
    tasks: Tasks<Ports>,
    /// Told by the broker whenever it has more messages.
    published: watch::Receiver<Position>,
    status: Arc<Mutex<PipelineStatus>>,
}

/// What the thread waits for.
enum Happened {
    Ended(Ended),
    Input(Input),
    Published,
    TimePassed,
    Ordered(Order),
}

impl Driver {
    async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut appended: watch::Receiver<Position>,
        projectors: bool,
    ) {
        if projectors {
            for consumer in [Consumer::ReadModel, Consumer::Ledger] {
                self.node.handle(now(), Input::PartitionsAssigned(consumer, (0..PARTITIONS).collect()));
            }
        }
        loop {
            self.start_effects();
            *self.status.lock().unwrap_or_else(PoisonError::into_inner) = self.node.pipeline();
            let wait = self.node.poll_timeout().map_or(Duration::from_secs(1), |(at, _)| at.since(now()));
            let happened = tokio::select! {
                biased;
                order = orders.recv() => Happened::Ordered(order.unwrap_or(Order::Stop)),
                ended = self.tasks.next() => Happened::Ended(ended),
                Ok(()) = self.published.changed() => Happened::Published,
                // What is appended meanwhile is still news then.
                Ok(()) = appended.changed(), if self.node.awaits_log() => Happened::Input(Input::LogAdvanced(*appended.borrow_and_update())),
                () = tokio::time::sleep(wait) => Happened::TimePassed,
            };
            match happened {
                Happened::Input(input) | Happened::Ended(Ended(Some(input))) => self.node.handle(now(), input),
                Happened::Published => {
                    for consumer in [Consumer::ReadModel, Consumer::Ledger] {
                        self.node.handle(now(), Input::MessagesAvailable(consumer));
                    }
                }
                Happened::Ended(Ended(None)) | Happened::TimePassed => self.node.handle_timeout(now()),
                Happened::Ordered(Order::Retry(consumer, wallet)) => {
                    self.node.handle(now(), Input::RetryHeld(consumer, wallet));
                }
                Happened::Ordered(Order::Stop) => break,
            }
        }
        self.tasks.finish().await;
    }

    fn start_effects(&mut self) {
        while let Some(effect) = self.node.poll_effect() {
            self.tasks.start(effect);
        }
    }
}

impl Perform for Ports {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        if let Effect::ReadLog { effect, after, limit } = effect {
            return Some(Input::LogRead(effect, self.read(move |log| log.read_all(after, limit)).await));
        }
        if let Effect::ReadStream { effect, wallet, from, to } = effect {
            let limit = usize::try_from(to.0.saturating_sub(from.0) + 1).unwrap_or(usize::MAX);
            let read = move |log: &Reader<OsStorage>| {
                let stream = log.read_stream(&wallet, from, limit)?;
                Ok(stream.into_iter().map(|recorded| recorded.event).collect())
            };
            return Some(Input::StreamRead(effect, self.read(read).await));
        }
        if matches!(effect, Effect::Publish(..) | Effect::Fetch { .. }) {
            return self.broker.perform(effect).await;
        }
        self.database.perform(effect).await
    }
}

impl Ports {
    /// Reads the log on a thread of its own: decoding thousands of events takes milliseconds, and a transaction that is
    /// open meanwhile would stand still for as long.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<OsStorage>) -> Result<T, JournalError> + Send + 'static,
    ) -> Completion<T> {
        let log = self.log.clone();
        let reason = match tokio::task::spawn_blocking(move || read(&log)).await {
            Ok(Ok(value)) => return Completion::Done(value),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(%reason, "the log cannot be read");
        Completion::Failed(Failure { kind: FailureKind::Unavailable, reason })
    }
}
