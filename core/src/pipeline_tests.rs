//! Feeder, relay and projectors against a database, a topic and a log in memory, with faults at every step.

// Tests pick out the effects they are about.
#![allow(clippy::wildcard_enum_match_arm)]

mod delivery;
mod faults;
mod sequences;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Config, Roles};
use crate::currency::Currency;
use crate::effect::{Completion, Effect, Failure, FailureKind, Input, RelayProgress};
use crate::event::{Event, Fact, Recorded};
use crate::id::{CommandId, CorrelationId, EventId, OwnerId, Position, Version, WalletId};
use crate::limits::{DELIVERY_ATTEMPTS_MAX, PARTITIONS};
use crate::money::Money;
use crate::node_twin::Twin as Node;
use crate::projector::{
    Consumer, HeldEvent, LedgerEntry, Message, PartitionProgress, Projection, WalletChange, message_of, partition_of,
};
use crate::time::Timestamp;
use crate::wallet::Wallet;

struct World {
    config: Config,
    node: Node,
    now: Timestamp,
    log: Vec<Recorded>,
    outbox: Vec<Recorded>,
    feeder: Position,
    relay: Position,
    topic: Vec<Message>,
    offsets: BTreeMap<(Consumer, u16), u64>,
    rows: BTreeMap<WalletId, Wallet>,
    ledger: Vec<LedgerEntry>,
    held: Vec<HeldEvent>,
    /// Events that the broker or the database refuses.
    poison: BTreeSet<(Consumer, WalletId, Version)>,
    /// Events that the broker acknowledges and loses.
    lost: BTreeSet<(WalletId, Version)>,
    /// The dead-letter topic.
    announced: Vec<(Consumer, EventId)>,
    /// Whether the lead is given to the node.
    granted: bool,
}

fn event(name: &str, version: u64) -> Event {
    let usd = Currency::parse("USD").unwrap();
    let command_id =
        CommandId::new(Timestamp::from_micros(0), version * 1_000 + name.bytes().map(u64::from).sum::<u64>());
    Event {
        event_id: command_id.event_id(0),
        wallet_id: WalletId::parse(name).unwrap(),
        version: Version(version),
        occurred_at: Timestamp::from_micros(version as i64),
        currency: usd,
        amount: Money::parse("1", usd).unwrap(),
        balance: Money::parse(&version.to_string(), usd).unwrap(),
        description: None,
        fact: if version == 1 {
            Fact::Created { owner_id: OwnerId::parse("o").unwrap() }
        } else {
            Fact::Credited { transfer: None }
        },
        command_id,
        correlation_id: CorrelationId::parse("c").unwrap(),
        trace_parent: None,
    }
}

fn config() -> Config {
    Config { roles: Roles { feeder: true, relay: true, projectors: true }, ..Config::default() }
}

fn unavailable() -> Failure {
    Failure { kind: FailureKind::Unavailable, reason: "away".to_owned() }
}

fn rejected() -> Failure {
    Failure { kind: FailureKind::Rejected, reason: "poison".to_owned() }
}

