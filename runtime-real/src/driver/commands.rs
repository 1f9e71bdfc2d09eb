//! The command path: one thread that owns a node and the journal.
//!
//! A turn: take every job that is there, feed the node, drain its effects. All appends of a turn are one group in the
//! journal: one write, one sync. While that runs, new jobs gather for the next turn, so the group grows with the load
//! and a lone command waits for nobody.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use wallex_core::effect::{Append, Completion, Effect, Failure, FailureKind, Input, Reservation};
use wallex_core::id::{EffectId, Position};
use wallex_journal::{Journal, OsStorage};
use wallex_recording::RecordedNode;

use super::engine::{Engine, Job};
use super::gauges::{Ending, Gauges, Shown};
use super::requests::Requests;
use super::{notes, now};
use crate::leases::LeaseTable;
use crate::telemetry::{Outcome, Telemetry};

/// A turn takes no more jobs once it has this many operations: enough that a sync is a small part of the turn, and few
/// enough that callers take up their answers, and their processors' caches still hold them, while the next turn runs.
const OPERATIONS_PER_TURN: usize = 512;
/// Expired idempotency keys are dropped in steps of this many.
const KEYS_FORGOTTEN_PER_STEP: usize = 4_096;
/// How often a step is due.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);
/// How long a draining thread waits for what is in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// The running thread.
pub struct CommandThread {
    thread: JoinHandle<Journal<OsStorage>>,
    engine: Engine,
}

impl CommandThread {
    /// Starts the thread over a recovered journal, with a node that begins now. `appended` is told the end of the log
    /// after every group.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        journal: Journal<OsStorage>,
        node: RecordedNode,
        leases: LeaseTable,
        gauges: Arc<Gauges>,
        appended: watch::Sender<Position>,
        telemetry: Telemetry,
    ) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let engine = Engine::blocking(sender);
        let driver = Driver {
            node,
            journal,
            leases,
            jobs,
            requests: Requests::default(),
            gauges,
            shown: Shown::default(),
            appended,
            telemetry,
            draining: None,
            forget_at: Instant::now() + FORGET_INTERVAL,
        };
        let thread = std::thread::Builder::new().name("wallex-commands".to_owned()).spawn(|| driver.run())?;
        Ok(Self { thread, engine })
    }

    /// The way to hand it commands.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Finishes what is begun, refuses the rest, and gives the journal back. Nothing when the thread has panicked.
    #[must_use]
    pub fn drain(self) -> Option<Journal<OsStorage>> {
        self.engine.drain();
        self.thread.join().ok()
    }
}

struct Driver {
    node: RecordedNode,
    journal: Journal<OsStorage>,
    leases: LeaseTable,
    jobs: Receiver<Job>,
    requests: Requests,
    gauges: Arc<Gauges>,
    shown: Shown,
    appended: watch::Sender<Position>,
    telemetry: Telemetry,
    draining: Option<Instant>,
    forget_at: Instant,
}

