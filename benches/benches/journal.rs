//! The journal on the real disk: groups of 1, 64 and 1,000 transfers, each group one write and one sync.
//!
//! The directory is made below the system's directory for temporary files (`TMPDIR` chooses another): when that is in
//! memory, syncs cost nothing and the figures are those of the journal's own work.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wallex_benches::events::{Log, append_of};
use wallex_core::effect::{Append, Completion};
use wallex_journal::{Journal, Options, OsStorage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WALLETS: usize = 10_000;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal_append");
    group.sample_size(20);
    for size in [1_usize, 64, 1_000] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let storage = OsStorage::create(directory.path().join("journal")).expect("a directory");
        let (journal, _) = Journal::open(storage, Options::default()).expect("an empty journal");
        let maintenance = journal.maintenance();
        let mut log = Log::new(WALLETS);
        // In cells: the setup makes appends and prepares segments, the routine writes.
        let journal = std::cell::RefCell::new(journal);
        let creations: Vec<Append> = (0..WALLETS).map(|at| append_of(log.create(at))).collect();
        let created = journal.borrow_mut().append(&creations, log.now());
        assert!(created.iter().all(|outcome| *outcome == Completion::Done(())));
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(format!("{size}"), |bencher| {
            bencher.iter_batched(
                || {
                    maintenance.prepare_next_segment().expect("room for a segment");
                    let appends: Vec<Append> = (0..size).map(|_| append_of(log.transfer())).collect();
                    (appends, log.now())
                },
                |(appends, now)| {
                    let outcomes = journal.borrow_mut().append(&appends, now);
                    assert!(outcomes.iter().all(|outcome| *outcome == Completion::Done(())));
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
