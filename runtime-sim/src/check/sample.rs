//! Hand-made events and runs for the checkers' tests.
//!
//! Events are as a test wants them, right or wrong: nothing is decided on the way, and what does not matter is filled
//! in. A [`Run`] feeds the real [`Checks`]. Compiled for tests alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex_core::currency::Currency;
use wallex_core::event::{Event, Fact, Recorded, TransferLeg};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Position, TransferId, Version, WalletId};
use wallex_core::limits::PARTITIONS;
use wallex_core::money::Money;
use wallex_core::projector::{Consumer, HeldEvent, LedgerEntry, Message, Projection, WalletChange, message_of};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use super::books::step_of;
use super::{Checks, Verdict};
use crate::history::{AttemptId, Command, History, Outcome, Snapshot, Step};
use crate::observe::{Evidence, Moment, Observation};

/// Any instant after the beginning.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + ms * 1_000)
}

pub(crate) fn wallet(name: &str) -> WalletId {
    WalletId::parse(name).unwrap()
}

pub(crate) fn money(cents: i64) -> Money {
    Money::from_minor_units(cents, Currency::parse("USD").unwrap())
}

fn event(name: &str, version: u64, amount: i64, balance: i64, fact: Fact) -> Event {
    let seed = name.bytes().fold(version, |seed, byte| seed * 257 + u64::from(byte));
    let command_id = CommandId::new(at(0), seed);
    Event {
        event_id: command_id.event_id(0),
        wallet_id: wallet(name),
        version: Version(version),
        occurred_at: at(0),
        currency: Currency::parse("USD").unwrap(),
        amount: money(amount),
        balance: money(balance),
        description: None,
        fact,
        command_id,
        correlation_id: CorrelationId::parse("somebody").unwrap(),
        trace_parent: None,
    }
}

pub(crate) fn create(name: &str, balance: i64) -> Event {
    event(name, 1, balance, balance, Fact::Created { owner_id: OwnerId::parse("o").unwrap() })
}

pub(crate) fn credit(name: &str, version: u64, amount: i64, balance: i64, description: &str) -> Event {
    let description = (!description.is_empty()).then(|| Arc::from(description));
    Event { description, ..event(name, version, amount, balance, Fact::Credited { transfer: None }) }
}

pub(crate) fn debit(name: &str, version: u64, amount: i64, balance: i64) -> Event {
    event(name, version, amount, balance, Fact::Debited { transfer: None })
}

/// Both legs: name, version and balance afterwards of each side, and the amount.
pub(crate) fn transfer(from: &str, v: u64, left: i64, to: &str, w: u64, right: i64, amount: i64) -> [Event; 2] {
    let mut debited = debit(from, v, amount, left);
    let mut credited = credit(to, w, amount, right, "");
    let transfer_id = TransferId::from(debited.event_id);
    debited.fact = Fact::Debited { transfer: Some(TransferLeg { transfer_id, counterparty: wallet(to) }) };
    credited.fact = Fact::Credited { transfer: Some(TransferLeg { transfer_id, counterparty: wallet(from) }) };
    credited.command_id = debited.command_id;
    credited.event_id = debited.command_id.event_id(1);
    [debited, credited]
}

/// The event, caused by an attempt.
pub(crate) fn by(attempt: AttemptId, event: Event) -> Event {
    Event { correlation_id: attempt.correlation(), ..event }
}

/// A client that asks for an operation and never hears what became of it; the attempt.
pub(crate) fn ask(history: &mut History, step: Step) -> AttemptId {
    asks(history, None, Command::One { step, if_match: None })
}

/// A client that asks for something and never hears what became of it; the attempt.
pub(crate) fn asks(history: &mut History, key: Option<u64>, command: Command) -> AttemptId {
    let attempt = history.invoke(at(0), 0, key, Arc::new(command));
    history.returns(at(1), attempt, Outcome::Unknown);
    attempt
}

/// The appends, with each command caused by a client that asks for just that.
pub(crate) fn asked_for(appends: Vec<Vec<Event>>) -> (History, Vec<Vec<Event>>) {
    let mut history = History::default();
    let mut attempts: BTreeMap<CommandId, AttemptId> = BTreeMap::new();
    let mut caused = |event: Event| {
        let attempt = attempts.entry(event.command_id).or_insert_with(|| ask(&mut history, step_of(&event)));
        by(*attempt, event)
    };
    let appends = appends.into_iter().map(|events| events.into_iter().map(&mut caused).collect()).collect();
    (history, appends)
}

/// Gives events their places in the log.
pub(crate) fn recorded(events: impl IntoIterator<Item = Event>) -> Vec<Recorded> {
    (1..).zip(events).map(|(position, event)| Recorded { position: Position(position), event }).collect()
}

