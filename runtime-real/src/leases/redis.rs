//! Leases in Redis, for several instances: of wallets, and of the lead of the pipeline.
//!
//! A lease is a key that holds its holder's token and expires by itself. One script call takes all wallets of a request,
//! so they are granted or denied at one moment; extending and giving back look at the token first. One Redis server
//! holds all keys (a script may not span the slots of a cluster).
//!
//! A Redis that is away costs speed, never money (the expected revision keeps that): answers are awaited for a short
//! time, and after a failure everything is refused at once for a moment, instead of waiting again and again.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, Script, ScriptInvocation};
use tokio::time::timeout;
use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

use crate::driver::now;

/// How long a connection or an answer is awaited.
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long nothing is asked after a failure.
pub const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(250);
/// The oldest server that the scripts are meant for.
const VERSION_NEEDED: u32 = 6;
/// Wallets in one script call; what is more goes into another.
const WALLETS_PER_CALL_MAX: usize = 4_096;

/// Takes or extends each key that is free or ours; 1 or 0 for each.
const TAKE: &str = "
local granted = {}
for i, key in ipairs(KEYS) do
    local holder = redis.call('GET', key)
    if not holder or holder == ARGV[1] then
        redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
        granted[i] = 1
    else
        granted[i] = 0
    end
end
return granted";

/// Removes each key that is ours.
const GIVE_BACK: &str = "
local given = 0
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then given = given + redis.call('DEL', key) end
end
return given";

/// One holder's access to the leases; a clone is the same holder.
#[derive(Clone)]
pub struct RedisLeases {
    client: Client,
    prefix: Arc<str>,
    token: Arc<str>,
    scripts: Arc<Scripts>,
    state: Arc<Mutex<State>>,
    failures: Arc<AtomicU64>,
}

/// The server is too old.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease server is Redis {found}; {VERSION_NEEDED} or newer is needed")]
pub struct VersionError {
    /// As the server calls itself.
    found: String,
}

struct Scripts {
    take: Script,
    give_back: Script,
}

#[derive(Default)]
struct State {
    connection: Option<ConnectionManager>,
    version: Version,
    /// The last failure, until something works again.
    failure: Option<(Instant, Arc<str>)>,
}

/// What is known of the server's version. One that was away is asked before its first lease, and again after each
/// failure: another server may have taken its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    #[default]
    NotAsked,
    Fine,
    TooOld,
}

/// What health shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisHealth {
    /// How long an answer took; nothing when there was none.
    pub latency: Option<Duration>,
    /// Why there was none.
    pub reason: Option<String>,
}

/// How a question to Redis ended without an answer.
#[derive(Debug)]
enum Trouble {
    /// It was not asked, or it refused: nothing has changed.
    NotDone(String),
    /// It may have been done.
    Unknown(String),
}

