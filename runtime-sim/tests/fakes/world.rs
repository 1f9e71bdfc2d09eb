//! What the tests share: instances of the service over the fakes, without network, and made-up events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wallex_core::command::{Answer, Idempotency, Request, Work};
use wallex_core::config::{Config, IdempotencyMode, Roles};
use wallex_core::currency::Currency;
use wallex_core::effect::{Effect, Input};
use wallex_core::event::{Event, Fact, Recorded};
use wallex_core::id::{CommandId, CorrelationId, EffectId, OwnerId, Position, RequestId, Version, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::node::Node;
use wallex_core::projector::Consumer;
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Create, Operation, Transfer, Wallet};
use wallex_sim::fakes::leases::Holder;
use wallex_sim::fakes::{Broker, Database, EventStore, Groups, InstanceId, LeaseStore, Port, port_of};

pub(crate) const EFFECT: EffectId = EffectId(7);
pub(crate) const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) fn wallet(name: &str) -> WalletId {
    WalletId::parse(name).unwrap()
}

pub(crate) fn usd(digits: &str) -> Money {
    Money::parse(digits, Currency::parse("USD").unwrap()).unwrap()
}

/// Event number `version` of a wallet, at a position.
pub(crate) fn recorded(position: u64, name: &str, version: u64) -> Recorded {
    let command_id = CommandId::new(START, position);
    let event = Event {
        event_id: command_id.event_id(0),
        wallet_id: wallet(name),
        version: Version(version),
        occurred_at: START,
        currency: Currency::parse("USD").unwrap(),
        amount: usd("1"),
        balance: usd(&version.to_string()),
        description: None,
        fact: match version {
            1 => Fact::Created { owner_id: OwnerId::parse("owner").unwrap() },
            _ => Fact::Credited { transfer: None },
        },
        command_id,
        correlation_id: CorrelationId::parse("c").unwrap(),
        trace_parent: None,
    };
    Recorded { position: Position(position), event }
}

pub(crate) fn create(name: &str, balance: &str) -> Operation {
    Operation::Create(Create {
        wallet_id: wallet(name),
        owner_id: OwnerId::parse("owner").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        initial_balance: usd(balance),
    })
}

pub(crate) fn transfer(from: &str, to: &str, amount: &str) -> Operation {
    let amount = Amount::parse(amount).unwrap();
    Operation::Transfer(Transfer { from: wallet(from), to: wallet(to), amount, description: None })
}

/// Instances that share the fakes; effects are performed one after another, the next timer is never far.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Timestamp,
    pub(crate) store: EventStore,
    pub(crate) database: Database,
    pub(crate) broker: Broker,
    pub(crate) groups: Groups,
    pub(crate) leases: LeaseStore,
    pub(crate) answers: BTreeMap<u64, Answer>,
    requests: u64,
}

impl World {
    pub(crate) fn new(instances: u32) -> Self {
        let config = Config {
            sole_writer: false,
            idempotency: IdempotencyMode::Separate,
            leadership: true,
            roles: Roles { feeder: true, relay: true, projectors: true },
            ..Config::default()
        };
        let mut world = Self {
            nodes: (0..instances).map(|_| Node::new(config.clone(), START)).collect(),
            now: START,
            store: EventStore::default(),
            database: Database::default(),
            broker: Broker::default(),
            groups: Groups::default(),
            leases: LeaseStore::default(),
            answers: BTreeMap::new(),
            requests: 0,
        };
        for instance in 0..instances {
            for consumer in [Consumer::ReadModel, Consumer::Ledger] {
                let notices = world.groups.join(consumer, InstanceId(instance));
                world.deliver(notices);
            }
        }
        world
    }

    pub(crate) fn deliver(&mut self, notices: Vec<(InstanceId, Input)>) {
        for (instance, input) in notices {
            self.nodes[instance.0 as usize].handle(self.now, input);
        }
    }

    pub(crate) fn submit(&mut self, instance: usize, operation: Operation, key: Option<Idempotency>) -> u64 {
        self.requests += 1;
        let request = Request {
            id: RequestId(self.requests),
            command_id: CommandId::new(self.now, self.requests),
            correlation_id: CorrelationId::parse(&format!("r{}", self.requests)).unwrap(),
            trace_parent: None,
            idempotency: key,
            if_match: None,
            work: Work::One(operation),
        };
        self.nodes[instance].handle(self.now, Input::Submit(request));
        self.requests
    }

    /// Lets this much time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        while self.now < end {
            self.settle();
            let timers = self.nodes.iter().filter_map(Node::poll_timeout).map(|(at, _)| at);
            self.now = timers.min().unwrap_or(end).clamp(self.now.plus(Duration::from_micros(1)), end);
            for node in &mut self.nodes {
                node.handle_timeout(self.now);
            }
        }
    }

    fn settle(&mut self) {
        let mut effects: VecDeque<(usize, Effect)> = VecDeque::new();
        loop {
            for (instance, node) in self.nodes.iter_mut().enumerate() {
                effects.extend(std::iter::from_fn(|| node.poll_effect()).map(|effect| (instance, effect)));
            }
            let Some((instance, effect)) = effects.pop_front() else { return };
            if let Some(input) = self.perform(InstanceId(instance as u32), effect) {
                self.nodes[instance].handle(self.now, input);
            }
        }
    }

    fn perform(&mut self, instance: InstanceId, effect: Effect) -> Option<Input> {
        let now = self.now;
        match port_of(&effect) {
            Port::Client => {
                if let Effect::Reply { request, answer } = effect {
                    let answered = self.answers.insert(request.0, answer);
                    assert_eq!(answered, None, "{request} is answered twice");
                }
                None
            }
            Port::EventStore => self.store.perform(now, effect),
            Port::Database => self.database.perform(now, effect),
            Port::Broker => self.broker.perform(now, effect),
            Port::Leases => self.leases.perform(now, Holder { instance, clock: now }, effect),
        }
    }

    /// The wallets as the log says.
    pub(crate) fn fold(&self) -> Vec<Wallet> {
        let mut wallets: BTreeMap<WalletId, Wallet> = BTreeMap::new();
        for Recorded { event, .. } in self.store.log() {
            let before = wallets.remove(&event.wallet_id);
            wallets.insert(event.wallet_id.clone(), Wallet::apply(before, event));
        }
        wallets.into_values().collect()
    }

    pub(crate) fn read_model(&self) -> Vec<Wallet> {
        self.database.wallets().cloned().collect()
    }
}