/// The read model's row right after an event.
fn row_after(event: &Event) -> Wallet {
    Wallet {
        id: event.wallet_id.clone(),
        owner_id: OwnerId::parse("o").unwrap(),
        currency: event.currency,
        balance: event.balance,
        version: event.version,
        created_at: event.occurred_at,
        updated_at: event.occurred_at,
    }
}

/// A new row of the read model, as an event leaves it.
pub(crate) fn insert(event: &Event) -> Projection {
    Projection::ReadModel(vec![WalletChange::Insert(row_after(event))])
}

/// A row of the read model moves on to where an event leaves it.
pub(crate) fn update(expected: u64, event: &Event) -> Projection {
    let Wallet { id: wallet_id, version, balance, updated_at, .. } = row_after(event);
    Projection::ReadModel(vec![WalletChange::Update {
        wallet_id,
        expected: Version(expected),
        version,
        balance,
        updated_at,
    }])
}

/// Rows of the ledger.
pub(crate) fn ledger(events: &[Event]) -> Projection {
    Projection::Ledger(events.iter().map(LedgerEntry::from).collect())
}

/// Messages of one wallet's events, as the broker has taken them: offsets are versions.
pub(crate) fn messages(events: &[Event]) -> Vec<Message> {
    let message =
        |event: &Event| Message { offset: event.version.0, ..message_of(Position(event.version.0), event.clone()) };
    events.iter().map(message).collect()
}

/// Everything as it is at the end of a run in which nothing went wrong.
pub(crate) fn evidence_of(appends: &[Vec<Event>]) -> Evidence {
    let log = recorded(appends.iter().flatten().cloned());
    let mut topic = vec![Vec::new(); usize::from(PARTITIONS)];
    let mut rows: BTreeMap<WalletId, Wallet> = BTreeMap::new();
    for recorded in &log {
        let message = message_of(recorded.position, recorded.event.clone());
        topic[usize::from(message.partition)].push(message);
        let event = &recorded.event;
        rows.insert(event.wallet_id.clone(), row_after(event));
    }
    let ledger = log.iter().map(|recorded| LedgerEntry::from(&recorded.event)).collect();
    let (outbox, read_model) = (log.clone(), rows.into_values().collect());
    Evidence { log, outbox, topic, read_model, ledger, ..Evidence::default() }
}

/// An answer that shows wallets: name, version, balance.
pub(crate) fn done(wallets: &[(&str, u64, i64)]) -> Outcome {
    let shown = wallets.iter().map(|(name, version, balance)| snapshot(name, *version, *balance));
    Outcome::Done { results: vec![Ok(shown.collect())], replayed: false }
}

pub(crate) fn snapshot(name: &str, version: u64, balance: i64) -> Snapshot {
    Snapshot { wallet: wallet(name), balance, version }
}

/// Shows the run an answer to a read of any wallet.
pub(crate) fn answer(run: &mut Run, outcome: &Outcome) {
    let mut history = History::default();
    history.invoke(at(0), 0, None, Arc::new(Command::ReadModel { wallet: wallet("a"), min_version: 2 }));
    run.see(&Observation::Answered(&history.attempts()[0], outcome));
}

/// One append.
pub(crate) fn append(events: &[Event]) -> Vec<Event> {
    events.to_vec()
}

/// A run of the checkers over hand-made appends and observations.
pub(crate) struct Run {
    pub(crate) checks: Checks,
    step: u64,
    position: u64,
    log: Vec<Recorded>,
}

impl Run {
    pub(crate) fn of(appends: impl IntoIterator<Item = Vec<Event>>) -> Self {
        let mut run = Self { checks: Checks::default(), step: 0, position: 0, log: Vec::new() };
        for events in appends {
            run.append(events);
        }
        run
    }

    pub(crate) fn append(&mut self, events: Vec<Event>) {
        let from = self.log.len();
        for event in events {
            self.position += 1;
            self.log.push(Recorded { position: Position(self.position), event });
        }
        let appended = self.log[from..].to_vec();
        self.see(&Observation::Appended(&appended));
    }

    pub(crate) fn see(&mut self, observation: &Observation<'_>) {
        self.step += 1;
        let moment = Moment { at: at(self.step as i64), step: self.step };
        self.checks.observe(moment, observation);
    }

    /// A projector commits rows, and what it sets aside.
    pub(crate) fn project(&mut self, consumer: Consumer, changes: &Projection, held: &[HeldEvent]) {
        self.see(&Observation::Projected { consumer, changes, checkpoints: &[], held, released: &[] });
    }

    /// The verdict when nothing but the log is left.
    pub(crate) fn end(self, history: &History, evidence: &Evidence) -> Verdict {
        self.checks.finish(Moment { at: at(1_000_000), step: self.step + 1 }, history, evidence)
    }

    /// Ids of the violations found, in order, only those about the log when the run ends right here.
    pub(crate) fn found(&self) -> Vec<u8> {
        self.checks.violations().iter().map(|violation| violation.invariant.0).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.checks.violations().iter().map(|violation| violation.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}
