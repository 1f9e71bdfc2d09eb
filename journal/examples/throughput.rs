//! Measures a journal on a real disk: durable transfers per second by group size, what reading gives back, and how long a
//! start takes from a snapshot and without one.
//!
//! `cargo run --release -p wallex-journal --example throughput -- DIRECTORY [WALLETS] [EVENTS]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people, which may stop at any error")]

use std::path::Path;
use std::time::{Duration, Instant};

use wallex_core::command::{FinalAnswer, Fingerprint, Idempotency, KeyHash, Success};
use wallex_core::currency::Currency;
use wallex_core::effect::{Append, Completion, KeyRecord, StreamWrite};
use wallex_core::event::Event;
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Position, Version, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Cause, Create, Transfer, Wallet};
use wallex_journal::{Journal, Maintenance, Options, OsStorage};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// Wallets by number, and the next command's number.
struct Bank {
    wallets: Vec<Wallet>,
    commands: u64,
    correlation_id: CorrelationId,
}

impl Bank {
    fn new() -> Self {
        let correlation_id = CorrelationId::parse("7d0c1f9e-3f5b-4a53-9b8c-0f1f6f7f1c11").unwrap();
        Self { wallets: Vec::new(), commands: 0, correlation_id }
    }

    fn create(&mut self) -> Append {
        self.commands += 1;
        let usd = Currency::parse("USD").unwrap();
        let number = self.wallets.len();
        let create = Create {
            wallet_id: WalletId::parse(&format!("0198f3a2-7c4e-7000-8000-{number:012}")).unwrap(),
            owner_id: OwnerId::parse(&format!("owner-{number:08}")).unwrap(),
            currency: usd,
            initial_balance: Money::parse("1000000", usd).unwrap(),
        };
        let event = create.decide(None, &self.cause(), 0).unwrap();
        self.wallets.push(Wallet::apply(None, &event));
        self.append(vec![event])
    }

    fn transfer(&mut self, keyed: bool) -> Append {
        self.commands += 1;
        let count = self.wallets.len() as u64;
        let from = (self.commands.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % count;
        let to = (from + 1 + self.commands % (count - 1)) % count;
        let transfer = Transfer {
            from: self.wallets[from as usize].id.clone(),
            to: self.wallets[to as usize].id.clone(),
            amount: Amount::parse("0.01").unwrap(),
            description: None,
        };
        let (from, to) = (from as usize, to as usize);
        let [debit, credit] = transfer.decide(&self.wallets[from], &self.wallets[to], &self.cause(), 0).unwrap();
        self.wallets[from].advance(&debit);
        self.wallets[to].advance(&credit);
        let after = [self.wallets[from].clone(), self.wallets[to].clone()];
        let events = vec![debit, credit];
        let answer = Success::of(&events, after.into_iter());
        let mut append = self.append(events);
        if keyed {
            append.records.push(self.record(answer));
        }
        append
    }

    fn cause(&self) -> Cause<'_> {
        let command_id = CommandId::new(NOW, self.commands);
        Cause { command_id, correlation_id: &self.correlation_id, trace_parent: None, now: NOW }
    }

    fn append(&self, events: Vec<Event>) -> Append {
        let writes = events.into_iter().map(|event| StreamWrite {
            wallet: event.wallet_id.clone(),
            expected: Version(event.version.0 - 1),
            events: vec![event],
        });
        Append { writes: writes.collect(), records: Vec::new() }
    }

    fn record(&self, success: Success) -> KeyRecord {
        let hash = (u128::from(self.commands) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes();
        KeyRecord {
            idempotency: Idempotency { key: KeyHash(hash), fingerprint: Fingerprint(hash) },
            command_id: CommandId::new(NOW, self.commands),
            expires_at: NOW.plus(Duration::from_secs(86_400)),
            held_by: None,
            answer: FinalAnswer { outcome: Ok(success), correlation_id: self.correlation_id.clone() },
        }
    }
}

fn open(directory: &Path) -> Journal<OsStorage> {
    let started = Instant::now();
    let storage = OsStorage::create(directory).unwrap();
    let (journal, recovery) = Journal::open(storage, Options::default()).unwrap();
    println!(
        "start: {:.2?} for {} wallets, {} keys, {} events ({} after the snapshot), resident {} MB",
        started.elapsed(),
        recovery.wallets,
        recovery.keys,
        recovery.position,
        recovery.events_read,
        resident_megabytes(),
    );
    journal
}

fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0) / 1_024
}

