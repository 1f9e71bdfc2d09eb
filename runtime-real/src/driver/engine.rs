//! The way in: hands requests to the core's thread and waits for the answers.
//!
//! Decides nothing. A request that the thread cannot take is known not to be done; one that it took and never answered
//! is unknown (INV-05). How long to wait is left to the caller, who waits for what to `requests` and `replies`.

use std::sync::mpsc::Sender;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use wallex_core::command::{Answer, Request, Unavailable};

use super::replies::{self, ReplyTo};

/// What reaches the core's thread.
pub(super) enum Job {
    One(Request, ReplyTo),
    Many(Vec<Request>, oneshot::Sender<Vec<Answer>>),
    /// Finish what is begun, refuse the rest, and stop.
    Drain,
}

impl Job {
    /// How many operations it asks for.
    pub(super) fn operations(&self) -> usize {
        match self {
            Self::One(request, _) => request.work.operations().len(),
            Self::Many(requests, _) => requests.iter().map(|request| request.work.operations().len()).sum(),
            Self::Drain => 0,
        }
    }
}

/// A handle to the core's thread; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    jobs: Jobs,
}

/// How the thread waits for jobs: blocking, because its IO is, or beside its tasks.
#[derive(Clone)]
enum Jobs {
    Blocking(Sender<Job>),
    Async(UnboundedSender<Job>),
}

impl Engine {
    pub(super) fn blocking(jobs: Sender<Job>) -> Self {
        Self { jobs: Jobs::Blocking(jobs) }
    }

    pub(super) fn asynchronous(jobs: UnboundedSender<Job>) -> Self {
        Self { jobs: Jobs::Async(jobs) }
    }

    /// Whether the thread is there to take it.
    fn send(&self, job: Job) -> bool {
        match &self.jobs {
            Jobs::Blocking(jobs) => jobs.send(job).is_ok(),
            Jobs::Async(jobs) => jobs.send(job).is_ok(),
        }
    }

    /// Submits one request and waits for its answer. [`Request::id`] is set by the core's thread, whatever the caller
    /// put there.
    pub async fn submit(&self, request: Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        if !self.send(Job::One(request, ReplyTo::this_thread(reply))) {
            return Answer::Unavailable(Unavailable::ShuttingDown);
        }
        // The core's thread answers whatever it has accepted before it ends, unless the process dies.
        answer.await.unwrap_or(Answer::OutcomeUnknown)
    }

    /// Submits many requests at once and waits for all answers, in order.
    pub async fn submit_all(&self, requests: Vec<Request>) -> Vec<Answer> {
        let count = requests.len();
        let (reply, answers) = oneshot::channel();
        if !self.send(Job::Many(requests, reply)) {
            return vec![Answer::Unavailable(Unavailable::ShuttingDown); count];
        }
        answers.await.unwrap_or_else(|_| vec![Answer::OutcomeUnknown; count])
    }

    /// Receives the answers to what is submitted on the calling thread, for ever. A thread with a single-threaded
    /// runtime spawns this first; without it answers arrive one by one, at a system call each.
    pub async fn receive_answers() {
        replies::receive().await;
    }

    pub(super) fn drain(&self) {
        // A thread that has ended needs no telling.
        let _told = self.send(Job::Drain);
    }
}
