//! The command machine without IO: transfers per second, by batch size, spread over wallets or all on one.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wallex_benches::machine::Machine;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WALLETS: usize = 10_000;

fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command_machine");
    for batch in [1_usize, 64, 1_000] {
        group.throughput(Throughput::Elements(batch as u64));
        let mut spread = Machine::with_wallets(WALLETS);
        let mut next = 0_usize;
        group.bench_function(format!("transfer_spread/{batch}"), |bencher| {
            bencher.iter_batched(
                || spread_transfers(batch, &mut next),
                |pairs| {
                    let requests = spread.transfers(batch, |at| pairs[at]);
                    assert_eq!(spread.run(requests), batch as u64);
                },
                BatchSize::SmallInput,
            );
        });
        let mut hot = Machine::with_wallets(WALLETS);
        group.bench_function(format!("transfer_hot/{batch}"), |bencher| {
            bencher.iter_batched(
                || spread_transfers(batch, &mut next),
                |pairs| {
                    let requests = hot.transfers(batch, |at| (0, pairs[at].1.max(1)));
                    assert_eq!(hot.run(requests), batch as u64);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Pairs of different wallets, scattered by a fixed multiplicative step.
fn spread_transfers(batch: usize, next: &mut usize) -> Vec<(usize, usize)> {
    (0..batch)
        .map(|_| {
            *next += 1;
            let from = next.wrapping_mul(7_919) % WALLETS;
            let to = next.wrapping_mul(104_729).wrapping_add(1) % WALLETS;
            (from, if to == from { (to + 1) % WALLETS } else { to })
        })
        .collect()
}

criterion_group!(benches, machine);
criterion_main!(benches);
