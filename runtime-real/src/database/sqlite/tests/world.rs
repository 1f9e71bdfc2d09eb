//! A small log to write: wallets whose events follow each other as the aggregate would decide them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::{Event, Fact, Recorded, TraceParent, TransferLeg};
use wallex_core::id::{CommandId, CorrelationId, EffectId, EventId, OwnerId, Position, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::{Consumer, HeldEvent, LedgerEntry, Projection, WalletChange, partition_of};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

use crate::database::sqlite::SqliteDatabase;

pub(crate) const EFFECT: EffectId = EffectId(7);

pub(crate) fn id(name: &str) -> WalletId {
    WalletId::parse(name).unwrap()
}

/// `seconds` after the moment at which the tests begin.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000 + 42)
}

/// A database in a directory that goes with it.
pub(crate) async fn database() -> (TempDir, SqliteDatabase) {
    let directory = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(directory.path().join("wallex.sqlite")).await.unwrap();
    (directory, database)
}

/// The log and the state of its wallets.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) wallets: BTreeMap<WalletId, Wallet>,
    pub(crate) log: Vec<Recorded>,
}

impl World {
    pub(crate) fn create(&mut self, name: &str, owner: &str, currency: &str, minor: i64) {
        let currency = Currency::parse(currency).unwrap();
        let fact = Fact::Created { owner_id: OwnerId::parse(owner).unwrap() };
        self.append(name, fact, currency, minor, minor);
    }

    pub(crate) fn credit(&mut self, name: &str, minor: i64) {
        let wallet = &self.wallets[&id(name)];
        let (currency, before) = (wallet.currency, i64::try_from(wallet.balance.minor_units()).unwrap());
        self.append(name, Fact::Credited { transfer: None }, currency, minor, before + minor);
    }

    pub(crate) fn transfer(&mut self, from: &str, to: &str, minor: i64) {
        let transfer_id = TransferId::from(self.command().event_id(0));
        let command = self.command();
        for (index, name, other, change) in [(0, from, to, -minor), (1, to, from, minor)] {
            let wallet = &self.wallets[&id(name)];
            let (currency, before) = (wallet.currency, i64::try_from(wallet.balance.minor_units()).unwrap());
            let leg = Some(TransferLeg { transfer_id, counterparty: id(other) });
            let fact = if change < 0 { Fact::Debited { transfer: leg } } else { Fact::Credited { transfer: leg } };
            let event = self.event(name, fact, currency, minor, before + change);
            self.push(Event { event_id: command.event_id(index), command_id: command, ..event });
        }
    }

    fn append(&mut self, name: &str, fact: Fact, currency: Currency, amount: i64, balance: i64) {
        let event = self.event(name, fact, currency, amount, balance);
        self.push(event);
    }

    fn push(&mut self, event: Event) {
        let state = self.wallets.remove(&event.wallet_id);
        self.wallets.insert(event.wallet_id.clone(), Wallet::apply(state, &event));
        self.log.push(Recorded { position: Position(self.log.len() as u64 + 1), event });
    }

    fn command(&self) -> CommandId {
        CommandId::new(at(self.log.len() as i64), self.log.len() as u64)
    }

    fn event(&self, name: &str, fact: Fact, currency: Currency, amount: i64, balance: i64) -> Event {
        let wallet_id = id(name);
        let number = self.log.len();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        Event {
            event_id: self.command().event_id(0),
            version: self.wallets.get(&wallet_id).map_or(Version(1), |wallet| wallet.version.next()),
            wallet_id,
            occurred_at: at(number as i64),
            currency,
            amount: Money::from_minor_units(amount, currency),
            balance: Money::from_minor_units(balance, currency),
            description: number.is_multiple_of(3).then(|| Arc::from(format!("rent \"{number}\" \\ für März"))),
            fact,
            command_id: self.command(),
            correlation_id: CorrelationId::parse(&format!("request/{number}")).unwrap(),
            trace_parent: number.is_multiple_of(2).then(|| TraceParent::parse(trace).unwrap()),
        }
    }

    /// The events after a position.
    pub(crate) fn after(&self, position: u64) -> Vec<Recorded> {
        self.log[usize::try_from(position).unwrap()..].to_vec()
    }

    pub(crate) fn events_of(&self, name: &str) -> Vec<&Event> {
        self.log.iter().map(|row| &row.event).filter(|event| event.wallet_id == id(name)).collect()
    }

    pub(crate) fn entries_of(&self, name: &str) -> Vec<LedgerEntry> {
        self.events_of(name).into_iter().map(LedgerEntry::from).collect()
    }
}

