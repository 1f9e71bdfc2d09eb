//! The load generator behind `wallex load`.
//!
//! Creates wallets, works on them over HTTP with a balance-aware [`model`], so that every refusal is a finding, and
//! compares at the end what is shown with what was acknowledged ([`check`]). It shares no code with the core.
//!
//! | module | owns |
//! |---|---|
//! | [`plan`], [`model`] | which operation comes next; what the wallets must hold, in [`cents`] |
//! | [`client`], [`wire`] | connections, retries, bodies |
//! | [`worker`], `progress` | the loop of one connection, and its statistics; what is seen of them meanwhile |
//! | [`histogram`] | latencies |
//! | [`check`], [`report`] | the comparison and the statistics block |

pub mod cents;
pub mod check;
pub mod client;
pub mod histogram;
pub mod model;
pub mod plan;
mod progress;
pub mod report;
pub mod wire;
pub mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use check::{Check, Findings};
use client::{Connection, Target};
use model::Accounts;
use plan::{Mix, Plan};
use progress::Progress;
use report::{Parts, Report};
use worker::{Phase, Tally, Work};

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://host:port`.
    pub url: String,
    /// Wallets to create.
    pub wallets: usize,
    /// Operations to run on them, when there is no `duration`.
    pub operations: u64,
    /// How long to run operations, instead of a number.
    pub duration: Option<Duration>,
    /// Connections, each with one request at a time.
    pub workers: usize,
    /// Threads that the connections share.
    pub threads: usize,
    /// Makes the same choices again.
    pub seed: u64,
    /// Which kinds of operations.
    pub mix: Mix,
    /// Whether every operation involves the first wallet.
    pub hot: bool,
    /// Operations in one request to `/batch`; 0 for single requests.
    pub batch: usize,
    /// Whether to compare at the end.
    pub check: bool,
    /// Whether to draw progress bars.
    pub progress: bool,
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one that this client speaks.
    #[error("{0:?} is no URL of the form http://host:port")]
    Url(String),
    /// No service answers.
    #[error("no service at {address}: {reason}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// The connection's error.
        reason: String,
    },
    /// The operating system refuses threads or a random number.
    #[error("the load generator cannot start: {0}")]
    Start(String),
}

/// Runs the load to its end.
///
/// # Errors
/// [`Error`] when there is nothing to run against; failures of operations are in the [`Report`].
pub fn run(options: &Options) -> Result<Report, Error> {
    let target = Target::parse(&options.url)?;
    greet(&target)?;
    let accounts = Arc::new(Accounts::new(&run_name()?, options.wallets));

    let creation = Phase::new(Arc::clone(&accounts), Work::Create, options.batch);
    let (created, create_time) = run_phase("wallets", creation, "c", options, &target)?;

    let work = match options.duration {
        Some(duration) => Work::Until(Instant::now() + duration),
        None => Work::Operations(options.operations),
    };
    let operation = Phase::new(Arc::clone(&accounts), work, options.batch);
    let (operated, operate_time) = run_phase("operations", operation, "o", options, &target)?;

    let check =
        if options.check { Some((accounts.brought_in(), run_check(&accounts, options, &target)?)) } else { None };
    Ok(Report::new(Parts {
        seed: options.seed,
        workers: options.workers,
        batch: options.batch,
        created: &created,
        create_time,
        operated: &operated,
        operate_time,
        check,
    }))
}

/// Finds out whether there is a service before any load is made.
fn greet(target: &Target) -> Result<(), Error> {
    let mut connection = Connection::new(target.clone());
    runtime()?.block_on(connection.open()).map_err(|error| Error::Unreachable {
        address: target.authority().to_owned(),
        reason: match error {
            client::CallError::NotSent(reason) | client::CallError::Lost(reason) => reason,
        },
    })
}

/// Tells this run's wallets and keys from those of every other run.
fn run_name() -> Result<String, Error> {
    let random = getrandom::u64().map_err(|error| Error::Start(error.to_string()))?;
    Ok(format!("{random:016x}"))
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Error::Start(error.to_string()))
}

fn run_phase(
    title: &'static str,
    phase: Phase,
    name: &str,
    options: &Options,
    target: &Target,
) -> Result<(Tally, Duration), Error> {
    let phase = Arc::new(phase);
    let progress = Progress::start(title, &phase, options.progress);
    let begun = Instant::now();
    let tallies = run_workers(options, |worker| {
        let plan = Plan::new(options.seed, worker, options.mix, options.hot);
        let connection = Connection::new(target.clone());
        worker::run(Arc::clone(&phase), plan, connection, format!("{name}{worker}"))
    })?;
    let elapsed = begun.elapsed();
    drop(progress);
    let mut sum = Tally::default();
    tallies.iter().for_each(|tally| sum.merge(tally));
    Ok((sum, elapsed))
}

fn run_check(accounts: &Arc<Accounts>, options: &Options, target: &Target) -> Result<Findings, Error> {
    let check = Arc::new(Check::new(Arc::clone(accounts)));
    let parts = run_workers(options, |_| Arc::clone(&check).run(Connection::new(target.clone())))?;
    let mut sum = Findings::default();
    parts.into_iter().for_each(|part| sum.merge(part));
    Ok(sum)
}

/// Runs one future per worker, spread over the threads, and collects what they return.
fn run_workers<F, T>(options: &Options, worker: impl Fn(usize) -> F + Sync) -> Result<Vec<T>, Error>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let threads = options.threads.clamp(1, options.workers.max(1));
    let of_thread = |thread: usize| -> Result<Vec<T>, Error> {
        let mut tasks = tokio::task::JoinSet::new();
        runtime()?.block_on(async {
            for index in (thread..options.workers.max(1)).step_by(threads) {
                tasks.spawn(worker(index));
            }
            let mut results = Vec::new();
            while let Some(result) = tasks.join_next().await {
                results.push(result.map_err(|error| Error::Start(error.to_string()))?);
            }
            Ok(results)
        })
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        let mut all = Vec::new();
        for handle in handles {
            match handle.join() {
                Ok(results) => all.extend(results?),
                Err(_) => return Err(Error::Start("a worker thread panicked".to_owned())),
            }
        }
        Ok(all)
    })
}
