//! What a runtime may choose about a node. The defaults are the named limits.
//!
//! Fixed for the life of a node, and written into recordings, so that a replay runs on the same settings (INV-13). The
//! default is one sole writer without a pipeline. What operators may set is decided in `runtime-real/src/config/`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Where idempotency records are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdempotencyMode {
    /// In the same durable write as the events: [`crate::effect::Append::records`]. Nothing can be left half way.
    InAppend,
    /// In a store of their own: reserved before, completed after. An attempt that dies in between is taken over.
    Separate,
}

/// How long effects gather before they are asked for, where each of them costs a server much more than one more thing in
/// it. Nothing gathers by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// New keys wait while a reservation is under way, but no longer than this; they go together then.
    pub reservations: Duration,
    /// Answers that events vouch for, and that nobody waits for, are stored together so long after the first of them.
    pub answers: Duration,
    /// The feeder's shortest wait after a batch that was not full.
    pub feeder: Duration,
    /// A projector's wait after a batch that was not full.
    pub projectors: Duration,
}

impl Gathering {
    /// Where each effect is a few trips to servers, whatever is in it. A lone command or event waits for nothing: only
    /// what comes while others are under way, or right behind them, does.
    pub const BEFORE_SERVERS: Self = Self {
        reservations: Duration::from_millis(50),
        answers: Duration::from_millis(20),
        feeder: Duration::from_millis(25),
        projectors: Duration::from_millis(15),
    };
}

/// The settings of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Whether no other process writes to the event store. Then the cached state of a wallet is always current, and a
    /// refusal needs no look at the store.
    pub sole_writer: bool,
    /// Where idempotency records are decided.
    pub idempotency: IdempotencyMode,
    /// Whether wallets are leased before they are written to.
    pub leases: bool,
    /// See [`limits::COMMANDS_PENDING_MAX`].
    pub commands_pending_max: usize,
    /// See [`limits::APPEND_EVENTS_MAX`].
    pub append_events_max: usize,
    /// See [`limits::WALLETS_CACHED_MAX`].
    pub wallets_cached_max: usize,
    /// See [`limits::REQUEST_TIMEOUT`].
    pub request_timeout: Duration,
    /// See [`limits::EFFECT_TIMEOUT`].
    pub effect_timeout: Duration,
    /// See [`limits::IDEMPOTENCY_TTL`].
    pub idempotency_ttl: Duration,
    /// A pending idempotency record older than this belongs to a dead attempt. Longer than any attempt can live.
    pub takeover_after: Duration,
    /// Seed of the hash tables. It changes no behaviour (nothing iterates in hash order), only which keys collide: a
    /// random one keeps clients from choosing ids that do.
    pub hash_seed: u64,
    /// Whether other instances run feeder and relay too, so that one of them is to lead.
    pub leadership: bool,
    /// What waits for more of its kind.
    #[serde(default)]
    pub gathering: Gathering,
    /// Which of the pipeline's machines this node runs.
    pub roles: Roles,
}

/// The machines that a node runs beside or instead of the command machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Event store → outbox.
    pub feeder: bool,
    /// Outbox → topic.
    pub relay: bool,
    /// Topic → read model and ledger.
    pub projectors: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sole_writer: true,
            idempotency: IdempotencyMode::InAppend,
            leases: true,
            commands_pending_max: limits::COMMANDS_PENDING_MAX,
            append_events_max: limits::APPEND_EVENTS_MAX,
            wallets_cached_max: limits::WALLETS_CACHED_MAX,
            request_timeout: limits::REQUEST_TIMEOUT,
            effect_timeout: limits::EFFECT_TIMEOUT,
            idempotency_ttl: limits::IDEMPOTENCY_TTL,
            takeover_after: limits::REQUEST_TIMEOUT * 3,
            hash_seed: 0,
            leadership: false,
            gathering: Gathering::default(),
            roles: Roles { feeder: false, relay: false, projectors: false },
        }
    }
}