/// The changes of the read model that a projector makes of these events.
pub(crate) fn changes(events: &[Recorded]) -> Vec<WalletChange> {
    let mut changes: Vec<WalletChange> = Vec::new();
    for Recorded { event, .. } in events {
        let known = changes.iter_mut().find(|change| match change {
            WalletChange::Insert(wallet) => wallet.id == event.wallet_id,
            WalletChange::Update { wallet_id, .. } => *wallet_id == event.wallet_id,
        });
        match known {
            Some(WalletChange::Insert(wallet)) => wallet.advance(event),
            Some(WalletChange::Update { version, balance, updated_at, .. }) => {
                (*version, *balance, *updated_at) = (event.version, event.balance, event.occurred_at);
            }
            None if event.version == Version(1) => changes.push(WalletChange::Insert(Wallet::apply(None, event))),
            None => changes.push(WalletChange::Update {
                wallet_id: event.wallet_id.clone(),
                expected: Version(event.version.0 - 1),
                version: event.version,
                balance: event.balance,
                updated_at: event.occurred_at,
            }),
        }
    }
    changes
}

pub(crate) fn entries(events: &[Recorded]) -> Vec<LedgerEntry> {
    events.iter().map(|row| LedgerEntry::from(&row.event)).collect()
}

impl SqliteDatabase {
    pub(crate) async fn do_write(&self, expected: u64, events: Vec<Recorded>) -> Completion<()> {
        let checkpoint = events.last().map_or(Position(expected), |last| last.position);
        let (expected, events) = (Position(expected), Arc::new(events));
        match self.perform(Effect::WriteOutbox { effect: EFFECT, expected, events, checkpoint }).await {
            Some(Input::OutboxWritten(EFFECT, completion)) => completion,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn do_mark(
        &self,
        expected: u64,
        checkpoint: u64,
        held: Vec<HeldEvent>,
        released: Vec<EventId>,
    ) -> Completion<()> {
        let (expected, checkpoint, effect) = (Position(expected), Position(checkpoint), EFFECT);
        let at = at(1_000 + checkpoint.0 as i64);
        match self.perform(Effect::MarkPublished { effect, expected, checkpoint, at, held, released }).await {
            Some(Input::PublishedMarked(EFFECT, completion)) => completion,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn do_project(
        &self,
        consumer: Consumer,
        changes: Projection,
        checkpoints: Vec<(u16, u64, u64)>,
        held: Vec<HeldEvent>,
        released: Vec<EventId>,
    ) -> Completion<()> {
        let (effect, at) = (EFFECT, at(2_000));
        let project = Effect::Project { effect, consumer, changes, checkpoints, held, released, at };
        match self.perform(project).await {
            Some(Input::Projected(EFFECT, completion)) => completion,
            other => panic!("{other:?}"),
        }
    }

    /// Takes events through the whole pipeline, from the checkpoints as they are.
    pub(crate) async fn take(&self, events: Vec<Recorded>) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let (before, end) = (first.position.0 - 1, last.position.0);
        assert_eq!(self.do_write(before, events.clone()).await, Completion::Done(()));
        assert_eq!(self.do_mark(before, end, Vec::new(), Vec::new()).await, Completion::Done(()));
        self.project_all(Consumer::ReadModel, &events).await;
        self.project_all(Consumer::Ledger, &events).await;
    }

    pub(crate) async fn project_all(&self, consumer: Consumer, events: &[Recorded]) {
        let mut ends: BTreeMap<u16, u64> = BTreeMap::new();
        for row in events {
            ends.insert(partition_of(&row.event.wallet_id), row.position.0);
        }
        let effect = Effect::LoadProgress { effect: EFFECT, consumer, partitions: ends.keys().copied().collect() };
        let Some(Input::Progress(EFFECT, Completion::Done(progress))) = self.perform(effect).await else { panic!() };
        let checkpoints = progress.iter().map(|one| (one.partition, one.offset, ends[&one.partition])).collect();
        let rows = match consumer {
            Consumer::ReadModel => Projection::ReadModel(changes(events)),
            Consumer::Ledger | Consumer::Relay => Projection::Ledger(entries(events)),
        };
        assert_eq!(self.do_project(consumer, rows, checkpoints, Vec::new(), Vec::new()).await, Completion::Done(()));
    }

    /// Everything the tables hold, as text: two databases that answer the same are the same.
    pub(crate) async fn contents(&self) -> String {
        let mut all = String::new();
        for (name, sql) in [
            ("numbers", "SELECT json_array(wallet, wallet_id, currency, scale, partition) FROM wallet_numbers"),
            (
                "outbox",
                "SELECT json_array(position, event_id, event_type, payload, processed_at) FROM outbox ORDER BY 1",
            ),
            ("checkpoints", "SELECT json_array(consumer_name, partition, position) FROM projector_checkpoints"),
            ("held", "SELECT json_array(consumer_name, wallet_id, event_version, reason) FROM held_events"),
            ("wallets", "SELECT json_array(id, owner_id, balance, version, updated_at) FROM wallets ORDER BY 1"),
            ("ledger", "SELECT json_array(wallet_id, version, type, amount, balance) FROM ledger_entries ORDER BY 1"),
        ] {
            let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.readers).await.unwrap();
            all.push_str(&format!("{name}:\n{}\n", rows.join("\n")));
        }
        all
    }
}
