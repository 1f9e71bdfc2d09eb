//! One run of a plan: clients, instances and servers on madsim's executor and clock.
//!
//! Owns the madsim runtime of the run (INV-13). A run has two phases: faults on, with safety checked at every step;
//! then healed, with a bound within which everything must converge (INV-10).
//!
//! | file | owns |
//! |---|---|
//! | `state`, `packet`, `pump` | what all nodes share, what travels or happens in time, the task that lets it happen |
//! | `instance`, `reads`, `process` | the service's processes |
//! | `servers`, `inside` | event store, database, broker, leases; the insides of an embedded process |
//! | `clients`, `outcome` | who asks, and writes down what comes back; what came of the run |
//! | `chaos`, `rot`, `convergence` | faults, and what must be true after them |

mod chaos;
mod clients;
mod convergence;
mod describe;
mod inside;
mod instance;
mod outcome;
mod packet;
mod process;
mod pump;
mod reads;
mod rot;
mod servers;
mod state;

pub use outcome::{Ending, Outcome, Tally};
pub use state::START;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use madsim::runtime::{Handle, Runtime};

use crate::plan::Plan;
use crate::trace::Trace;
use state::World;

type Shared = Arc<Mutex<World>>;

/// How long everything may take to converge after the last fault, in virtual time.
pub const CONVERGENCE_BOUND: Duration = Duration::from_secs(180);
/// How often it is looked whether everything has converged.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// How many looks pass between two retries of what is held.
const LOOKS_PER_RETRY: u64 = 20;
/// Clients may take this long while faults are on, beyond the last one.
const FAULTY_PHASE_MAX: Duration = Duration::from_secs(600);
/// A run that takes more steps than this goes round in circles.
pub const STEPS_MAX: u64 = 3_000_000;

fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    let mut world = shared.lock().unwrap_or_else(PoisonError::into_inner);
    world.read_clock();
    world
}

/// Runs a plan, on an operating system thread of its own: hash keys and random generators of the standard library live
/// as long as their thread (INV-13). `keep_trace` keeps the records of the trace.
#[must_use]
pub fn run(plan: &Plan, keep_trace: bool) -> Outcome {
    let began = std::time::Instant::now();
    let plan = Arc::new(plan.clone());
    #[cfg(feature = "mutants")]
    let mutant = wallex_core::mutant::active();
    let thread = std::thread::spawn(move || {
        #[cfg(feature = "mutants")]
        wallex_core::mutant::activate(mutant);
        let shared: Arc<Mutex<Option<Shared>>> = Arc::default();
        let place = Arc::clone(&shared);
        let runtime = Runtime::with_seed_and_config(plan.seed, madsim::Config::default());
        let simulation = AssertUnwindSafe(|| runtime.block_on(simulate(Arc::clone(&plan), keep_trace, place)));
        let panic = std::panic::catch_unwind(simulation).err().map(|panic| panic_text(&*panic));
        let world = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = world.map(|world| Outcome::of(&mut lock(&world), panic.clone()));
        outcome.unwrap_or_else(|| Outcome::nothing(panic))
    });
    let mut outcome = thread.join().unwrap_or_else(|panic| Outcome::nothing(Some(panic_text(&*panic))));
    outcome.real_time = began.elapsed();
    outcome
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panic".to_owned())
}

async fn simulate(plan: Arc<Plan>, keep_trace: bool, place: Arc<Mutex<Option<Shared>>>) {
    let trace = if keep_trace { Trace::keeping() } else { Trace::default() };
    let shared: Shared = Arc::new(Mutex::new(World::new(Arc::clone(&plan), trace)));
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&shared));
    pump::begin(&shared);
    let pump = madsim::task::spawn(pump::run(Arc::clone(&shared)));
    let mut nodes = Vec::new();
    for number in 0..plan.clients.len() {
        let node = Handle::current().create_node().name(format!("client-{number}")).build();
        drop(node.spawn(clients::run(Arc::clone(&shared), number as u8)));
        nodes.push(node.id());
    }
    let unsettled = converge(&shared, &plan).await;
    lock(&shared).finish(unsettled);
    // A runtime that ends keeps the tasks that wait for ever: let them end first.
    pump.abort();
    nodes.extend(lock(&shared).slots.iter_mut().filter_map(|slot| slot.process.take()).map(|process| process.id()));
    for node in nodes {
        Handle::current().kill(node);
    }
    madsim::time::sleep(Duration::from_millis(1)).await;
}

/// Waits for the faults to be over and for everything to come to rest; what has not is told.
async fn converge(shared: &Shared, plan: &Plan) -> Vec<String> {
    let healed_at = plan.healed_at_ms() * 1_000;
    let mut looks = 0_u64;
    loop {
        madsim::time::sleep(LOOK_EVERY).await;
        let world = &mut *lock(shared);
        let (now, all_done) = (world.now(), world.clients_done == plan.clients.len());
        if world.stopped {
            return Vec::new();
        }
        if world.trace.steps() > STEPS_MAX {
            return vec![format!("{STEPS_MAX} steps were not enough: something goes round in circles")];
        }
        if !world.healed {
            let overdue = now > healed_at + FAULTY_PHASE_MAX.as_micros() as u64;
            if now >= healed_at && (all_done || overdue) {
                world.heal();
                world.healed_at = now;
            }
            continue;
        }
        looks += 1;
        if looks.is_multiple_of(LOOKS_PER_RETRY) {
            world.retry_held();
        }
        let unsettled = world.unsettled();
        if unsettled.is_empty() || now > world.healed_at + CONVERGENCE_BOUND.as_micros() as u64 {
            return unsettled;
        }
    }
}
