//! The read side as the service runs it: a backlog in the journal, through outbox and broker, into read model and ledger
//! in SQLite.

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::sync::watch;
use wallex::broker::Broker;
use wallex::database::SqliteDatabase;
use wallex::driver::{Pipeline, PipelineControl, RecordedNode, now};
use wallex::telemetry::Telemetry;
use wallex_benches::events::{Log, append_of};
use wallex_core::config::{Config, Roles};
use wallex_core::effect::{Append, Completion};
use wallex_core::id::Position;
use wallex_core::time::Timestamp;
use wallex_journal::{Journal, Options, OsStorage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WALLETS: usize = 10_000;
/// Transfers in the backlog.
const BACKLOG: usize = 32_768;
/// How often the clock of the measurement looks whether it is done.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

fn append(journal: &mut Journal<OsStorage>, appends: &[Append], now: Timestamp) -> Position {
    for group in appends.chunks(1_000) {
        assert!(journal.append(group, now).iter().all(|outcome| *outcome == Completion::Done(())));
    }
    journal.position()
}

/// Tells the pipeline that the log has grown, and waits until both projections have all of it.
fn drain(appended: &watch::Sender<Position>, control: &PipelineControl, end: Position) {
    appended.send_replace(end);
    loop {
        let status = control.status();
        if status.read_model_statistics.applied >= end.0 && status.ledger_statistics.applied >= end.0 {
            return;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

fn projections(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let storage = OsStorage::create(directory.path().join("journal")).expect("a directory");
    let (journal, _) = Journal::open(storage, Options::default()).expect("an empty journal");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (database, broker) = runtime.block_on(async {
        let database = SqliteDatabase::open(directory.path().join("wallex.db")).await.expect("an empty database");
        let broker = Broker::start(database.clone()).await.expect("an empty outbox");
        (database.into(), broker)
    });
    let (appended, growing) = watch::channel(Position(0));
    let config = Config { roles: Roles { feeder: true, relay: true, projectors: true }, ..Config::default() };
    let node = RecordedNode::plain(config, now());
    let pipeline = Pipeline::start(node, true, journal.reader(), database, broker, growing, Telemetry::default())
        .expect("a thread");
    let control = pipeline.control();

    let mut log = Log::new(WALLETS);
    let journal = std::cell::RefCell::new(journal);
    let creations: Vec<Append> = (0..WALLETS).map(|at| append_of(log.create(at))).collect();
    let end = append(&mut journal.borrow_mut(), &creations, log.now());
    drain(&appended, &control, end);

    let mut group = criterion.benchmark_group("projections");
    group.sample_size(10);
    group.throughput(Throughput::Elements(BACKLOG as u64));
    group.bench_function("drain_transfers", |bencher| {
        bencher.iter_batched(
            || {
                let backlog: Vec<Append> = (0..BACKLOG).map(|_| append_of(log.transfer())).collect();
                append(&mut journal.borrow_mut(), &backlog, log.now())
            },
            |end| drain(&appended, &control, end),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    pipeline.stop();
}

criterion_group!(benches, projections);
criterion_main!(benches);