impl World {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let mut world = Self {
            node: Node::new(config.clone(), now),
            config,
            now,
            log: Vec::new(),
            outbox: Vec::new(),
            feeder: Position(0),
            relay: Position(0),
            topic: Vec::new(),
            offsets: BTreeMap::new(),
            rows: BTreeMap::new(),
            ledger: Vec::new(),
            held: Vec::new(),
            poison: BTreeSet::new(),
            lost: BTreeSet::new(),
            announced: Vec::new(),
            granted: true,
        };
        world.assign();
        world
    }

    fn assign(&mut self) {
        for consumer in [Consumer::ReadModel, Consumer::Ledger] {
            self.node.handle(self.now, Input::PartitionsAssigned(consumer, (0..PARTITIONS).collect()));
        }
    }

    fn restart(&mut self) {
        self.node = Node::new(self.config.clone(), self.now);
        self.assign();
    }

    /// The next event of a wallet happens.
    fn happen(&mut self, name: &str) {
        let version = self.log.iter().filter(|one| one.event.wallet_id.as_str() == name).count() as u64 + 1;
        let position = Position(self.log.len() as u64 + 1);
        self.log.push(Recorded { position, event: event(name, version) });
        self.node.handle(self.now, Input::LogAdvanced(position));
    }

    /// Performs everything, honestly, for this many seconds.
    fn run(&mut self, seconds: u64) {
        self.run_with(seconds, &mut |world, effect| vec![world.perform(effect)]);
    }

    /// Lets this much time pass, with completions as they are given.
    fn run_with(&mut self, seconds: u64, complete: &mut impl FnMut(&mut Self, Effect) -> Vec<Input>) {
        let end = self.now.plus(std::time::Duration::from_secs(seconds));
        while self.now < end {
            self.step_with(complete);
        }
    }

    fn step(&mut self) {
        self.step_with(&mut |world, effect| vec![world.perform(effect)]);
    }

    fn step_with(&mut self, complete: &mut impl FnMut(&mut Self, Effect) -> Vec<Input>) {
        let effects: Vec<Effect> = std::iter::from_fn(|| self.node.poll_effect()).collect();
        let idle = effects.is_empty();
        for effect in effects {
            let published = matches!(effect, Effect::Publish(..));
            for input in complete(self, effect) {
                self.node.handle(self.now, input);
            }
            if published {
                self.node.handle(self.now, Input::MessagesAvailable(Consumer::ReadModel));
                self.node.handle(self.now, Input::MessagesAvailable(Consumer::Ledger));
            }
        }
        if idle {
            let (at, _) = self.node.poll_timeout().expect("an idle node looks for work from time to time");
            assert!(at > self.now, "a timer that has passed must do something");
            self.now = at;
            self.node.handle_timeout(self.now);
        }
    }

    fn held_wallets(&self, consumer: Consumer) -> Vec<WalletId> {
        let wallets: BTreeSet<_> =
            self.held.iter().filter(|one| one.consumer == consumer).map(|one| one.wallet_id.clone()).collect();
        wallets.into_iter().collect()
    }

    fn perform(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::LoadFeederCheckpoint(id) => Input::FeederCheckpoint(id, Completion::Done(self.feeder)),
            Effect::ReadLog { effect, after, limit } => {
                let events = self.log.iter().filter(|one| one.position > after).take(limit).cloned().collect();
                Input::LogRead(effect, Completion::Done(events))
            }
            Effect::WriteOutbox { effect, expected, events, checkpoint } => {
                Input::OutboxWritten(effect, self.write_outbox(expected, &events, checkpoint))
            }
            Effect::LoadRelayProgress(id) => {
                let held_wallets = self.held_wallets(Consumer::Relay);
                Input::RelayProgress(id, Completion::Done(RelayProgress { checkpoint: self.relay, held_wallets }))
            }
            Effect::ReadOutbox { effect, after, limit } => {
                let rows = self.outbox.iter().filter(|one| one.position > after).take(limit).cloned().collect();
                Input::OutboxRead(effect, Completion::Done(rows))
            }
            Effect::Publish(id, events) => Input::Published(id, Completion::Done(self.publish(&events, None))),
            Effect::Lead { effect, .. } => Input::Led(effect, Completion::Done(self.granted)),
            Effect::PublishDead(id, events) => {
                self.announced.extend(events.iter().map(|one| (one.consumer, one.event_id)));
                Input::DeadPublished(id, Completion::Done(()))
            }
            Effect::MarkPublished { effect, expected, checkpoint, held, released, .. } => {
                let completion = if expected == self.relay {
                    self.relay = checkpoint;
                    self.hold(Consumer::Relay, held, &released);
                    Completion::Done(())
                } else {
                    Completion::Conflict
                };
                Input::PublishedMarked(effect, completion)
            }
            other => self.perform_projection(other),
        }
    }

    fn perform_projection(&mut self, effect: Effect) -> Input {
        match effect {
            Effect::LoadProgress { effect, consumer, partitions } => {
                let progress = partitions.into_iter().map(|partition| PartitionProgress {
                    partition,
                    offset: self.offsets.get(&(consumer, partition)).copied().unwrap_or(0),
                    held_wallets: self
                        .held_wallets(consumer)
                        .into_iter()
                        .filter(|wallet| partition_of(wallet) == partition)
                        .collect(),
                });
                Input::Progress(effect, Completion::Done(progress.collect()))
            }
            Effect::Fetch { effect, after, limit, .. } => {
                let after: BTreeMap<u16, u64> = after.into_iter().collect();
                let wanted = |one: &&Message| after.get(&one.partition).is_some_and(|offset| one.offset > *offset);
                let messages = self.topic.iter().filter(wanted).take(limit).cloned().collect();
                Input::Fetched(effect, Completion::Done(messages))
            }
            Effect::LoadVersions { effect, consumer, wallets } => {
                let versions = wallets.iter().map(|wallet| self.version(consumer, wallet)).collect();
                Input::Versions(effect, Completion::Done(versions))
            }
            Effect::ReadStream { effect, wallet, from, to } => {
                let wanted =
                    |one: &&Recorded| one.event.wallet_id == wallet && (from..=to).contains(&one.event.version);
                let events = self.log.iter().filter(wanted).map(|one| one.event.clone()).collect();
                Input::StreamRead(effect, Completion::Done(events))
            }
            Effect::Project { effect, consumer, changes, checkpoints, held, released, .. } => {
                Input::Projected(effect, self.project(consumer, changes, &checkpoints, held, &released))
            }
            Effect::LoadHeld { effect, consumer, wallet } => {
                let mut held: Vec<_> = self
                    .held
                    .iter()
                    .filter(|one| one.consumer == consumer && one.wallet_id == wallet)
                    .cloned()
                    .collect();
                held.sort_by_key(|one| one.version);
                Input::HeldLoaded(effect, Completion::Done(held))
            }
            other => panic!("not an effect of the pipeline: {other:?}"),
        }
    }

    fn write_outbox(
        &mut self,
        expected: Position,
        events: &Arc<Vec<Recorded>>,
        checkpoint: Position,
    ) -> Completion<()> {
        if expected != self.feeder {
            return Completion::Conflict;
        }
        self.outbox.extend(events.iter().cloned());
        self.feeder = checkpoint;
        Completion::Done(())
    }

    /// Publishes events, but none of a wallet that the broker does not take for now.
    fn publish(&mut self, events: &[Recorded], away: Option<&WalletId>) -> Vec<Option<Failure>> {
        let mut failed: BTreeSet<WalletId> = BTreeSet::new();
        let mut publish = |one: &Recorded| {
            let (wallet, version) = (one.event.wallet_id.clone(), one.event.version);
            if away == Some(&wallet) {
                return Some(unavailable());
            }
            if failed.contains(&wallet) || self.poison.contains(&(Consumer::Relay, wallet.clone(), version)) {
                failed.insert(wallet);
                return Some(rejected());
            }
            if self.lost.contains(&(wallet, version)) {
                return None;
            }
            let mut message = message_of(one.position, one.event.clone());
            message.offset = self.topic.last().map_or(0, |last| last.offset) + 1;
            self.topic.push(message);
            None
        };
        events.iter().map(&mut publish).collect()
    }

    fn version(&self, consumer: Consumer, wallet: &WalletId) -> Version {
        match consumer {
            Consumer::ReadModel => self.rows.get(wallet).map(|row| row.version).unwrap_or_default(),
            Consumer::Ledger | Consumer::Relay => {
                let own = self.ledger.iter().filter(|entry| entry.wallet_id == *wallet);
                own.map(|entry| entry.version).max().unwrap_or_default()
            }
        }
    }

    /// An event that is held already takes the newer reason.
    fn hold(&mut self, consumer: Consumer, held: Vec<HeldEvent>, released: &[EventId]) {
        let announced = |one: &HeldEvent| self.announced.contains(&(one.consumer, one.event_id));
        assert!(held.iter().all(|one| one.dead.is_none() || announced(one)), "a dead letter is announced first");
        let goes = |one: &HeldEvent| {
            released.contains(&one.event_id) || held.iter().any(|newer| newer.event_id == one.event_id)
        };
        self.held.retain(|one| one.consumer != consumer || !goes(one));
        self.held.extend(held);
    }

    fn project(
        &mut self,
        consumer: Consumer,
        changes: Projection,
        checkpoints: &[(u16, u64, u64)],
        held: Vec<HeldEvent>,
        released: &[EventId],
    ) -> Completion<()> {
        let at = |partition: u16| self.offsets.get(&(consumer, partition)).copied().unwrap_or(0);
        if checkpoints.iter().any(|(partition, expected, _)| at(*partition) != *expected) {
            return Completion::Conflict;
        }
        let poisoned = |wallet: &WalletId, version: Version| self.poison.contains(&(consumer, wallet.clone(), version));
        match changes {
            Projection::Ledger(entries) => {
                if entries.iter().any(|entry| poisoned(&entry.wallet_id, entry.version)) {
                    return Completion::Failed(rejected());
                }
                for entry in entries {
                    assert_eq!(entry.version, self.version(consumer, &entry.wallet_id).next(), "INV-07: ledger");
                    self.ledger.push(entry);
                }
            }
            Projection::ReadModel(changes) => {
                for change in &changes {
                    let (wallet, mut versions) = match change {
                        WalletChange::Insert(wallet) => (&wallet.id, 1..=wallet.version.0),
                        WalletChange::Update { wallet_id, expected, version, .. } => {
                            (wallet_id, expected.0 + 1..=version.0)
                        }
                    };
                    if versions.any(|version| poisoned(wallet, Version(version))) {
                        return Completion::Failed(rejected());
                    }
                }
                for change in changes {
                    self.change_row(change);
                }
            }
        }
        for (partition, _, after) in checkpoints {
            self.offsets.insert((consumer, *partition), *after);
        }
        self.hold(consumer, held, released);
        Completion::Done(())
    }

    fn change_row(&mut self, change: WalletChange) {
        match change {
            WalletChange::Insert(wallet) => {
                assert!(self.rows.insert(wallet.id.clone(), wallet).is_none(), "INV-07: inserted twice");
            }
            WalletChange::Update { wallet_id, expected, version, balance, updated_at } => {
                let row = self.rows.get_mut(&wallet_id).unwrap();
                assert_eq!(row.version, expected, "INV-07: read model");
                (row.version, row.balance, row.updated_at) = (version, balance, updated_at);
            }
        }
    }

    /// INV-06 and INV-08 for every wallet that `except` does not name.
    fn assert_converged(&self, except: &[&str]) {
        let mut fold: BTreeMap<WalletId, Wallet> = BTreeMap::new();
        for one in &self.log {
            let before = fold.remove(&one.event.wallet_id);
            fold.insert(one.event.wallet_id.clone(), Wallet::apply(before, &one.event));
        }
        for (wallet, expected) in fold.iter().filter(|(wallet, _)| !except.contains(&wallet.as_str())) {
            assert_eq!(self.rows.get(wallet), Some(expected), "INV-08: read model of {wallet}");
            let entries = self.ledger.iter().filter(|entry| entry.wallet_id == *wallet).count() as u64;
            assert_eq!(entries, expected.version.0, "INV-06: ledger of {wallet}");
        }
        assert_eq!(self.outbox.len(), self.log.len(), "INV-06: outbox");
    }
}
