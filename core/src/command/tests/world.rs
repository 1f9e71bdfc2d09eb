//! A world for the command machine: an honest event store and idempotency store in memory, driven step by step.
//!
//! Tests hold effects back, repeat them, or answer them falsely; [`World::perform`] answers one as the real thing would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::command::{Answer, FinalAnswer, Fingerprint, Idempotency, KeyHash, Request, Success, Work};
use crate::config::{Config, IdempotencyMode};
use crate::currency::Currency;
use crate::effect::{Append, Completion, Effect, Input, Loaded, Reservation};
use crate::event::Event;
use crate::id::{CommandId, CorrelationId, OwnerId, RequestId, Version, WalletId};
use crate::money::{Amount, Money};
use crate::node_twin::Twin as Node;
use crate::time::Timestamp;
use crate::wallet::{Create, Credit, Debit, Operation, Transfer};

pub(super) struct World {
    pub(super) node: Node,
    pub(super) now: Timestamp,
    pub(super) streams: BTreeMap<WalletId, Vec<Event>>,
    pub(super) keys: BTreeMap<KeyHash, StoredKey>,
    pub(super) answers: BTreeMap<u64, Vec<Answer>>,
    /// Every append that the store carried out, with the number of its writes.
    pub(super) appends: Vec<usize>,
    requests: u64,
}

pub(super) struct StoredKey {
    fingerprint: Fingerprint,
    command_id: CommandId,
    attempt: CommandId,
    reserved_at: Timestamp,
    touched_at: Timestamp,
    answer: Option<FinalAnswer>,
}

pub(super) fn wallet(name: &str) -> WalletId {
    WalletId::parse(name).unwrap()
}

pub(super) fn usd(digits: &str) -> Money {
    Money::parse(digits, Currency::parse("USD").unwrap()).unwrap()
}

pub(super) fn create(name: &str, balance: &str) -> Operation {
    Operation::Create(Create {
        wallet_id: wallet(name),
        owner_id: OwnerId::parse("owner").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        initial_balance: usd(balance),
    })
}

pub(super) fn credit(name: &str, amount: &str) -> Operation {
    Operation::Credit(Credit { wallet_id: wallet(name), amount: Amount::parse(amount).unwrap(), description: None })
}

pub(super) fn debit(name: &str, amount: &str) -> Operation {
    Operation::Debit(Debit { wallet_id: wallet(name), amount: Amount::parse(amount).unwrap(), description: None })
}

pub(super) fn transfer(from: &str, to: &str, amount: &str) -> Operation {
    let amount = Amount::parse(amount).unwrap();
    Operation::Transfer(Transfer { from: wallet(from), to: wallet(to), amount, description: None })
}

pub(super) fn key(name: &str, payload: u8) -> Idempotency {
    let mut hash = [0; 16];
    hash[..name.len()].copy_from_slice(name.as_bytes());
    Idempotency { key: KeyHash(hash), fingerprint: Fingerprint([payload; 16]) }
}

pub(super) fn embedded() -> Config {
    Config { leases: false, ..Config::default() }
}

pub(super) fn shared() -> Config {
    Config { sole_writer: false, idempotency: IdempotencyMode::Separate, leases: false, ..Config::default() }
}

