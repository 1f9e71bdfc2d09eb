//! The machine's state, its entry points, and what it says to the runtime.
//!
//! Owns what the files beside it share: commands, the append that is forming and those in flight, effects that are
//! awaited, retries. Nothing depends on hash order (INV-13). A command is given up as "not done" only when no other
//! attempt can have carried it out (INV-05). What happens at each step is left to the file that is named for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::slot::{CommandSlot, SlotId, Slots};
use super::takeover::Takeover;
use super::{Answer, FinalAnswer, KeyHash, Request, Unavailable};
use crate::config::{Config, IdempotencyMode};
use crate::effect::{Append, Completion, Effect, EffectQueue, KeyRecord, Loaded, Reservation};
use crate::event::Event;
use crate::id::{CommandId, EffectId, WalletId};
use crate::index::{Index, index, pairs, seeded};
use crate::slab::Slab;
use crate::time::Timestamp;
use crate::wallet::EVENTS_PER_OPERATION_MAX;

/// Idempotency, leases, loading, deciding and appending, for all commands of a node. See the module's documentation.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommandMachine {
    pub(super) config: Config,
    pub(super) now: Timestamp,
    pub(super) draining: bool,
    /// Counts arrivals and loads, to tell which came first.
    pub(super) serial: u64,
    pub(super) commands: Slab<Command>,
    pub(super) slots: Slots,
    /// Keys of commands that have no final answer yet.
    #[serde(with = "seeded")]
    pub(super) keys: Index<KeyHash, CommandSlot>,
    /// Commands that hold a reservation, which another instance may take over at any time.
    pub(super) reserved: BTreeMap<CommandId, CommandSlot>,
    pub(super) draft: Draft,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) pending: BTreeMap<EffectId, Pending>,
    #[serde(with = "pairs")]
    pub(super) retries: BTreeMap<(Timestamp, u64), Retry>,
    /// Slots whose front has changed and must be looked at.
    pub(super) changed: Vec<SlotId>,
    pub(super) to_reserve: Vec<CommandSlot>,
    pub(super) to_lease: Vec<SlotId>,
    pub(super) to_load: Vec<SlotId>,
    pub(super) to_store: Vec<Storing>,
    pub(super) to_release: Vec<(KeyHash, CommandId)>,
    /// The newest reservation, and when it was asked for.
    pub(super) reserving: Option<(EffectId, Timestamp)>,
    /// When the answers that have gathered are stored.
    pub(super) store_at: Option<Timestamp>,
    /// Leased wallets that fell quiet, and since when.
    pub(super) quiet: VecDeque<(Timestamp, SlotId)>,
    pub(super) expiry_check: Option<Timestamp>,
    pub(super) effects: EffectQueue,
    /// What happened so far, for metrics.
    pub(super) statistics: Statistics,
}

/// Counters since the node began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Commands submitted.
    pub submitted: u64,
    /// Appends sent to the event store, repetitions not counted.
    pub appends: u64,
    /// Commands in those appends.
    pub appended_commands: u64,
    /// Appends that met another revision than expected.
    pub conflicts: u64,
    /// Appends whose outcome was unknown at first.
    pub unknown_appends: u64,
    /// Leases that were not granted at once.
    pub lease_waits: u64,
    /// Commands with an idempotency key.
    pub keyed: u64,
    /// Answers that were replayed.
    pub replayed: u64,
}

/// The slots of the wallets that one operation names; the same one twice when there is one.
pub(super) type Targets = [SlotId; EVENTS_PER_OPERATION_MAX];

/// One command on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) request: Request,
    pub(super) slots: SmallVec<[SlotId; 2]>,
    /// For each operation of a batch, the slots of its wallets.
    pub(super) targets: Vec<Targets>,
    /// How many of its slots are not free for it yet.
    pub(super) waiting: usize,
    pub(super) arrived: u64,
    pub(super) deadline: Timestamp,
    /// The id that it came with, under which it reserved its key or took it over.
    pub(super) attempt: CommandId,
    pub(super) decisions: u32,
    pub(super) phase: Phase,
    pub(super) takeover: Option<Box<Takeover>>,
    pub(super) answer: Option<FinalAnswer>,
}

