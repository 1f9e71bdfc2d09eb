//! The pipeline's machines without IO: events from the log through feeder, relay and both projectors.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wallex_benches::events::Log;
use wallex_benches::topic::{GROUP, Topic};
use wallex_core::event::Recorded;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WALLETS: usize = 10_000;

fn pipeline(criterion: &mut Criterion) {
    let mut log = Log::new(WALLETS);
    let mut topic = Topic::new();
    for at in 0..WALLETS {
        let created = log.create(at);
        let created = log.record(created);
        topic.run(created);
    }
    let topic = std::cell::RefCell::new(topic);
    let mut group = criterion.benchmark_group("pipeline_machines");
    group.sample_size(20);
    group.throughput(Throughput::Elements(GROUP as u64 / 2));
    group.bench_function("transfers", |bencher| {
        bencher.iter_batched(
            || {
                let events: Vec<_> = (0..GROUP / 2).flat_map(|_| log.transfer()).collect();
                log.record(events)
            },
            |events: Vec<Recorded>| topic.borrow_mut().run(events),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
