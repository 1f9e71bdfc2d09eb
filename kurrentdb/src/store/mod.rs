//! The event store port on KurrentDB: performs the core's effects on the streams `wallet-{id}`.
//!
//! Keeps INV-03 (exact expected revisions), INV-04 (done means that the server said so) and INV-05 (the events' own
//! ids, so a repeat is recognised). A wallet's version n is revision n - 1 of its stream. Idempotency records are not
//! kept here: an append that carries some is refused.
//!
//! | module | owns |
//! |---|---|
//! | `append`, `record` | writes, and how they ended; events as KurrentDB has them |
//! | `streams` | reads of wallets |
//! | `log` | reads of all wallets, in log order, and what a position is |
//! | `ring`, `follow`, `backlog` | the newest events, kept by a subscription; how many a reader has before it |

mod append;
mod backlog;
mod follow;
mod log;
mod record;
mod ring;
mod streams;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::id::Position;

use crate::client::{CallError, Client, ConnectError, ConnectionString, Host, Timing};
use crate::protocol::SUPPORTED_METHODS;
use backlog::Backlog;
use ring::Ring;

/// Every wallet's stream begins so.
const STREAM_PREFIX: &str = "wallet-";

/// How the store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long calls may take.
    pub timing: Timing,
    /// The newest events that are kept in memory for readers of the log, once it is followed.
    pub ring_events: usize,
    /// A subscription that is silent for so long is checked.
    pub watchdog: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { timing: Timing::default(), ring_events: 16_384, watchdog: Duration::from_secs(10) }
    }
}

/// What a look at the server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The member that is spoken to.
    pub host: Host,
    /// Its version.
    pub version: String,
    /// Whether the log is followed and the subscription stands.
    pub following: bool,
}

/// Wallets in KurrentDB; cheap to clone. With the last clone, connection and subscription end.
#[derive(Clone, Debug)]
pub struct EventStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    options: Options,
    ring: Arc<Ring>,
    backlog: Backlog,
    follower: OnceLock<Follower>,
}

#[derive(Debug)]
struct Follower {
    head: watch::Receiver<Position>,
    task: AbortHandle,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EventStore {
    /// Connects to the leader of a cluster, or to a single server, and checks that it is new enough.
    ///
    /// # Errors
    /// [`ConnectError`] says what is wrong.
    pub async fn connect(settings: &ConnectionString, options: Options) -> Result<Self, ConnectError> {
        let client = Client::connect(settings, options.timing).await?;
        let ring = Arc::new(Ring::new(options.ring_events));
        Ok(Self {
            shared: Arc::new(Shared { client, options, ring, backlog: Backlog::default(), follower: OnceLock::new() }),
        })
    }

    /// Follows the log from now on: the receiver is told when it has grown, and a reader that has caught up is served
    /// from memory. Must be called inside the runtime; later calls share the one subscription.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Position> {
        let Shared { client, options, ring, follower, .. } = &*self.shared;
        let follower = follower.get_or_init(|| {
            let (sender, head) = watch::channel(Position(0));
            let following = follow::run(client.clone(), Arc::clone(ring), sender, options.watchdog);
            Follower { head, task: tokio::spawn(following).abort_handle() }
        });
        follower.head.clone()
    }

    /// How many events of the log are after a position (positions say nothing of that, they count bytes). Those that are
    /// not in memory are counted on the server, for half a second at a time: before a long way is counted to its end, and
    /// when it is longer than a million events, the answer is less than there are. It is 0 only when there is none.
    ///
    /// # Errors
    /// [`CallError`] says why the server did not tell.
    pub async fn count_after(&self, position: Position) -> Result<u64, CallError> {
        let Shared { client, ring, backlog, .. } = &*self.shared;
        backlog.count(client, ring, position).await
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// [`CallError`] says why it seems not to be.
    pub async fn health(&self) -> Result<Health, CallError> {
        let methods = self.shared.client.call(&SUPPORTED_METHODS, vec![()]).await?;
        let (host, _) = self.shared.client.server().map_err(CallError::NotConnected)?;
        Ok(Health { host, version: methods.server_version, following: self.shared.ring.is_live() })
    }

    /// Why there is no connection, when there is none; nobody is asked.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.client.server().err()
    }

    /// Performs an effect of the event store port and gives its completion; nothing for any other effect.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        let Shared { client, ring, .. } = &*self.shared;
        Some(match effect {
            Effect::Append(id, append) => Input::Appended(id, append::append(client, ring, &append).await),
            Effect::Load(id, loads) => Input::Loaded(id, streams::load(client, loads).await),
            Effect::FindCommand { effect, wallet, command, not_before } => {
                let found = streams::find_command(client, &wallet, command, not_before).await;
                Input::Found(effect, read(found))
            }
            Effect::ReadStream { effect, wallet, from, to } => {
                Input::StreamRead(effect, read(streams::read(client, &wallet, from, to).await))
            }
            Effect::ReadLog { effect, after, limit } => {
                let events = match ring.after(after, limit) {
                    Some(events) => Ok(events),
                    None => log::read(client, after, limit).await,
                };
                Input::LogRead(effect, read(events))
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::LoadFeederCheckpoint(_)
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::Publish(..)
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::Fetch { .. }
            | Effect::LoadVersions { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. }
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::PublishDead(..) => return None,
        })
    }
}

/// The completion of a read.
fn read<T>(result: Result<T, record::ReadError>) -> Completion<T> {
    match result {
        Ok(value) => Completion::Done(value),
        Err(error) => error.into_completion(),
    }
}