/// Where a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Its idempotency key is being looked up.
    Reserving,
    /// It waits for its wallets.
    Queued,
    /// It is decided, and its append is forming or in flight.
    Appending,
    /// It was refused, and the refusal is being stored under its key.
    Storing,
    /// Its client was told that the outcome is unknown; it is still being resolved.
    Abandoned,
}

/// The append that is forming.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Draft {
    pub(super) commands: Vec<CommandSlot>,
    pub(super) slots: Vec<SlotId>,
    pub(super) events: usize,
}

/// An append in flight.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Flight {
    pub(super) commands: Vec<CommandSlot>,
    pub(super) slots: Vec<SlotId>,
    pub(super) append: Arc<Append>,
    /// Every attempt: the completion of any of them settles the append.
    pub(super) attempts: Vec<EffectId>,
}

/// An answer on its way into the idempotency store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Storing {
    pub(super) record: KeyRecord,
    /// The command that waits for it, if its client has no answer yet.
    pub(super) command: Option<CommandSlot>,
    pub(super) attempts: u32,
}

/// Whose completion is awaited.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// When the outcome counts as unknown; nothing once it did.
    pub(super) deadline: Option<Timestamp>,
    pub(super) of: PendingEffect,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum PendingEffect {
    Reserve(Vec<CommandSlot>),
    Lease(Vec<SlotId>, Timestamp),
    Load(Vec<SlotId>, u64),
    Find(CommandSlot),
    Append(u64),
    Store(Vec<Storing>),
}

/// A completion of one of the machine's effects, by what the effect was.
#[derive(Debug)]
pub(crate) enum Completed {
    Reserved(Completion<Vec<Reservation>>),
    Leased(Completion<Vec<bool>>),
    Loaded(Completion<Vec<Loaded>>),
    Found(Completion<Vec<Event>>),
    Appended(Completion<()>),
    Stored(Completion<()>),
}

/// What is to be done again, later.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Retry {
    Lease(SlotId),
    Load(SlotId, u64),
    Append(u64),
    Store(Vec<Storing>),
    Find(CommandSlot),
}

/// Why [`crate::node::Node::poll_timeout`] wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimerReason {
    /// An effect has no completion yet.
    EffectTimeout,
    /// Something is to be tried again.
    Retry,
    /// Commands may have waited too long.
    RequestTimeout,
    /// A lease may be given back.
    LeaseLinger,
    /// A machine of the pipeline looks for work.
    Poll,
}

impl CommandMachine {
    pub(crate) fn new(config: Config, now: Timestamp, machine: u64) -> Self {
        let (capacity, seed) = (config.wallets_cached_max, config.hash_seed);
        Self {
            config,
            now,
            draining: false,
            serial: 0,
            commands: Slab::new(),
            slots: Slots::new(capacity, seed),
            keys: index(seed),
            reserved: BTreeMap::new(),
            draft: Draft::default(),
            flights: BTreeMap::new(),
            pending: BTreeMap::new(),
            retries: BTreeMap::new(),
            changed: Vec::new(),
            to_reserve: Vec::new(),
            to_lease: Vec::new(),
            to_load: Vec::new(),
            to_store: Vec::new(),
            to_release: Vec::new(),
            reserving: None,
            store_at: None,
            quiet: VecDeque::new(),
            expiry_check: None,
            effects: EffectQueue::new(machine),
            statistics: Statistics::default(),
        }
    }

    /// Counters since the node began.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The settings of the node.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Commands that have no answer yet.
    #[must_use]
    pub fn commands_pending(&self) -> usize {
        self.commands.len()
    }

    /// Wallets in the cache.
    #[must_use]
    pub fn wallets_cached(&self) -> usize {
        self.slots.len()
    }

