//! Batches, taken apart where they are no single step. What a batch writes is one append, and holds together; what it was
//! refused on is only read, wallet by wallet, and another writer may come between two reads.
//!
//! So the operations that were done stay together, with those that were refused on wallets that the batch wrote. Every
//! other refusal becomes a fact about the wallet that it names, which must have held at some time of its own between the
//! call and the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use wallex_core::id::WalletId;

use super::search::Entry;
use super::spec::{Fact, Seen};
use crate::history::{Command, Refusal, Step, StepResult};

/// The parts of an operation that each have a time of their own: mostly it is the only one.
pub(super) fn parts(entry: Entry) -> Vec<Entry> {
    match (&*entry.command, &entry.seen) {
        (Command::Batch { steps, atomic: false }, Some(Seen::Done(results))) if results.iter().any(Result::is_err) => {
            independent(&entry, steps, results)
        }
        (Command::Batch { steps, atomic: true }, Some(Seen::Refused(refusal))) if !refusal.members.is_empty() => {
            let facts = refusal.members.iter().filter_map(|(at, member)| {
                let (wallet, fact) = fact(&steps[..*at], &refusal.members, steps.get(*at)?, member)?;
                Some(of_fact(&entry, wallet, fact))
            });
            facts.collect()
        }
        (Command::One { .. } | Command::Batch { .. } | Command::ReadModel { .. } | Command::ReadStore { .. }, _) => {
            vec![entry]
        }
    }
}

fn independent(entry: &Entry, steps: &[Step], results: &[StepResult]) -> Vec<Entry> {
    let written: BTreeSet<&WalletId> = results.iter().flatten().flatten().map(|snapshot| &snapshot.wallet).collect();
    let (mut kept, mut seen, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for (step, result) in steps.iter().zip(results) {
        match result {
            Err(refusal) if refusal.code == LOST => {}
            Err(refusal) if refusal.wallet.as_ref().is_none_or(|wallet| !written.contains(wallet)) => {
                let fact = fact(&[], &[], step, refusal);
                parts.extend(fact.map(|(wallet, fact)| of_fact(entry, wallet, fact)));
            }
            Ok(_) | Err(_) => {
                kept.push(step.clone());
                seen.push(result.clone());
            }
        }
    }
    if !kept.is_empty() {
        let command = Arc::new(Command::Batch { steps: kept, atomic: false });
        parts.push(Entry { command, seen: Some(Seen::Done(seen)), ..entry.clone() });
    }
    parts
}

/// The code of a refusal whose reason was lost.
const LOST: &str = "refused-earlier";

fn of_fact(entry: &Entry, wallet: WalletId, fact: Fact) -> Entry {
    Entry { command: Arc::new(Command::ReadStore { wallet }), seen: Some(Seen::Fact(fact)), ..entry.clone() }
}

/// What a refusal says of the wallet that it names, before the steps of its own batch that came earlier.
fn fact(earlier: &[Step], refused: &[(usize, Refusal)], step: &Step, refusal: &Refusal) -> Option<(WalletId, Fact)> {
    let wallet = refusal.wallet.clone()?;
    let done = earlier.iter().enumerate().filter(|(at, _)| refused.iter().all(|(other, _)| other != at));
    let mut change = 0;
    for (_, before) in done {
        match before {
            // The batch made the wallet itself, so there was none.
            Step::Create(created, _) if *created == wallet => return Some((wallet, Fact::Missing)),
            Step::Credit(credited, amount) if *credited == wallet => change += amount,
            Step::Debit(debited, amount) if *debited == wallet => change -= amount,
            Step::Transfer(from, _, amount) if *from == wallet => change -= amount,
            Step::Transfer(_, to, amount) if *to == wallet => change += amount,
            Step::Create(..) | Step::Credit(..) | Step::Debit(..) | Step::Transfer(..) => {}
        }
    }
    let asked = match step {
        Step::Debit(_, amount) | Step::Transfer(_, _, amount) => Some(*amount),
        Step::Create(..) | Step::Credit(..) => None,
    };
    let fact = match (&*refusal.code, refusal.seen) {
        ("wallet-not-found", _) => Fact::Missing,
        ("wallet-exists", _) => Fact::Exists,
        ("insufficient-funds", Some(balance)) if asked.is_some_and(|asked| asked > balance) => {
            Fact::Balance(balance - change)
        }
        ("insufficient-funds", _) => Fact::Never,
        // Both wallets are one, whatever they hold; and no run comes near the limit.
        (_, _) => return None,
    };
    Some((wallet, fact))
}
