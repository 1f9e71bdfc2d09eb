//! The command machine without IO: transfers per second, by batch size, spread over wallets, all on one, and each under
//! an idempotency key of its own.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wallex_benches::machine::Machine;
use wallex_benches::requests::Pairs;
use wallex_core::command::Request;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WALLETS: usize = 10_000;

type Make = fn(&mut Machine, &mut Pairs, usize) -> Vec<Request>;

/// Name, and how a batch of requests is made.
const SCENARIOS: [(&str, Make); 3] = [
    ("transfer_spread", |machine, pairs, batch| {
        let pairs: Vec<_> = (0..batch).map(|_| pairs.spread()).collect();
        machine.transfers(&pairs)
    }),
    ("transfer_hot", |machine, pairs, batch| {
        let pairs: Vec<_> = (0..batch).map(|_| pairs.hot()).collect();
        machine.transfers(&pairs)
    }),
    ("transfer_keyed", |machine, pairs, batch| {
        let pairs: Vec<_> = (0..batch).map(|_| pairs.spread()).collect();
        machine.keyed_transfers(&pairs)
    }),
];

fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command_machine");
    for batch in [1_usize, 64, 1_000] {
        group.throughput(Throughput::Elements(batch as u64));
        for (name, make) in SCENARIOS {
            // In a cell: the setup makes requests with it, the routine runs them.
            let machine = std::cell::RefCell::new(Machine::with_wallets(WALLETS));
            let mut pairs = Pairs::new(WALLETS, 0);
            group.bench_function(format!("{name}/{batch}"), |bencher| {
                bencher.iter_batched(
                    || make(&mut machine.borrow_mut(), &mut pairs, batch),
                    |requests| assert_eq!(machine.borrow_mut().run(requests), batch as u64),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, machine);
criterion_main!(benches);
