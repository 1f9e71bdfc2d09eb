//! The connection to the leader, and the task that renews it for as long as the client lives.
//!
//! Calls report what looks like trouble. The task then asks the server whether it is there; when it is not, or does not
//! lead, it looks for the leader until it finds one. It never gives up: a server that is away for a day is found again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;

use super::backoff;
use super::call::Headers;
use super::discovery::{Finder, Node};
use super::outcome::CallError;
use super::settings::{ConnectionString, Host};

/// Reports of trouble that can wait to be looked at: one of a kind is enough, so what does not fit is dropped.
const TROUBLES_MAX: usize = 64;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A call, from the wait for a connection to its answer; of a streamed answer, each wait.
    pub call: Duration,
    /// One attempt to connect to one member, and one question whether it is there.
    pub attempt: Duration,
    /// All attempts of [`Client::connect`] together.
    pub connect: Duration,
}

impl Default for Timing {
    /// A call ends before the core stops waiting for it.
    fn default() -> Self {
        let core = wallex_core::limits::EFFECT_TIMEOUT;
        Self { call: core.mul_f64(0.8), attempt: Duration::from_secs(2), connect: Duration::from_secs(10) }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection string asks for something that this machine does not have.
    #[error("event store settings: {0}")]
    Settings(String),
    /// A member cannot be connected to.
    #[error("the event store at {host} cannot be reached: {reason}")]
    Unreachable {
        /// The member.
        host: Host,
        /// Why.
        reason: String,
    },
    /// A member is there and does not answer as it should.
    #[error("the event store at {host} does not answer as KurrentDB does: {reason}")]
    Refused {
        /// The member.
        host: Host,
        /// Why.
        reason: String,
    },
    /// The cluster has no leader now.
    #[error("the event store's cluster has no leader")]
    NoLeader,
    /// The server cannot append to several streams at once, which transfers need.
    #[error(
        "the event store at {host} has version {version:?}; KurrentDB 25.1 or newer is needed (26.0 LTS recommended), \
         because a transfer is one atomic append to two streams"
    )]
    TooOld {
        /// The member.
        host: Host,
        /// Its version.
        version: String,
    },
}

/// A connection that works, as far as is known.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) channel: Channel,
    pub(super) generation: u64,
    host: Host,
    version: String,
}

#[derive(Clone, Debug)]
enum State {
    Connected(Connected),
    Away(String),
}

#[derive(Debug)]
struct Trouble {
    generation: u64,
    /// The member does not lead, and perhaps says who does.
    not_leader: Option<Option<Host>>,
}

/// A client; cheap to clone. With the last clone the connection ends.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: watch::Receiver<State>,
    troubles: mpsc::Sender<Trouble>,
    headers: Headers,
    timing: Timing,
    task: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// Connects to the leader, trying again for a bounded time. Must be called inside a tokio runtime with time and IO;
    /// the task that keeps the connection lives there.
    ///
    /// # Errors
    /// [`ConnectError`]: the last reason. A server that is too old, and settings that cannot work, are told at once.
    pub async fn connect(settings: &ConnectionString, timing: Timing) -> Result<Self, ConnectError> {
        let timing = Timing { call: settings.default_deadline.unwrap_or(timing.call), ..timing };
        let finder = Finder::new(settings, timing)?;
        let deadline = Instant::now() + timing.connect;
        let mut failures = 0;
        let node = loop {
            match finder.find(None).await {
                Ok(node) => break node,
                Err(error @ (ConnectError::TooOld { .. } | ConnectError::Settings(_))) => return Err(error),
                Err(error) => {
                    failures += 1;
                    let pause = backoff::delay(failures);
                    if Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                    tracing::warn!(%error, ?pause, "no event store yet");
                    sleep(pause).await;
                }
            }
        };
        tracing::info!(host = %node.host, version = %node.version, "connected to the event store");
        let headers = finder.headers().clone();
        let (state, watched) = watch::channel(State::Connected(connected(&node, 0)));
        let (troubles, reported) = mpsc::channel(TROUBLES_MAX);
        let task = tokio::spawn(keep(finder, node, state, reported)).abort_handle();
        Ok(Self { shared: Arc::new(Shared { state: watched, troubles, headers, timing, task }) })
    }

    /// How long things may take.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.shared.timing
    }

    /// Host and version of the server; why there is none, when there is none.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn server(&self) -> Result<(Host, String), String> {
        match &*self.shared.state.borrow() {
            State::Connected(connected) => Ok((connected.host.clone(), connected.version.clone())),
            State::Away(reason) => Err(reason.clone()),
        }
    }

    pub(super) fn headers(&self) -> &Headers {
        &self.shared.headers
    }

    /// The connection, once there is one.
    pub(super) async fn connected(&self, deadline: Instant) -> Result<Connected, CallError> {
        let mut state = self.shared.state.clone();
        let waited = timeout_at(deadline, state.wait_for(|state| matches!(state, State::Connected(_)))).await;
        let gone = "the client has ended";
        let found = match waited {
            Ok(Ok(found)) => found.clone(),
            Ok(Err(_)) => State::Away(gone.to_owned()),
            Err(_) => self.shared.state.borrow().clone(),
        };
        match found {
            State::Connected(connected) => Ok(connected),
            State::Away(reason) => Err(CallError::NotConnected(reason)),
        }
    }

    /// Tells the task what a call met.
    pub(super) fn report(&self, generation: u64, error: &CallError) {
        let not_leader = error.not_leader();
        if not_leader.is_some() || error.is_trouble() {
            // When the queue is full the task has enough to look at.
            let _full = self.shared.troubles.try_send(Trouble { generation, not_leader });
        }
    }
}

fn connected(node: &Node, generation: u64) -> Connected {
    Connected { channel: node.channel.clone(), generation, host: node.host.clone(), version: node.version.clone() }
}

/// Looks at what is reported, and finds the leader again when it has to.
async fn keep(finder: Finder, mut node: Node, state: watch::Sender<State>, mut troubles: mpsc::Receiver<Trouble>) {
    let mut generation = 0;
    while let Some(trouble) = troubles.recv().await {
        if trouble.generation != generation {
            continue;
        }
        let hint = match trouble.not_leader {
            Some(hint) => hint,
            None => {
                let Err(error) = finder.probe(&node).await else {
                    // Whatever was reported meanwhile, the server is there.
                    while troubles.try_recv().is_ok() {}
                    continue;
                };
                tracing::warn!(%error, "the connection to the event store is lost");
                None
            }
        };
        state.send_replace(State::Away(format!("{} is not the leader, or away", node.host)));
        node = find(&finder, hint, &state).await;
        generation += 1;
        tracing::info!(host = %node.host, version = %node.version, "connected to the event store again");
        state.send_replace(State::Connected(connected(&node, generation)));
    }
}

async fn find(finder: &Finder, mut hint: Option<Host>, state: &watch::Sender<State>) -> Node {
    let mut failures = 0;
    loop {
        match finder.find(hint.take()).await {
            Ok(node) => return node,
            Err(error) => {
                failures += 1;
                let pause = backoff::delay(failures);
                tracing::warn!(%error, ?pause, "no event store");
                state.send_replace(State::Away(error.to_string()));
                sleep(pause).await;
            }
        }
    }
}
