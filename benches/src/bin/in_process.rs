//! Durable transfers without HTTP: callers in flight on one thread, the core and the journal on another.
//!
//!     in_process --dir DIR [--in-flight 64] [--wallets 10000] [--seconds 5] [--keyed] [--hot] [--flight-recorder DIR]
//!
//! Every caller waits for the answer to its transfer, which comes after the sync, before it submits the next. Prints
//! one line of JSON in the form that `scripts/bench.sh` collects.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::LocalSet;
use wallex::driver::{CommandThread, Engine, Gauges, Limits, RecordedNode, now};
use wallex::leases::LeaseTable;
use wallex::telemetry::Telemetry;
use wallex_benches::process::processor_time;
use wallex_benches::requests::{Pairs, Requests};
use wallex_core::command::{Answer, FinalAnswer};
use wallex_core::config::Config;
use wallex_journal::{Journal, Options, OsStorage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Arguments {
    dir: PathBuf,
    in_flight: u32,
    wallets: usize,
    seconds: u64,
    keyed: bool,
    hot: bool,
    flight_recorder: Option<PathBuf>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments {
        dir: PathBuf::new(),
        in_flight: 64,
        wallets: 10_000,
        seconds: 5,
        keyed: false,
        hot: false,
        flight_recorder: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--dir" => arguments.dir = value()?.into(),
            "--in-flight" => arguments.in_flight = value()?.parse()?,
            "--wallets" => arguments.wallets = value()?.parse()?,
            "--seconds" => arguments.seconds = value()?.parse()?,
            "--flight-recorder" => arguments.flight_recorder = Some(value()?.into()),
            "--keyed" => arguments.keyed = true,
            "--hot" => arguments.hot = true,
            unknown => return Err(format!("unknown argument {unknown}").into()),
        }
    }
    if arguments.dir.as_os_str().is_empty() || arguments.wallets < 2 {
        return Err("--dir and at least two --wallets are needed".into());
    }
    Ok(arguments)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let (journal, _) = Journal::open(OsStorage::create(&arguments.dir)?, Options::default())?;
    let maintenance = journal.maintenance();
    maintenance.prepare_next_segment()?;
    let stop = Arc::new(AtomicBool::new(false));
    let upkeep = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && maintenance.prepare_next_segment().is_ok() {
                std::thread::park_timeout(Duration::from_millis(100));
            }
        })
    };
    let gauges = Arc::new(Gauges::default());
    let (appended, _watched) = watch::channel(journal.position());
    let node = match &arguments.flight_recorder {
        Some(dir) => RecordedNode::recorded(Config::default(), now(), dir, "commands", Limits::default())?.0,
        None => RecordedNode::plain(Config::default(), now()),
    };
    let (leases, shown, untraced) = (LeaseTable::new(), Arc::clone(&gauges), Telemetry::default());
    let commands = CommandThread::start(journal, node, leases, shown, appended, untraced)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let measured = LocalSet::new().block_on(&runtime, measure(commands.engine(), &arguments))?;
    let groups = gauges.look().groups;
    drop(commands.drain());
    stop.store(true, Ordering::Relaxed);
    upkeep.thread().unpark();
    upkeep.join().map_err(|_| "the upkeep thread panicked")?;
    measured.print(&arguments, groups);
    Ok(())
}

/// What a run gave.
struct Measured {
    latencies_us: Vec<u32>,
    elapsed: Duration,
    processor: Duration,
}

async fn measure(engine: Engine, arguments: &Arguments) -> Result<Measured, Box<dyn Error>> {
    let mut requests = Requests::over(arguments.wallets);
    let creations: Vec<_> = (0..arguments.wallets).map(|at| requests.create(now(), at)).collect();
    for answer in engine.submit_all(creations).await {
        accepted(&answer)?;
    }
    let latencies = Rc::new(RefCell::new(Vec::with_capacity(4 << 20)));
    let (ending, failed) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (began, processor) = (Instant::now(), processor_time());
    let mut callers = Vec::new();
    for lane in 0..arguments.in_flight {
        let (engine, mut requests) = (engine.clone(), requests.lane(lane + 1));
        let mut pairs = Pairs::new(arguments.wallets, lane as usize * 1_000_003);
        let (latencies, ending, failed) = (Rc::clone(&latencies), Rc::clone(&ending), Rc::clone(&failed));
        let (hot, keyed) = (arguments.hot, arguments.keyed);
        callers.push(tokio::task::spawn_local(async move {
            while !ending.get() {
                let pair = if hot { pairs.hot() } else { pairs.spread() };
                let mut request = requests.transfer(now(), pair);
                if keyed {
                    request = requests.keyed(request);
                }
                let submitted = Instant::now();
                failed.set(failed.get() || accepted(&engine.submit(request).await).is_err());
                latencies.borrow_mut().push(u32::try_from(submitted.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    ending.set(true);
    for caller in callers {
        caller.await?;
    }
    let (elapsed, processor) = (began.elapsed(), processor_time().saturating_sub(processor));
    if failed.get() {
        return Err("a transfer was not accepted".into());
    }
    Ok(Measured { latencies_us: latencies.take(), elapsed, processor })
}

fn accepted(answer: &Answer) -> Result<(), String> {
    match answer {
        Answer::Final { answer: FinalAnswer { outcome: Ok(_), .. }, replayed: false } => Ok(()),
        refused @ (Answer::Final { .. }
        | Answer::InFlight
        | Answer::KeyReused
        | Answer::Unavailable(_)
        | Answer::OutcomeUnknown) => Err(format!("not accepted: {refused:?}")),
    }
}

impl Measured {
    fn print(mut self, arguments: &Arguments, groups: u64) {
        self.latencies_us.sort_unstable();
        let count = self.latencies_us.len();
        let at = |percent: usize| self.latencies_us.get(count * percent / 100).map_or(0.0, |us| f64::from(*us) / 1e3);
        let scenario = match (arguments.hot, arguments.keyed) {
            (false, false) => "in process",
            (false, true) => "in process, keyed",
            (true, false) => "in process, hot",
            (true, true) => "in process, hot, keyed",
        };
        let line = json!({
            "subject": "wallex",
            "scenario": scenario,
            "connections": arguments.in_flight,
            "operations": count,
            "per_second": count as f64 / self.elapsed.as_secs_f64(),
            "p50_ms": at(50),
            "p99_ms": at(99),
            "cpu_us": self.processor.as_secs_f64() * 1e6 / count.max(1) as f64,
            "errors": 0,
            "syncs": groups,
        });
        println!("{line}");
    }
}
