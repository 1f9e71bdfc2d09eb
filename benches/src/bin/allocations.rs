//! How often a command allocates on its way through the core: counted, not timed.
//!
//!     allocations [COMMANDS]
//!
//! Counts what the machine allocates between a request and its reply, the append included; the request itself is made
//! before. Leaves `dhat-heap.json` in the working directory, which says where (open it with DHAT's viewer).
#![expect(clippy::print_stdout, reason = "a command line program")]

use wallex_benches::machine::Machine;
use wallex_benches::requests::Pairs;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WALLETS: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let commands: usize = std::env::args().nth(1).map_or(Ok(64_000), |text| text.parse())?;
    let mut machine = Machine::with_wallets(WALLETS);
    let mut pairs = Pairs::new(WALLETS, 0);
    for batch in [1, 64, 1_000] {
        let batches: Vec<_> = (0..commands.div_ceil(batch))
            .map(|_| {
                let pairs: Vec<_> = (0..batch).map(|_| pairs.spread()).collect();
                machine.transfers(&pairs)
            })
            .collect();
        let count = (batches.len() * batch) as f64;
        // The last profile is the one that stays.
        let profiler = dhat::Profiler::new_heap();
        for requests in batches {
            machine.run(requests);
        }
        let stats = dhat::HeapStats::get();
        println!(
            "{batch:>5} at once: {:>6.2} allocations and {:>6.0} bytes per transfer",
            stats.total_blocks as f64 / count,
            stats.total_bytes as f64 / count
        );
        drop(profiler);
    }
    Ok(())
}