/// The processor time of this thread, which does not count what other processes take.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(statistics.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Appends groups until `count` appends are durable; returns the time inside the journal alone, by the clock and on the
/// processor.
fn run(
    journal: &mut Journal<OsStorage>,
    bank: &mut Bank,
    group: usize,
    count: usize,
    keyed: bool,
) -> (Duration, Duration) {
    let (mut inside, mut working) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count / group {
        let appends: Vec<Append> = (0..group).map(|_| bank.transfer(keyed)).collect();
        let (begun, started) = (processor_time(), Instant::now());
        let outcomes = journal.append(&appends, NOW);
        inside += started.elapsed();
        working += processor_time() - begun;
        assert!(outcomes.iter().all(|outcome| *outcome == Completion::Done(())));
    }
    (inside, working)
}

/// What the runtime's background thread does.
fn upkeep(maintenance: Maintenance<OsStorage>, stop: std::sync::mpsc::Receiver<()>) {
    while stop.recv_timeout(Duration::from_millis(5)).is_err_and(|error| error.to_string().contains("timed out")) {
        maintenance.prepare_next_segment().unwrap();
        maintenance.build_indexes().unwrap();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("the first argument is an empty directory");
    let wallets = arguments.next().map_or(10_000, |text| text.parse::<usize>().unwrap());
    let events = arguments.next().map_or(0, |text| text.parse::<usize>().unwrap());
    let directory = Path::new(&directory);
    let (mut journal, mut bank) = (open(directory), Bank::new());
    journal.maintenance().prepare_next_segment().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel();
    let background = std::thread::spawn({
        let maintenance = journal.maintenance();
        move || upkeep(maintenance, stopped)
    });
    for _ in 0..wallets / 1_000 {
        let appends: Vec<Append> = (0..1_000).map(|_| bank.create()).collect();
        assert!(journal.append(&appends, NOW).iter().all(|outcome| *outcome == Completion::Done(())));
    }
    for keyed in [false, true] {
        for (group, count) in [(1, 20_000), (64, 256_000), (1_000, 600_000)] {
            let (inside, working) = run(&mut journal, &mut bank, group, count, keyed);
            let (rate, cost) = (count as f64 / inside.as_secs_f64(), working.as_secs_f64() * 1e6 / count as f64);
            println!(
                "groups of {group:>5}, records {keyed:>5}: {rate:>8.0} durable transfers/s, {cost:.2} µs CPU each"
            );
        }
    }
    let missing = events.saturating_sub(journal.position().0 as usize) / 2;
    run(&mut journal, &mut bank, 1_000, missing, false);
    drop(stop);
    background.join().unwrap();
    read(&journal, &bank);
    let started = Instant::now();
    journal.maintenance().write_snapshot(NOW).unwrap();
    println!("snapshot of everything: {:.2?}", started.elapsed());
    run(&mut journal, &mut bank, 1_000, 50_000, true);
    let started = Instant::now();
    journal.maintenance().write_snapshot(NOW).unwrap();
    println!("snapshot after 100,000 more events: {:.2?}", started.elapsed());
    run(&mut journal, &mut bank, 1_000, 50_000, true);
    journal.close(NOW).unwrap();
    drop(open(directory));
    for name in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if name.extension().is_some_and(|extension| extension == "snap") {
            std::fs::remove_file(name).unwrap();
        }
    }
    drop(open(directory));
}

fn read(journal: &Journal<OsStorage>, bank: &Bank) {
    let reader = journal.reader();
    let started = Instant::now();
    let mut after = Position(0);
    while let Some(last) = reader.read_all(after, 4_096).unwrap().last() {
        after = last.position;
    }
    let rate = after.0 as f64 / started.elapsed().as_secs_f64();
    println!("reading the log: {rate:.0} events/s");
    let started = Instant::now();
    let verified = reader.verify().unwrap();
    println!("verifying {} events in {} segments: {:.2?}", verified.events, verified.segments, started.elapsed());
    let times: Vec<Duration> = bank
        .wallets
        .iter()
        .step_by(bank.wallets.len() / 1_000)
        .map(|wallet| {
            let started = Instant::now();
            let history = reader.read_stream_backwards(&wallet.id, None, 20).unwrap();
            assert!(!history.is_empty());
            started.elapsed()
        })
        .collect();
    let mut sorted = times.clone();
    sorted.sort();
    let (first, median, p99) = (times[0], sorted[sorted.len() / 2], sorted[sorted.len() * 99 / 100]);
    println!("newest 20 events of a wallet: first {first:.2?}, median {median:.2?}, p99 {p99:.2?}");
}
