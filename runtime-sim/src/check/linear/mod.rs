//! Linearizability of the clients' history (INV-09): is there one order of all operations, each between its call and its
//! answer, in which a plain ledger would have given every answer that was given?
//!
//! The search (`search`) is Wing and Gong's with Lowe's memory of configurations, run for each set of wallets that are
//! linked by transfers or batches. The ledger (`spec`) knows versions, so an acknowledged change of a wallet has only one
//! place; what is searched is the order of concurrent operations and the fate of unknown ones. An operation without a
//! known outcome may happen at any later time or never; one that is known not to be done takes no part.
//!
//! First the log is believed: unknown operations that it contains happened, others did not. An order found that way is
//! a proof like any other. Only when there is none, every fate is tried, within a budget; when that is spent the answer
//! is "gave up", which is neither good nor bad.

mod batch;
mod search;
mod spec;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::id::WalletId;

use super::Books;
use super::operations::{Known, Operation, Operations};
use crate::history::{Command, History, Outcome};
use search::{Entry, Found};
use spec::Seen;

/// Configurations that one search may visit.
const CONFIGURATIONS_MAX: usize = 50_000;

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// There is an order.
    Linearizable,
    /// There is none.
    Not {
        /// A wallet of the operation that fits nowhere.
        wallet: Option<WalletId>,
        /// Which operation that is, and what the ledger was there.
        text: String,
    },
    /// The budget was spent.
    GaveUp(String),
}

/// Judges a history: one judgement for each set of linked wallets.
#[must_use]
pub fn judge(history: &History, books: &Books) -> Vec<Judgement> {
    let operations = Operations::of(history);
    let happened = happened(&operations, books);
    let part = |(number, operation): (usize, &Operation<'_>)| entry_of(operation, happened.contains(&number));
    let entries = operations.all.iter().enumerate().filter_map(part).flat_map(batch::parts);
    let entries: Vec<Entry> = entries.collect();
    components(&entries).into_iter().map(|component| judge_component(&component)).collect()
}

/// The operations that have events in the log.
fn happened(operations: &Operations<'_>, books: &Books) -> BTreeSet<usize> {
    let attempts = books.wallets().flat_map(|(_, entries)| entries).filter_map(|entry| entry.attempt);
    attempts.filter_map(|attempt| operations.number_of(attempt)).collect()
}

fn entry_of(operation: &Operation<'_>, happened: bool) -> Option<Entry> {
    if matches!(**operation.command, Command::ReadModel { .. }) {
        return None;
    }
    let (returned, seen) = match operation.known() {
        Known::Answered(at, outcome) => (Some(at.as_micros()), Some(Seen::of(&outcome)?)),
        Known::Perhaps if operation.command.steps().is_empty() => return None,
        Known::Perhaps => (None, None),
        Known::Never => return None,
    };
    let (command, invoked) = (operation.command.clone(), operation.invoked().as_micros());
    Some(Entry { command, client: operation.attempts[0].client, invoked, returned, seen, happened })
}

/// Puts entries together that share wallets, directly or through others.
fn components(entries: &[Entry]) -> Vec<Vec<&Entry>> {
    let mut parents: Vec<usize> = Vec::new();
    let mut numbers: BTreeMap<&WalletId, usize> = BTreeMap::new();
    fn root(parents: &mut [usize], mut at: usize) -> usize {
        while parents[at] != at {
            parents[at] = parents[parents[at]];
            at = parents[at];
        }
        at
    }
    for entry in entries {
        let mut first = None;
        for wallet in entry.command.wallets() {
            let next = parents.len();
            let number = *numbers.entry(wallet).or_insert(next);
            if number == next {
                parents.push(next);
            }
            let own = root(&mut parents, number);
            let first = *first.get_or_insert(own);
            let first = root(&mut parents, first);
            parents[own] = first;
        }
    }
    let mut components: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        let Some(wallet) = entry.command.wallets().next() else { continue };
        let component = root(&mut parents, numbers[wallet]);
        components.entry(component).or_default().push(entry);
    }
    components.into_values().collect()
}

fn judge_component(entries: &[&Entry]) -> Judgement {
    let believed: Vec<&Entry> =
        entries.iter().copied().filter(|entry| entry.seen.is_some() || entry.happened).collect();
    if let Found::Order = search::search(&believed, CONFIGURATIONS_MAX) {
        return Judgement::Linearizable;
    }
    match search::search(entries, CONFIGURATIONS_MAX) {
        Found::Order => Judgement::Linearizable,
        Found::Budget => {
            let wallet = entries.iter().find_map(|entry| entry.command.wallets().next().cloned());
            let wallet = wallet.map_or_else(String::new, |wallet| wallet.to_string());
            Judgement::GaveUp(format!(
                "INV-09: no order of the {} operations around wallet {wallet} within {CONFIGURATIONS_MAX} configurations",
                entries.len()
            ))
        }
        Found::None { stuck, ledger } => {
            let entry = entries[stuck];
            let outcome = entry.seen.as_ref().map_or_else(|| "unknown".to_owned(), |seen| format!("{seen:?}"));
            Judgement::Not {
                wallet: entry.command.wallets().next().cloned(),
                text: format!(
                    "no order explains what client {} saw: {:?} came to {outcome}, where the ledger has {ledger}",
                    entry.client, entry.command
                ),
            }
        }
    }
}

impl Seen {
    /// What an answer says; nothing for an answer that says nothing.
    fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Done { results, .. } => Some(Self::Done(results.clone())),
            Outcome::Refused { refusal, .. } => Some(Self::Refused(refusal.clone())),
            Outcome::Read(read) => Some(Self::Read(read.clone())),
            Outcome::NotDone(_) | Outcome::Unknown => None,
        }
    }
}
