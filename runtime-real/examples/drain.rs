//! Measures how fast a backlog drains through the database: outbox, read model and ledger, without journal and core.
//!
//! ```text
//! cargo run --release --example drain -- [TRANSFERS] [WALLETS] [BATCH EVENTS]
//! ```
//!
//! Prints, for each tenth of the transfers, the rate and the processor time per transfer (all threads of the process,
//! the generator's own share excluded).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wallex::database::Database;
use wallex_core::currency::Currency;
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::{Event, Fact, Recorded, TransferLeg};
use wallex_core::id::{CommandId, CorrelationId, EffectId, OwnerId, Position, TransferId, Version, WalletId};
use wallex_core::money::Money;
use wallex_core::projector::{Consumer, LedgerEntry, Projection, WalletChange, partition_of};
use wallex_core::time::Timestamp;
use wallex_core::wallet::Wallet;

struct World {
    wallets: Vec<Wallet>,
    position: u64,
    commands: u64,
    seed: u64,
    currency: Currency,
}

#[derive(Default)]
struct Spent {
    outbox: Duration,
    marks: Duration,
    read_model: Duration,
    ledger: Duration,
}

impl World {
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn event(&mut self, wallet: usize, fact: Fact, command: CommandId, index: usize, change: i64) -> Recorded {
        let now = Timestamp::from_micros(1_800_000_000_000_000 + i64::try_from(self.position).unwrap_or(0) * 10);
        let state = &self.wallets[wallet];
        let balance = i64::try_from(state.balance.minor_units()).unwrap_or(0) + change;
        let event = Event {
            event_id: command.event_id(index),
            wallet_id: state.id.clone(),
            version: state.version.next(),
            occurred_at: now,
            currency: self.currency,
            amount: Money::from_minor_units(change.abs(), self.currency),
            balance: Money::from_minor_units(balance, self.currency),
            description: None,
            fact,
            command_id: command,
            correlation_id: CorrelationId::parse(&format!("load-{}", self.commands)).expect("visible"),
            trace_parent: None,
        };
        self.wallets[wallet].balance = event.balance;
        self.wallets[wallet].version = event.version;
        self.position += 1;
        Recorded { position: Position(self.position), event }
    }

    fn command(&mut self) -> CommandId {
        self.commands += 1;
        let random = self.random();
        let now = Timestamp::from_micros(1_800_000_000_000_000 + i64::try_from(self.position).unwrap_or(0) * 10);
        CommandId::new(now, random)
    }

    fn creations(&mut self, from: usize, to: usize) -> Vec<Recorded> {
        let created = |world: &mut Self, wallet: usize| {
            let command = world.command();
            let owner_id = world.wallets[wallet].owner_id.clone();
            world.event(wallet, Fact::Created { owner_id }, command, 0, 1_000_000_000)
        };
        (from..to).map(|wallet| created(self, wallet)).collect()
    }

    fn transfers(&mut self, count: usize) -> Vec<Recorded> {
        let mut events = Vec::with_capacity(count * 2);
        for _ in 0..count {
            let from = (self.random() % self.wallets.len() as u64) as usize;
            let to = (from + 1 + (self.random() % (self.wallets.len() as u64 - 1)) as usize) % self.wallets.len();
            let command = self.command();
            let transfer_id = TransferId::from(command.event_id(0));
            let leg = |counterparty| Some(TransferLeg { transfer_id, counterparty });
            let debit = Fact::Debited { transfer: leg(self.wallets[to].id.clone()) };
            let credit = Fact::Credited { transfer: leg(self.wallets[from].id.clone()) };
            events.push(self.event(from, debit, command, 0, -100));
            events.push(self.event(to, credit, command, 1, 100));
        }
        events
    }
}

/// What the projector of the core makes of a batch.
fn coalesce(events: &[Recorded]) -> Vec<WalletChange> {
    let mut slots: BTreeMap<&WalletId, usize> = BTreeMap::new();
    let mut changes: Vec<WalletChange> = Vec::new();
    for Recorded { event, .. } in events {
        if let Some(slot) = slots.get(&event.wallet_id)
            && let WalletChange::Update { version, balance, updated_at, .. } = &mut changes[*slot]
        {
            (*version, *balance, *updated_at) = (event.version, event.balance, event.occurred_at);
            continue;
        }
        slots.insert(&event.wallet_id, changes.len());
        changes.push(match &event.fact {
            Fact::Created { .. } => WalletChange::Insert(Wallet::apply(None, event)),
            Fact::Credited { .. } | Fact::Debited { .. } => WalletChange::Update {
                wallet_id: event.wallet_id.clone(),
                expected: Version(event.version.0 - 1),
                version: event.version,
                balance: event.balance,
                updated_at: event.occurred_at,
            },
        });
    }
    changes
}

/// The database with the checkpoints that the core would keep.
struct Drain {
    database: Database,
    checkpoint: Position,
    offsets: BTreeMap<u16, u64>,
    spent: Spent,
}