impl RedisLeases {
    /// A holder with a token of its own. Nothing is asked of Redis yet: it may be away when the service starts.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(url: &str, prefix: &str) -> Result<Self, RedisError> {
        let scripts = Scripts { take: Script::new(TAKE), give_back: Script::new(GIVE_BACK) };
        // The client encrypts with what the process has chosen, and panics when several could be meant and none is. One that
        // was chosen before stays.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            client: Client::open(url)?,
            prefix: Arc::from(prefix),
            token: token(),
            scripts: Arc::new(scripts),
            state: Arc::default(),
            failures: Arc::default(),
        })
    }

    /// Whether a client could be made of the address.
    ///
    /// # Errors
    /// When the address is none.
    pub fn check_url(url: &str) -> Result<(), RedisError> {
        Client::open(url).map(drop)
    }

    /// Asks the server for its version, when that is not known. One that is away passes, because leases are not needed
    /// to be right, and is asked when it is back; one that does not tell passes for good.
    ///
    /// # Errors
    /// [`VersionError`] when it is too old.
    pub async fn check_version(&self) -> Result<(), VersionError> {
        // Trouble is remembered, and health shows it.
        self.judged_version().await.unwrap_or(Ok(()))
    }

    async fn judged_version(&self) -> Result<Result<(), VersionError>, Trouble> {
        if self.state().version == Version::Fine {
            return Ok(Ok(()));
        }
        let mut connection = self.connection()?;
        let info = async move {
            let info = redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await;
            // Whoever may not ask is not told.
            if info.as_ref().is_err_and(|error| error.code() == Some("NOPERM")) { Ok(String::new()) } else { info }
        };
        let judged = judge_version(&self.answer(info).await?);
        let version = if judged.is_ok() { Version::Fine } else { Version::TooOld };
        let before = std::mem::replace(&mut self.state().version, version);
        if let Err(too_old) = &judged
            && before != Version::TooOld
        {
            tracing::error!("{too_old}; commands go on without leases");
        }
        Ok(judged)
    }

    /// Whether the server is one that can be asked for leases.
    async fn usable(&self) -> Result<(), Trouble> {
        let reason = match self.judged_version().await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(too_old)) => too_old.to_string(),
            // Only the version was asked for: whatever became of that, nothing has changed.
            Err(Trouble::NotDone(reason) | Trouble::Unknown(reason)) => return Err(Trouble::NotDone(reason)),
        };
        self.state().failure = Some((Instant::now(), Arc::from(reason.as_str())));
        Err(Trouble::NotDone(reason))
    }

    /// How many calls for leases had no answer since the start, those that were not even tried after one included.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Another holder over the same Redis.
    #[must_use]
    pub fn another_holder(&self) -> Self {
        Self { token: token(), state: Arc::default(), failures: Arc::default(), ..self.clone() }
    }

    /// Performs [`Effect::Lease`], [`Effect::Unlease`], [`Effect::Lead`] and [`Effect::Resign`]; nothing for others.
    pub async fn perform(&self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Lease { effect, wallets, until } => {
                let keys = wallets.iter().map(|wallet| self.wallet_key(wallet)).collect();
                Some(Input::Leased(effect, self.take(keys, until).await))
            }
            Effect::Lead { effect, until } => {
                let completion = match self.take(vec![self.lead_key()], until).await {
                    Completion::Done(granted) => Completion::Done(granted.first().copied().unwrap_or(false)),
                    Completion::Conflict => Completion::Conflict,
                    Completion::Failed(failure) => Completion::Failed(failure),
                    Completion::Unknown => Completion::Unknown,
                };
                Some(Input::Led(effect, completion))
            }
            Effect::Unlease(wallets) => {
                self.give_back(wallets.iter().map(|wallet| self.wallet_key(wallet)).collect()).await;
                None
            }
            Effect::Resign => {
                self.give_back(vec![self.lead_key()]).await;
                None
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Load(..)
            | Effect::FindCommand { .. }
            | Effect::Append(..)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
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
            | Effect::LoadHeld { .. } => None,
        }
    }

    /// Asks Redis whether it is there.
    pub async fn health(&self) -> RedisHealth {
        let asked = Instant::now();
        let answer = self.ping().await;
        match answer {
            Ok(()) => RedisHealth { latency: Some(asked.elapsed()), reason: None },
            Err(Trouble::NotDone(reason) | Trouble::Unknown(reason)) => {
                RedisHealth { latency: None, reason: Some(reason) }
            }
        }
    }

    async fn ping(&self) -> Result<(), Trouble> {
        self.usable().await?;
        let mut connection = self.connection()?;
        self.answer(async move { redis::cmd("PING").query_async::<String>(&mut connection).await }).await.map(drop)
    }

    fn wallet_key(&self, wallet: &WalletId) -> String {
        format!("{}:lease:{wallet}", self.prefix)
    }

    fn lead_key(&self) -> String {
        format!("{}:lead", self.prefix)
    }

    async fn take(&self, keys: Vec<String>, until: Timestamp) -> Completion<Vec<bool>> {
        let mut granted = Vec::with_capacity(keys.len());
        for keys in keys.chunks(WALLETS_PER_CALL_MAX) {
            let millis = until.since(now()).as_millis();
            if millis == 0 {
                // Already over; Redis would refuse an expiry in the past.
                granted.resize(granted.len() + keys.len(), false);
                continue;
            }
            let mut call = self.scripts.take.prepare_invoke();
            call.key(keys).arg(&*self.token).arg(u64::try_from(millis).unwrap_or(u64::MAX));
            match self.call::<Vec<u8>>(call).await {
                Ok(answers) if answers.len() == keys.len() => granted.extend(answers.into_iter().map(|one| one == 1)),
                Ok(_) => return Completion::Unknown,
                Err(trouble) => return trouble.into(),
            }
        }
        Completion::Done(granted)
    }

    /// Leases that cannot be given back expire.
    async fn give_back(&self, keys: Vec<String>) {
        for keys in keys.chunks(WALLETS_PER_CALL_MAX) {
            let mut call = self.scripts.give_back.prepare_invoke();
            call.key(keys).arg(&*self.token);
            let _expires = self.call::<u64>(call).await;
        }
    }

    async fn call<T: redis::FromRedisValue>(&self, call: ScriptInvocation<'_>) -> Result<T, Trouble> {
        let answer = self.try_call(call).await;
        if answer.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn try_call<T: redis::FromRedisValue>(&self, call: ScriptInvocation<'_>) -> Result<T, Trouble> {
        if let Some((at, reason)) = &self.state().failure
            && at.elapsed() < PAUSE_AFTER_FAILURE
        {
            return Err(Trouble::NotDone(reason.to_string()));
        }
        self.usable().await?;
        let mut connection = self.connection()?;
        self.answer(async move { call.invoke_async::<T>(&mut connection).await }).await
    }

    /// Awaits an answer for a short time, and remembers how that went.
    async fn answer<T>(&self, question: impl Future<Output = Result<T, RedisError>>) -> Result<T, Trouble> {
        let trouble = match timeout(ANSWER_TIMEOUT, question).await {
            Ok(Ok(answer)) => {
                self.state().failure = None;
                return Ok(answer);
            }
            Ok(Err(error)) => trouble(&error),
            Err(_) => Trouble::Unknown(format!("no answer in {} ms", ANSWER_TIMEOUT.as_millis())),
        };
        let mut state = self.state();
        let (Trouble::NotDone(reason) | Trouble::Unknown(reason)) = &trouble;
        if state.failure.is_none() {
            tracing::warn!(%reason, "Redis does not answer; commands go on without leases");
        }
        state.failure = Some((Instant::now(), Arc::from(reason.as_str())));
        if state.version == Version::Fine {
            state.version = Version::NotAsked;
        }
        if matches!(trouble, Trouble::Unknown(_)) {
            // A connection that swallows questions looks alive from here: the next question takes a new one.
            state.connection = None;
        }
        Err(trouble)
    }

    fn connection(&self) -> Result<ConnectionManager, Trouble> {
        let mut state = self.state();
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(self.client.clone(), config)
            .map_err(|error| Trouble::NotDone(error.to_string()))?;
        state.connection = Some(connection.clone());
        Ok(connection)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at what the server says of itself.
fn judge_version(info: &str) -> Result<(), VersionError> {
    let Some(found) = info.lines().find_map(|line| line.strip_prefix("redis_version:")).map(str::trim) else {
        return Ok(());
    };
    let major = found.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < VERSION_NEEDED) {
        return Err(VersionError { found: found.to_owned() });
    }
    Ok(())
}

/// An answer that is an error, or a connection that was refused, tells that nothing was done; all else does not.
fn trouble(error: &RedisError) -> Trouble {
    let reason = error.to_string();
    if error.code().is_some() || error.is_connection_refusal() {
        Trouble::NotDone(reason)
    } else {
        Trouble::Unknown(reason)
    }
}

impl<T> From<Trouble> for Completion<T> {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotDone(reason) => Self::Failed(Failure { kind: FailureKind::Unavailable, reason }),
            Trouble::Unknown(_) => Self::Unknown,
        }
    }
}

/// What tells holders apart. Without randomness from the system, the process and the time do.
fn token() -> Arc<str> {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        let unique = now().as_micros() as u64 ^ (u64::from(std::process::id()) << 40);
        random[..8].copy_from_slice(&unique.to_le_bytes());
    }
    Arc::from(format!("{:032x}", u128::from_le_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_says_that_it_is_older_than_six_is_refused_by_its_version() {
        let said = |version: &str| format!("# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n");
        let refused = judge_version(&said("5.0.14")).unwrap_err();
        assert_eq!(refused.to_string(), "the lease server is Redis 5.0.14; 6 or newer is needed");
        for version in ["6.0.0", "7.4.1", "10.0.0", "unstable"] {
            assert_eq!(judge_version(&said(version)), Ok(()), "{version}");
        }
        assert_eq!(judge_version("# Server\r\n"), Ok(()), "one that does not tell");
    }
}