impl StoredKey {
    /// A reservation that was taken over is released by nobody.
    fn is_released_by(&self, attempt: CommandId) -> bool {
        [self.attempt, self.command_id] == [attempt; 2] && self.answer.is_none()
    }
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        Self {
            node: Node::new(config, now),
            now,
            streams: BTreeMap::new(),
            keys: BTreeMap::new(),
            answers: BTreeMap::new(),
            appends: Vec::new(),
            requests: 0,
        }
    }

    /// A second instance over the same stores.
    pub(super) fn restart(&mut self, config: Config) {
        self.node = Node::new(config, self.now);
    }

    /// What another instance over the same stores does meanwhile, to its end.
    pub(super) fn elsewhere(&mut self, config: Config, operation: Operation) {
        let here = std::mem::replace(&mut self.node, Node::new(config, self.now));
        self.submit(operation);
        self.settle();
        self.node = here;
    }

    pub(super) fn request(&mut self, work: Work) -> Request {
        self.requests += 1;
        Request {
            id: RequestId(self.requests),
            command_id: CommandId::new(self.now, self.requests),
            correlation_id: CorrelationId::parse(&format!("r{}", self.requests)).unwrap(),
            trace_parent: None,
            idempotency: None,
            if_match: None,
            work,
        }
    }

    pub(super) fn submit(&mut self, operation: Operation) -> u64 {
        let request = self.request(Work::One(operation));
        self.submit_request(request)
    }

    pub(super) fn submit_keyed(&mut self, operation: Operation, idempotency: Idempotency) -> u64 {
        let mut request = self.request(Work::One(operation));
        request.idempotency = Some(idempotency);
        self.submit_request(request)
    }

    pub(super) fn submit_request(&mut self, request: Request) -> u64 {
        let id = request.id.0;
        self.node.handle(self.now, Input::Submit(request));
        id
    }

    /// The effects that are due now. Replies are recorded as well as returned.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.node.poll_effect() {
            if let Effect::Reply { request, answer } = &effect {
                self.answers.entry(request.0).or_default().push(answer.clone());
            }
            effects.push(effect);
        }
        effects
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.node.handle(self.now, input);
    }

    /// Performs everything, honestly, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        loop {
            let inputs: Vec<Input> = self.effects().into_iter().filter_map(|effect| self.perform(effect)).collect();
            if inputs.is_empty() {
                return;
            }
            for input in inputs {
                self.handle(input);
            }
        }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
        self.node.handle_timeout(self.now);
    }

    /// Lets time pass to the next timer.
    pub(super) fn wake(&mut self) {
        if let Some((at, _)) = self.node.poll_timeout() {
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
        }
    }

    /// The one answer to a request.
    pub(super) fn answer(&self, request: u64) -> &Answer {
        match self.answers.get(&request).map(Vec::as_slice) {
            Some([answer]) => answer,
            other => panic!("request {request} has not exactly one answer: {other:?}"),
        }
    }

    pub(super) fn outcome(&self, request: u64) -> Result<&Success, &'static str> {
        match self.answer(request) {
            Answer::Final { answer, .. } => answer.outcome.as_ref().map_err(crate::wallet::Rejection::code),
            other => panic!("not final: {other:?}"),
        }
    }

    pub(super) fn balance(&self, name: &str) -> Money {
        self.streams[&wallet(name)].last().unwrap().balance
    }

    /// Does what an effect asks for, and gives the completion.
    pub(super) fn perform(&mut self, effect: Effect) -> Option<Input> {
        Some(match effect {
            Effect::Reply { .. } | Effect::Unlease(_) => return None,
            Effect::Append(id, append) => Input::Appended(id, self.append(&append)),
            Effect::Load(id, loads) => {
                let loaded =
                    loads.iter().map(|load| Loaded { snapshot: None, events: self.tail(&load.wallet, load.known) });
                Input::Loaded(id, Completion::Done(loaded.collect()))
            }
            Effect::Lease { effect, wallets, .. } => Input::Leased(effect, Completion::Done(vec![true; wallets.len()])),
            Effect::FindCommand { effect, wallet, command, not_before } => {
                let stream = self.tail(&wallet, Version(0)).into_iter();
                let found = stream.filter(|event| event.command_id == command && event.occurred_at >= not_before);
                Input::Found(effect, Completion::Done(found.collect()))
            }
            Effect::Reserve(id, items) => {
                Input::Reserved(id, Completion::Done(items.iter().map(|item| self.reserve(item)).collect()))
            }
            Effect::StoreAnswers(id, records) => {
                let mut completion = Completion::Done(());
                for record in records {
                    let stored = self.keys.get_mut(&record.idempotency.key);
                    match stored.filter(|stored| record.held_by.is_none_or(|attempt| attempt == stored.attempt)) {
                        Some(stored) => stored.answer = stored.answer.take().or(Some(record.answer)),
                        None if record.held_by.is_some() => completion = Completion::Conflict,
                        None => {}
                    }
                }
                Input::AnswersStored(id, completion)
            }
            Effect::ReleaseKeys(keys) => {
                for (key, command) in keys {
                    if self.keys.get(&key).is_some_and(|stored| stored.is_released_by(command)) {
                        self.keys.remove(&key);
                    }
                }
                return None;
            }
            other => panic!("not an effect of the command machine: {other:?}"),
        })
    }

    fn tail(&self, wallet: &WalletId, known: Version) -> Vec<Event> {
        self.streams.get(wallet).map(|stream| stream[known.0 as usize..].to_vec()).unwrap_or_default()
    }

    fn reserve(&mut self, item: &crate::effect::Reserve) -> Reservation {
        let fingerprint = item.idempotency.fingerprint;
        let Some(stored) = self.keys.get_mut(&item.idempotency.key) else {
            if self.is_separate() {
                let (command_id, attempt, now) = (item.command_id, item.command_id, self.now);
                let stored =
                    StoredKey { fingerprint, command_id, attempt, reserved_at: now, touched_at: now, answer: None };
                self.keys.insert(item.idempotency.key, stored);
            }
            return Reservation::New;
        };
        match &stored.answer {
            Some(answer) => Reservation::Finished { fingerprint: stored.fingerprint, answer: answer.clone() },
            None if stored.touched_at.plus(item.dead_after) <= self.now && stored.fingerprint == fingerprint => {
                (stored.touched_at, stored.attempt) = (self.now, item.command_id);
                Reservation::TakenOver { fingerprint, command_id: stored.command_id, reserved_at: stored.reserved_at }
            }
            None => Reservation::Pending { fingerprint: stored.fingerprint },
        }
    }

    fn is_separate(&self) -> bool {
        self.node.commands().config().idempotency == IdempotencyMode::Separate
    }

    /// Expected versions, atomicity, and recognition of an append that is repeated.
    pub(super) fn append(&mut self, append: &Arc<Append>) -> Completion<()> {
        let stored = |write: &crate::effect::StreamWrite| {
            let stream = self.streams.get(&write.wallet).map_or(&[][..], Vec::as_slice);
            stream
                .iter()
                .skip(write.expected.0 as usize)
                .map(|event| event.event_id)
                .take(write.events.len())
                .eq(write.events.iter().map(|event| event.event_id))
        };
        if !append.writes.is_empty() && append.writes.iter().all(stored) {
            return Completion::Done(());
        }
        let fits = |write: &crate::effect::StreamWrite| {
            self.streams.get(&write.wallet).map_or(0, Vec::len) as u64 == write.expected.0
        };
        if !append.writes.iter().all(fits) {
            return Completion::Conflict;
        }
        self.appends.push(append.writes.len());
        for write in &append.writes {
            self.streams.entry(write.wallet.clone()).or_default().extend(write.events.iter().cloned());
        }
        for record in &append.records {
            self.keys.insert(
                record.idempotency.key,
                StoredKey {
                    fingerprint: record.idempotency.fingerprint,
                    command_id: record.command_id,
                    attempt: record.command_id,
                    reserved_at: self.now,
                    touched_at: self.now,
                    answer: Some(record.answer.clone()),
                },
            );
        }
        Completion::Done(())
    }
}
