//! One worker: takes operations from its plan, sends them over its connection, and keeps the books.
//!
//! One idempotency key for each request, however often it is sent (INV-05). What was accepted is settled in the model,
//! what was not done is given back, what may have been done is in doubt. Deliveries and their retries are `client`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::client::{Connection, Delivery};
use super::histogram::Histogram;
use super::model::{Accounts, Operation};
use super::plan::Plan;
use super::wire;

/// Findings of one kind are counted; this many kinds are kept.
const FINDINGS_MAX: usize = 50;

/// What all workers of a phase share.
#[derive(Debug)]
pub struct Phase {
    /// The model.
    pub accounts: Arc<Accounts>,
    /// What to do.
    pub work: Work,
    /// Operations in one request.
    pub batch: usize,
    /// Operations given to workers so far.
    taken: AtomicU64,
    /// Operations that ended, for the progress bar.
    pub done: AtomicU64,
    /// Those of them that failed.
    pub failed: AtomicU64,
}

/// What a phase does.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Creates every wallet once.
    Create,
    /// A number of operations of the plan.
    Operations(u64),
    /// Operations of the plan until a point in time.
    Until(Instant),
}

/// Counts of one worker, or of all of them.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// For each kind of operation: accepted.
    pub accepted: [u64; 4],
    /// For each kind of operation: not accepted.
    pub failed: [u64; 4],
    /// Request latencies for each kind of operation.
    pub latencies: [Histogram; 4],
    /// Request latencies of batches.
    pub batch_latencies: Histogram,
    /// Attempts that had to be repeated.
    pub retries: u64,
    /// What went wrong, and how often.
    pub findings: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds the counts of another worker.
    pub fn merge(&mut self, other: &Self) {
        for kind in 0..4 {
            self.accepted[kind] += other.accepted[kind];
            self.failed[kind] += other.failed[kind];
            self.latencies[kind].merge(&other.latencies[kind]);
        }
        self.batch_latencies.merge(&other.batch_latencies);
        self.retries += other.retries;
        for (finding, count) in &other.findings {
            *self.findings.entry(finding.clone()).or_default() += count;
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX || self.findings.contains_key(&finding) {
            *self.findings.entry(finding).or_default() += 1;
        }
    }
}

impl Phase {
    /// A phase that has not begun.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>, work: Work, batch: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Self { accounts, work, batch, taken: zero(), done: zero(), failed: zero() }
    }

    /// How many operations the phase will have, when that is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match self.work {
            Work::Create => Some(self.accounts.len() as u64),
            Work::Operations(count) => Some(count),
            Work::Until(_) => None,
        }
    }

    /// The operations of the next request; empty when the phase is over.
    fn take(&self, plan: &mut Plan, into: &mut Vec<Operation>) {
        into.clear();
        let wanted = self.batch.max(1) as u64;
        let first = self.taken.fetch_add(wanted, Relaxed);
        let count = match self.work {
            Work::Create | Work::Operations(_) => self.total().unwrap_or(0).saturating_sub(first).min(wanted),
            Work::Until(end) => {
                if Instant::now() < end {
                    wanted
                } else {
                    0
                }
            }
        };
        for at in first..first + count {
            match self.work {
                Work::Create => into.push(plan.creation(at as usize)),
                Work::Operations(_) | Work::Until(_) => into.extend(plan.next(&self.accounts)),
            }
        }
    }
}

/// Runs one worker of a phase to the end. `name` makes its idempotency keys unique within the run.
pub async fn run(phase: Arc<Phase>, mut plan: Plan, mut connection: Connection, name: String) -> Tally {
    let mut tally = Tally::default();
    let mut operations = Vec::with_capacity(phase.batch.max(1));
    for request in 0_u64.. {
        phase.take(&mut plan, &mut operations);
        let Some(first) = operations.first().copied() else { break };
        let (path, body) = if phase.batch > 0 {
            wire::batch(&operations, &phase.accounts)
        } else {
            wire::single(first, &phase.accounts)
        };
        let key = format!("{}-{name}-{request}", phase.accounts.run());
        let begun = Instant::now();
        let delivery = connection.deliver(&path, &key, body, &mut tally.retries, |bound| plan.jitter(bound)).await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        if phase.batch > 0 {
            tally.batch_latencies.record(micros);
        } else {
            tally.latencies[first.kind() as usize].record(micros);
        }
        book(&phase, &mut tally, &operations, delivery);
    }
    tally
}

fn book(phase: &Phase, tally: &mut Tally, operations: &[Operation], delivery: Delivery) {
    match delivery {
        Delivery::Accepted(_) if phase.batch == 0 => {
            operations.iter().for_each(|operation| accept(phase, tally, *operation));
        }
        Delivery::Accepted(body) => match wire::batch_results(&body, operations.len()) {
            Ok(results) => {
                for (operation, refusal) in operations.iter().zip(results) {
                    match refusal {
                        None => accept(phase, tally, *operation),
                        Some(reason) => fail(phase, tally, *operation, &reason, false),
                    }
                }
            }
            Err(reason) => operations.iter().for_each(|operation| fail(phase, tally, *operation, &reason, true)),
        },
        Delivery::Refused { reason } => {
            operations.iter().for_each(|operation| fail(phase, tally, *operation, &reason, false));
        }
        Delivery::GaveUp { maybe_done, reason } => {
            operations.iter().for_each(|operation| fail(phase, tally, *operation, &reason, maybe_done));
        }
    }
}

fn accept(phase: &Phase, tally: &mut Tally, operation: Operation) {
    phase.accounts.settle(operation);
    tally.accepted[operation.kind() as usize] += 1;
    phase.done.fetch_add(1, Relaxed);
}

fn fail(phase: &Phase, tally: &mut Tally, operation: Operation, reason: &str, maybe_done: bool) {
    if maybe_done {
        phase.accounts.doubt(operation);
    } else {
        phase.accounts.give_back(operation);
    }
    tally.failed[operation.kind() as usize] += 1;
    tally.find(format!("{:?}: {reason}", operation.kind()).to_lowercase());
    phase.done.fetch_add(1, Relaxed);
    phase.failed.fetch_add(1, Relaxed);
}
