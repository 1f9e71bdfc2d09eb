//! Every bound of the engine, by name, with its unit.
//!
//! Nothing in the core grows without one of these. What operators may tune is in [`crate::config::Config`], whose
//! defaults stand here.

use std::time::Duration;

/// Largest single amount, in whole units of its currency (inclusive).
pub const AMOUNT_MAX: u64 = 1_000_000_000_000;
/// Largest balance of a wallet, in whole units of its currency (inclusive). In minor units, at up to four decimal places,
/// it fits into 64 bits with sign.
pub const BALANCE_MAX: u64 = 900_000_000_000_000;

/// Longest wallet, owner and correlation id, in characters.
pub const ID_LENGTH_MAX: usize = 128;
/// Longest description, in characters (not bytes).
pub const DESCRIPTION_LENGTH_MAX: usize = 500;
/// Most operations in one batch request.
pub const BATCH_OPERATIONS_MAX: usize = 1_000;
/// Most events one command can cause: an event id holds the event's index in 12 bits, and 0 is the command itself.
pub const EVENTS_PER_COMMAND_MAX: usize = 4_095;

/// Commands accepted and not yet answered, above which new ones are refused as unavailable.
pub const COMMANDS_PENDING_MAX: usize = 65_536;
/// Events in one append. A group commit stops growing here (one command may exceed it on its own).
pub const APPEND_EVENTS_MAX: usize = 8_192;
/// Wallets whose state is kept in memory between commands.
pub const WALLETS_CACHED_MAX: usize = 262_144;
/// How often a command is decided again after a conflict before it is refused as unavailable.
pub const DECISIONS_PER_COMMAND_MAX: u32 = 16;
/// How often a load, a lease or an idempotency request is repeated after a failure, while a command waits for it.
pub const EFFECT_ATTEMPTS_MAX: u32 = 5;
/// First delay before an effect is repeated; doubles with every attempt.
pub const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);
/// Longest delay between two attempts of an effect.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// How long a command may take before its client is told that it did not happen, or that nobody knows.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the core waits for the completion of an effect before it treats the outcome as unknown.
pub const EFFECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a wallet lease lasts without renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(10);
/// A quiet wallet's lease is given back after this time.
pub const LEASE_LINGER: Duration = Duration::from_secs(2);
/// How often a denied lease is asked for again before the command goes on without it: the expected revision, not
/// the lease, keeps the money right. Few: who holds a busy wallet keeps it for longer than anybody should wait.
pub const LEASE_ATTEMPTS_MAX: u32 = 2;
/// How long the lead of the pipeline lasts without renewal.
pub const LEADERSHIP_DURATION: Duration = Duration::from_secs(5);
/// How often the lead is renewed by who has it, and asked for by who has not.
pub const LEADERSHIP_RENEWAL: Duration = Duration::from_secs(1);
/// How long an idempotency record is kept (the service's `IDEMPOTENCY_TTL_HOURS`).
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);
/// A takeover of a dead idempotency record looks this much further back than the record's own time, because clocks
/// of two instances may differ.
pub const TAKEOVER_CLOCK_MARGIN: Duration = Duration::from_secs(600);

/// Answers that gather before they are stored, at most.
pub const ANSWERS_TOGETHER_MAX: usize = 512;

/// Events read from the log, written to the outbox, or published at once.
pub const PIPELINE_BATCH_MAX: usize = 4_096;
/// After a batch that was not full, the feeder lets at least this much time pass before it reads again.
pub const FEEDER_PACE_MIN: Duration = Duration::from_millis(10);
/// And this much more for each event of that batch: larger batches cost far less for each event, so the pace follows
/// the load.
pub const FEEDER_PACE_PER_EVENT: Duration = Duration::from_micros(20);
/// But never more than this: with the time that a batch takes, the lag stays well below a second.
pub const FEEDER_PACE_MAX: Duration = Duration::from_millis(80);
/// Partitions of the `wallet-events` topic.
pub const PARTITIONS: u16 = 10;
/// Attempts of a consumer or of the relay at one event before the event is a dead letter.
pub const DELIVERY_ATTEMPTS_MAX: u32 = 8;
/// Wallets whose applied version a projector keeps in memory.
pub const PROJECTED_VERSIONS_CACHED_MAX: usize = 262_144;