impl Driver {
    fn run(mut self) -> Journal<OsStorage> {
        let _ending = Ending::of(&self.gauges);
        loop {
            self.take_jobs();
            let now = now();
            if self.node.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.node.handle_timeout(now);
            }
            self.drain_effects();
            self.forget_keys();
            self.show();
            let idle = self.node.commands().commands_pending() == 0;
            if self.draining.is_some_and(|since| idle || since.elapsed() > DRAIN_TIMEOUT) {
                return self.journal;
            }
        }
    }

    /// Waits for a job or a timer, then takes what else is there.
    fn take_jobs(&mut self) {
        let timer = self.node.poll_timeout().map(|(at, _)| at.since(now()));
        let first = match timer.or(self.draining.map(|_| FORGET_INTERVAL)) {
            Some(wait) => self.jobs.recv_timeout(wait),
            None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let mut next = match first {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => return self.accept(Job::Drain),
        };
        let mut operations = 0;
        loop {
            operations += next.operations();
            self.accept(next);
            if operations >= OPERATIONS_PER_TURN {
                return;
            }
            match self.jobs.try_recv() {
                Ok(job) => next = job,
                Err(_) => return,
            }
        }
    }

    fn accept(&mut self, job: Job) {
        let (node, now) = (&mut self.node, now());
        if self.requests.accept(job, |request| node.handle(now, Input::Submit(request))) {
            self.draining.get_or_insert_with(Instant::now);
            self.node.handle(now, Input::Drain);
        }
    }

    fn drain_effects(&mut self) {
        loop {
            let mut group: Vec<(EffectId, Arc<Append>)> = Vec::new();
            while let Some(effect) = self.node.poll_effect() {
                if let Effect::Append(id, append) = effect {
                    group.push((id, append));
                } else if let Some(input) = self.perform(effect) {
                    self.node.handle(now(), input);
                }
            }
            self.requests.send();
            if group.is_empty() {
                return;
            }
            self.append(&group);
        }
    }

    fn append(&mut self, group: &[(EffectId, Arc<Append>)]) {
        let started = Instant::now();
        let appends: Vec<&Append> = group.iter().map(|(_, append)| &**append).collect();
        let outcomes = self.journal.append(&appends, now());
        self.shown.groups += 1;
        let took = started.elapsed();
        self.shown.append_time += took;
        let position = self.journal.position();
        self.appended.send_if_modified(|end| std::mem::replace(end, position) != position);
        let now = now();
        let mut trouble = None;
        for ((effect, append), completion) in group.iter().zip(outcomes) {
            if let Completion::Failed(failure) = &completion {
                notes::append_failed(append, &failure.reason);
                trouble = Some(failure.reason.clone());
            }
            self.telemetry.appended(append, took, Outcome::from(&completion));
            self.node.handle(now, Input::Appended(*effect, completion));
        }
        self.gauges.note_append(trouble.as_deref());
    }

    /// Does what can be done at once; appends gather in their group.
    fn perform(&mut self, effect: Effect) -> Option<Input> {
        Some(match effect {
            Effect::Reply { request, answer } => {
                self.requests.reply(request, answer);
                return None;
            }
            Effect::Reserve(id, items) => {
                let now = now();
                let found = items.iter().map(|item| {
                    let stored = self.journal.reserve(&item.idempotency.key, now);
                    stored.map(|stored| match stored {
                        Some((fingerprint, answer)) => Reservation::Finished { fingerprint, answer },
                        None => Reservation::New,
                    })
                });
                let found: Result<Vec<_>, _> = found.collect();
                Input::Reserved(id, or_unavailable(found))
            }
            Effect::Load(id, loads) => {
                Input::Loaded(id, Completion::Done(loads.iter().map(|load| self.journal.load(load)).collect()))
            }
            Effect::Lease { effect, wallets, until } => {
                Input::Leased(effect, Completion::Done(self.leases.lease(&wallets, now(), until)))
            }
            Effect::Unlease(wallets) => {
                self.leases.unlease(&wallets);
                return None;
            }
            Effect::FindCommand { effect, wallet, command, not_before } => {
                let found = self.journal.reader().find_command(&wallet, command, not_before);
                Input::Found(effect, or_unavailable(found))
            }
            // Records are part of the append here, and nothing is reserved.
            Effect::StoreAnswers(id, _) => Input::AnswersStored(id, Completion::Done(())),
            Effect::ReleaseKeys(_) => return None,
            // Appends go another way, and this node has none of the machines that ask for the rest.
            Effect::Append(..)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::LoadFeederCheckpoint(_)
            | Effect::ReadLog { .. }
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::Publish(..)
            | Effect::PublishDead(..)
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::Fetch { .. }
            | Effect::LoadVersions { .. }
            | Effect::ReadStream { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => return None,
        })
    }

    fn forget_keys(&mut self) {
        if self.forget_at <= Instant::now() {
            self.journal.forget_expired_keys(now(), KEYS_FORGOTTEN_PER_STEP);
            self.forget_at = Instant::now() + FORGET_INTERVAL;
        }
    }

    fn show(&mut self) {
        let commands = self.node.commands();
        self.shown.statistics = commands.statistics();
        self.shown.commands_pending = commands.commands_pending();
        self.shown.wallets_cached = commands.wallets_cached();
        self.shown.journal_stopped = self.journal.stopped().is_some();
        self.gauges.show(self.shown);
    }
}

fn unavailable(reason: String) -> Failure {
    Failure { kind: FailureKind::Unavailable, reason }
}

fn or_unavailable<T, E: std::fmt::Display>(result: Result<T, E>) -> Completion<T> {
    match result {
        Ok(value) => Completion::Done(value),
        Err(error) => Completion::Failed(unavailable(error.to_string())),
    }
}