impl Drain {
    async fn done(&self, effect: Effect) {
        let input = self.database.perform(effect).await;
        let done = matches!(
            input,
            Some(
                Input::OutboxWritten(_, Completion::Done(()))
                    | Input::PublishedMarked(_, Completion::Done(()))
                    | Input::Projected(_, Completion::Done(()))
            )
        );
        assert!(done, "{input:?}");
    }

    async fn batch(&mut self, events: Vec<Recorded>) {
        let (expected, checkpoint) = (self.checkpoint, events.last().map_or(self.checkpoint, |last| last.position));
        let (effect, at) = (EffectId(1), events[0].event.occurred_at);
        let mut ends: BTreeMap<u16, u64> = BTreeMap::new();
        for row in &events {
            ends.insert(partition_of(&row.event.wallet_id), row.position.0);
        }
        let before = |partition: &u16| self.offsets.get(partition).copied().unwrap_or(0);
        let checkpoints: Vec<(u16, u64, u64)> = ends.iter().map(|(one, end)| (*one, before(one), *end)).collect();
        let changes = Projection::ReadModel(coalesce(&events));
        let entries = Projection::Ledger(events.iter().map(|row| LedgerEntry::from(&row.event)).collect());
        let events = Arc::new(events);
        let start = Instant::now();
        self.done(Effect::WriteOutbox { effect, expected, events, checkpoint }).await;
        let outbox = Instant::now();
        let (held, released) = (Vec::new(), Vec::new());
        self.done(Effect::MarkPublished { effect, expected, checkpoint, at, held, released }).await;
        let marked = Instant::now();
        for (consumer, changes) in [(Consumer::ReadModel, changes), (Consumer::Ledger, entries)] {
            let (held, released, checkpoints) = (Vec::new(), Vec::new(), checkpoints.clone());
            let begun = Instant::now();
            self.done(Effect::Project { effect, consumer, changes, checkpoints, held, released, at }).await;
            match consumer {
                Consumer::ReadModel => self.spent.read_model += begun.elapsed(),
                Consumer::Ledger | Consumer::Relay => self.spent.ledger += begun.elapsed(),
            }
        }
        self.spent.outbox += outbox - start;
        self.spent.marks += marked - outbox;
        self.offsets.extend(ends);
        self.checkpoint = checkpoint;
    }
}

/// Processor time of all threads so far.
fn processor_time() -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS_PER_SECOND)
}

#[allow(clippy::print_stdout, reason = "a measurement prints its result")]
async fn measure(transfers: usize, wallets: usize, batch: usize) {
    let directory = std::env::temp_dir().join(format!("wallex-drain-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the database");
    let database = Database::open(directory.join("drain.sqlite")).await.expect("a new database");
    let currency = Currency::parse("USD").expect("a currency");
    let start = Timestamp::from_micros(1_800_000_000_000_000);
    let wallet = |number: usize| Wallet {
        id: WalletId::parse(&format!("01a3185c-507b-7000-bfff-{:012x}", number * 7_919)).expect("an id"),
        owner_id: OwnerId::parse(&format!("owner-{}", number / 3)).expect("an id"),
        currency,
        balance: Money::zero(currency),
        version: Version(0),
        created_at: start,
        updated_at: start,
    };
    let mut world =
        World { wallets: (0..wallets).map(wallet).collect(), position: 0, commands: 0, seed: 88_172_645, currency };
    let mut drain = Drain { database, checkpoint: Position(0), offsets: BTreeMap::new(), spent: Spent::default() };
    for from in (0..wallets).step_by(batch) {
        let events = world.creations(from, (from + batch).min(wallets));
        drain.batch(events).await;
    }
    let report = (transfers / 10).max(1);
    let (mut done, mut at_last_report) = (0, 0);
    let (mut wall, mut processor) = (Duration::ZERO, Duration::ZERO);
    drain.spent = Spent::default();
    while done < transfers {
        let events = world.transfers(batch / 2);
        let (begun, used) = (Instant::now(), processor_time());
        drain.batch(events).await;
        wall += begun.elapsed();
        processor += processor_time() - used;
        done += batch / 2;
        if done - at_last_report >= report {
            let count = (done - at_last_report) as f64;
            let micros = |time: Duration| time.as_secs_f64() * 1e6 / count;
            println!(
                "{done:>9} transfers: {:>7.0}/s, {:.1} us each of processor time; outbox {:.1}, marks {:.1}, read model \
                 {:.1}, ledger {:.1} us",
                count / wall.as_secs_f64(),
                micros(processor),
                micros(drain.spent.outbox),
                micros(drain.spent.marks),
                micros(drain.spent.read_model),
                micros(drain.spent.ledger),
            );
            (wall, processor, at_last_report) = (Duration::ZERO, Duration::ZERO, done);
            drain.spent = Spent::default();
        }
    }
    drain.database.close().await;
    // Left behind when it fails: the next start of the machine clears temporary files.
    let _cleared = std::fs::remove_dir_all(&directory);
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let transfers = numbers.next().unwrap_or(500_000);
    let wallets = numbers.next().unwrap_or(10_000);
    let batch = numbers.next().unwrap_or(4_096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(transfers, wallets, batch));
}
