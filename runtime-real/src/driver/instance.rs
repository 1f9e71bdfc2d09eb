//! One instance of several: one thread that owns a node with all machines, and performs each effect as a task.
//!
//! It waits for one thing (a request, a completion, a hint, a timer, an order), takes what else is there, feeds the node,
//! drains the effects and starts them. Commands that arrive while appends are under way gather for the next one, so the
//! group grows with the load. What ports the effects reach is left to [`Perform`].

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::id::Position;
use wallex_core::node::PipelineStatus;
use wallex_recording::RecordedNode;

use super::engine::{Engine, Job};
use super::gauges::{Ending, Gauges, Shown};
use super::now;
use super::pipeline::{Order, PipelineControl};
use super::requests::Requests;
use super::tasks::{Ended, Perform, Tasks};
use crate::telemetry::Telemetry;

/// Jobs and completions taken in one turn, at most.
const TAKEN_PER_TURN_MAX: usize = 8_192;
/// How long a draining instance waits for what is in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a draining instance looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// What reaches the instance by itself.
pub struct Hints {
    /// The end of the event store's log, as it grows.
    pub appended: watch::Receiver<Position>,
    /// Partitions given and taken by the broker, and hints that messages wait.
    pub broker: mpsc::UnboundedReceiver<Input>,
}

/// The running thread.
pub struct Instance {
    thread: JoinHandle<()>,
    engine: Engine,
    control: PipelineControl,
}

impl Instance {
    /// Starts the thread, with a node that begins now.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub fn start<P: Perform>(
        node: RecordedNode,
        ports: P,
        hints: Hints,
        gauges: Arc<Gauges>,
        telemetry: Telemetry,
    ) -> io::Result<Self> {
        let (sender, jobs) = mpsc::unbounded_channel();
        let (orders, incoming) = mpsc::unbounded_channel();
        let status = Arc::new(Mutex::new(PipelineStatus::default()));
        let control = PipelineControl::new(orders, Arc::clone(&status));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("wallex-instance".to_owned()).spawn(move || {
            let _ending = Ending::of(&gauges);
            let driver = Driver {
                node,
                tasks: Tasks::new(ports, telemetry),
                requests: Requests::default(),
                jobs,
                orders: incoming,
                hints,
                status,
                gauges,
                draining: None,
            };
            tokio::task::LocalSet::new().block_on(&runtime, driver.run());
        })?;
        Ok(Self { thread, engine: Engine::asynchronous(sender), control })
    }

    /// The way to hand it commands.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Looks at the pipeline and orders.
    #[must_use]
    pub fn control(&self) -> PipelineControl {
        self.control.clone()
    }

    /// Finishes the commands that are begun, refuses the rest, lets the transactions that run finish, and stops.
    pub fn stop(self) {
        self.engine.drain();
        if self.thread.join().is_err() {
            tracing::error!("the instance's thread has panicked");
        }
    }
}

struct Driver<P> {
    node: RecordedNode,
    tasks: Tasks<P>,
    requests: Requests,
    jobs: mpsc::UnboundedReceiver<Job>,
    orders: mpsc::UnboundedReceiver<Order>,
    hints: Hints,
    status: Arc<Mutex<PipelineStatus>>,
    gauges: Arc<Gauges>,
    draining: Option<Instant>,
}

/// What the thread waits for.
enum Happened {
    Job(Job),
    Ended(Ended),
    Input(Input),
    Ordered(Order),
    TimePassed,
}

impl<P: Perform> Driver<P> {
    async fn run(mut self) {
        loop {
            self.start_effects();
            self.requests.send();
            self.show();
            if self.is_drained() {
                break;
            }
            let happened = self.wait().await;
            self.take(happened);
            self.take_what_is_there();
        }
        self.tasks.finish().await;
    }

    async fn wait(&mut self) -> Happened {
        let timer = self.node.poll_timeout().map_or(Duration::from_secs(1), |(at, _)| at.since(now()));
        let wait = if self.draining.is_some() { timer.min(DRAIN_LOOK) } else { timer };
        tokio::select! {
            biased;
            Some(order) = self.orders.recv() => Happened::Ordered(order),
            ended = self.tasks.next() => Happened::Ended(ended),
            Some(job) = self.jobs.recv() => Happened::Job(job),
            Some(input) = self.hints.broker.recv() => Happened::Input(input),
            Ok(()) = self.hints.appended.changed() => {
                Happened::Input(Input::LogAdvanced(*self.hints.appended.borrow_and_update()))
            }
            () = tokio::time::sleep(wait) => Happened::TimePassed,
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Job(job) => {
                let (node, now) = (&mut self.node, now());
                if self.requests.accept(job, |request| node.handle(now, Input::Submit(request))) {
                    self.draining.get_or_insert_with(Instant::now);
                    self.node.handle(now, Input::Drain);
                }
            }
            Happened::Input(input) | Happened::Ended(Ended(Some(input))) => {
                if let Input::Appended(_, completion) = &input {
                    self.gauges.note_append(reason_of(completion));
                }
                self.node.handle(now(), input);
            }
            Happened::Ordered(Order::Retry(consumer, wallet)) => {
                self.node.handle(now(), Input::RetryHeld(consumer, wallet));
            }
            Happened::Ordered(Order::Stop) => {
                self.draining.get_or_insert_with(Instant::now);
            }
            Happened::Ended(Ended(None)) | Happened::TimePassed => self.node.handle_timeout(now()),
        }
    }

    /// Inputs that are handled before the effects are drained share one append.
    fn take_what_is_there(&mut self) {
        for _ in 0..TAKEN_PER_TURN_MAX {
            if let Ok(job) = self.jobs.try_recv() {
                self.take(Happened::Job(job));
            } else if let Some(ended) = self.tasks.try_next() {
                self.take(Happened::Ended(ended));
            } else {
                return;
            }
        }
    }

    fn start_effects(&mut self) {
        while let Some(effect) = self.node.poll_effect() {
            if let Effect::Reply { request, answer } = effect {
                self.requests.reply(request, answer);
            } else {
                self.tasks.start(effect);
            }
        }
    }

    /// Whether every command has its answer, or has had its time.
    fn is_drained(&self) -> bool {
        let idle = self.node.commands().commands_pending() == 0;
        self.draining.is_some_and(|since| idle || since.elapsed() > DRAIN_TIMEOUT)
    }

    fn show(&self) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = self.node.pipeline();
        let commands = self.node.commands();
        let statistics = commands.statistics();
        self.gauges.show(Shown {
            statistics,
            commands_pending: commands.commands_pending(),
            wallets_cached: commands.wallets_cached(),
            groups: statistics.appends,
            ..Shown::default()
        });
    }
}

/// Why an append was not done for a reason that stays; a conflict is none.
fn reason_of(completion: &Completion<()>) -> Option<&str> {
    match completion {
        Completion::Done(()) | Completion::Conflict => None,
        Completion::Failed(failure) => Some(&failure.reason),
        Completion::Unknown => Some("the event store gave no answer"),
    }
}