    /// What is known of a wallet, as plain data; nothing when it is not in the cache.
    #[must_use]
    pub fn wallet_state(&self, wallet: &WalletId) -> Option<impl Serialize + use<'_>> {
        self.slots.find(wallet).map(|slot| &self.slots[slot])
    }

    /// Time is checked before anything else: a process that slept must not decide a command whose time is up, because
    /// another instance may have taken it over.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.expiry_check.is_some_and(|at| at <= self.now) {
            self.expire_commands();
        }
    }

    pub(crate) fn submit(&mut self, request: Request) {
        self.statistics.submitted += 1;
        if self.draining {
            return self.reply(&request, Answer::Unavailable(Unavailable::ShuttingDown));
        }
        if self.commands.len() >= self.config.commands_pending_max {
            return self.reply(&request, Answer::Unavailable(Unavailable::Overloaded));
        }
        self.serial += 1;
        let deadline = self.now.plus(self.config.request_timeout);
        self.expiry_check.get_or_insert(deadline);
        let (idempotency, attempt) = (request.idempotency, request.command_id);
        let command = self.commands.insert(Command {
            request,
            slots: SmallVec::new(),
            targets: Vec::new(),
            waiting: 0,
            arrived: self.serial,
            deadline,
            attempt,
            decisions: 0,
            phase: Phase::Queued,
            takeover: None,
            answer: None,
        });
        match idempotency {
            Some(idempotency) => self.reserve(command, idempotency),
            None => self.enqueue(command),
        }
    }

    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// The next effect. When there is none, what has gathered is turned into effects first: the append that is
    /// forming, and the batched reads. So every input handled since the last drain shares one append.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(effect) = self.effects.pop() {
            return Some(effect);
        }
        self.process_changed();
        while !self.draft.commands.is_empty() {
            self.dispatch_draft();
            self.process_changed();
        }
        self.flush_reserves();
        self.flush_leases();
        self.flush_loads();
        self.flush_answers();
        self.effects.pop()
    }

    pub(super) fn reply(&mut self, request: &Request, answer: Answer) {
        self.effects.push(Effect::Reply { request: request.id, answer });
    }

    /// Answers a command that did not happen, and forgets it. What a command took over from a dead attempt may have
    /// happened in that attempt, and what another instance took over may happen there: then nobody knows yet, and the
    /// key stays reserved for the next retry.
    pub(super) fn give_up(&mut self, command: CommandSlot, reason: Unavailable) {
        let is_decided = self.commands[command].answer.as_ref().is_some_and(|answer| answer.outcome.is_ok());
        let is_shared = is_decided || self.commands[command].takeover.is_some() || self.may_be_taken_over(command);
        let removed = self.forget(command);
        if let Some(idempotency) = removed.request.idempotency
            && !is_shared
        {
            self.to_release.push((idempotency.key, removed.attempt));
        }
        if removed.phase != Phase::Abandoned {
            let answer = if is_shared { Answer::OutcomeUnknown } else { Answer::Unavailable(reason) };
            self.reply(&removed.request, answer);
        }
    }

    /// Whether another instance may run this command by now, because its reservation is dead by the store's clock. That
    /// clock may run faster than ours, so half of the time is already too long.
    pub(super) fn may_be_taken_over(&self, command: CommandSlot) -> bool {
        let Command { request, deadline, .. } = &self.commands[command];
        let age = self.now.since(deadline.minus(self.config.request_timeout));
        let is_reserved = request.idempotency.is_some() && self.config.idempotency == IdempotencyMode::Separate;
        is_reserved && age >= self.config.takeover_after / 2
    }

    /// Removes a command that is in no queue any more.
    pub(super) fn forget(&mut self, command: CommandSlot) -> Command {
        let removed = self.commands.remove(command);
        if let Some(idempotency) = removed.request.idempotency {
            self.keys.swap_remove(&idempotency.key);
            self.reserved.remove(&removed.request.command_id);
        }
        removed
    }

    pub(super) fn expect(&mut self, of: PendingEffect) -> EffectId {
        let effect = self.effects.id();
        let deadline = Some(self.now.plus(self.config.effect_timeout));
        self.pending.insert(effect, Pending { deadline, of });
        effect
    }

    pub(super) fn retry_later(&mut self, attempts: u32, retry: Retry) {
        self.serial += 1;
        let at = self.now.plus(super::timers::backoff(attempts, self.serial));
        self.retries.insert((at, self.serial), retry);
    }
}
