//! The search for an order (Wing and Gong), with memory of the configurations that led nowhere (Lowe).
//!
//! A configuration is the set of operations that have their place already, and which steps of batches without an answer
//! were refused there; the ledger follows from it, since credits, debits and versions add up in any order. Three things keep it small. Operations that change nothing and fit now are
//! placed at once: they take no possibility away. An acknowledged change fits only at its version. And an unknown
//! operation may only take versions that nobody was told to have.

use std::collections::BTreeSet;
use std::sync::Arc;

use wallex_core::id::WalletId;

use super::spec::{Account, Ledger, Seen, Undo};
use crate::history::Command;

/// An operation in the history.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) command: Arc<Command>,
    pub(super) client: u16,
    /// When it was first sent.
    pub(super) invoked: i64,
    /// When its answer came; never for an unknown outcome.
    pub(super) returned: Option<i64>,
    /// The answer; nothing for an unknown outcome.
    pub(super) seen: Option<Seen>,
    /// Whether the log has events of it.
    pub(super) happened: bool,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order.
    Order,
    /// That there is none: the farthest it came, an entry that fits nowhere, and its wallets there.
    None { stuck: usize, ledger: String },
    /// Too many configurations.
    Budget,
}

/// Operations that have their place: a bit for each, in the order of the search.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    words: Vec<u64>,
    /// Batches without an answer that were done in part, by number, and a bit for each step that was refused.
    partly: Vec<(usize, u64)>,
    /// How many have an answer.
    answered: usize,
}

impl Placed {
    fn none_of(operations: usize) -> Self {
        Self { words: vec![0; operations.div_ceil(64)], partly: Vec::new(), answered: 0 }
    }

    /// The operations from `from` to `to` that have no place yet.
    fn open(&self, from: usize, to: usize) -> impl Iterator<Item = usize> {
        let word = move |number: usize| {
            let start = number * 64;
            let mut open = !self.words[number];
            open &= if from > start { u64::MAX << (from - start) } else { u64::MAX };
            open &= if to < start + 64 { !(u64::MAX << (to - start)) } else { u64::MAX };
            std::iter::successors((open != 0).then_some(open), |open| Some(open & (open - 1)).filter(|rest| *rest != 0))
                .map(move |open| start + open.trailing_zeros() as usize)
        };
        (from / 64..to.div_ceil(64)).flat_map(word)
    }
}

struct Search<'a> {
    entries: &'a [&'a Entry],
    /// Entries with an answer, then those without, each by time of invocation.
    order: Vec<usize>,
    /// How many have an answer.
    answered: usize,
    claimed: BTreeSet<(&'a WalletId, u64)>,
    ledger: Ledger,
    placed: Placed,
    visited: BTreeSet<Placed>,
    farthest: Option<Farthest>,
}

/// How many had their place, an entry that fits nowhere there, and its wallets as they were.
struct Farthest {
    reached: usize,
    stuck: usize,
    accounts: Vec<Option<Account>>,
}

/// A choice that was made, and the others that were there.
struct Frame {
    placed: Placed,
    undo: Undo,
    candidates: Vec<usize>,
    next: usize,
}

/// Searches for an order, visiting at most so many configurations.
pub(super) fn search(entries: &[&Entry], configurations_max: usize) -> Found {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|at| (entries[*at].seen.is_none(), entries[*at].invoked, *at));
    let answered = entries.iter().filter(|entry| entry.seen.is_some()).count();
    let shown = entries.iter().filter_map(|entry| match &entry.seen {
        Some(Seen::Done(results)) => Some(results.iter().flatten().flatten()),
        Some(Seen::Refused(_) | Seen::Read(_) | Seen::Fact(_)) | None => None,
    });
    let claimed = shown.flatten().map(|snapshot| (&snapshot.wallet, snapshot.version)).collect();
    let mut search = Search {
        entries,
        placed: Placed::none_of(order.len()),
        order,
        answered,
        claimed,
        ledger: Ledger::default(),
        visited: BTreeSet::new(),
        farthest: None,
    };
    search.run(configurations_max)
}

impl Search<'_> {
    fn run(&mut self, configurations_max: usize) -> Found {
        let mut frames = vec![self.enter()];
        while let Some(frame) = frames.last_mut() {
            if self.placed.answered == self.answered {
                return Found::Order;
            }
            if self.visited.len() > configurations_max {
                return Found::Budget;
            }
            let Some(candidate) = frame.candidates.get(frame.next).copied() else {
                // Nothing fits here: back to the choice before.
                let mut left = frames.pop().map(|frame| frame.undo).unwrap_or_default();
                self.ledger.take_back(&mut left);
                if let Some(before) = frames.last() {
                    self.placed.clone_from(&before.placed);
                }
                continue;
            };
            frame.next += 1;
            let mut undo = Undo::new();
            if !self.place(candidate, &mut undo) {
                continue;
            }
            let mut entered = self.enter();
            undo.append(&mut entered.undo);
            entered.undo = undo;
            if self.visited.insert(entered.placed.clone()) {
                frames.push(entered);
            } else {
                self.ledger.take_back(&mut entered.undo);
                self.placed.clone_from(&frames[frames.len() - 1].placed);
            }
        }
        let Some(Farthest { stuck, accounts, .. }) = self.farthest.take() else {
            return Found::None { stuck: 0, ledger: String::new() };
        };
        let wallets = self.entries[stuck].command.wallets().zip(accounts).map(|(wallet, account)| match account {
            Some(account) => format!("{wallet} at version {} with {}", account.version, account.balance),
            None => format!("no wallet {wallet}"),
        });
        Found::None { stuck, ledger: wallets.collect::<Vec<_>>().join(" and ") }
    }

    /// Places everything that fits and changes nothing, then lists what can come next.
    fn enter(&mut self) -> Frame {
        let mut undo = Undo::new();
        loop {
            let candidates = self.candidates();
            let mut placed_any = false;
            for at in &candidates {
                let is_quiet = self.entries[self.order[*at]].seen.as_ref().is_some_and(changes_nothing);
                placed_any |= is_quiet && self.place(*at, &mut undo);
            }
            if !placed_any {
                self.remember(&candidates);
                return Frame { placed: self.placed.clone(), undo, candidates, next: 0 };
            }
        }
    }

    /// Answered operations not yet placed that no unplaced one precedes in time, and unknown ones sent by then.
    fn candidates(&self) -> Vec<usize> {
        let mut limit = i64::MAX;
        let mut candidates = Vec::new();
        for at in self.placed.open(0, self.answered) {
            let entry = &self.entries[self.order[at]];
            if entry.invoked > limit {
                break;
            }
            limit = limit.min(entry.returned.unwrap_or(i64::MAX));
            candidates.push(at);
        }
        candidates.retain(|at| self.entries[self.order[*at]].invoked <= limit);
        candidates.sort_by_key(|at| self.entries[self.order[*at]].returned);
        let unknown = self.placed.open(self.answered, self.order.len());
        candidates.extend(unknown.take_while(|at| self.entries[self.order[*at]].invoked <= limit));
        candidates
    }

    /// Whether the operation fits here, and which of its steps were refused if it has no answer that says so. What it
    /// changes stays changed when it fits, and is noted in `undo`.
    fn fits(&mut self, at: usize, undo: &mut Undo) -> Option<u64> {
        let entry = &self.entries[self.order[at]];
        match &entry.seen {
            Some(Seen::Fact(fact)) => {
                return entry.command.wallets().all(|wallet| self.ledger.holds(wallet, *fact)).then_some(0);
            }
            Some(Seen::Done(results)) => {
                // The first that it changed had the version before: mostly that is all one has to know.
                let first = results.iter().flatten().flatten().next();
                if first.is_some_and(|shown| self.ledger.next_version(&shown.wallet) != shown.version) {
                    return None;
                }
            }
            Some(Seen::Refused(_) | Seen::Read(_)) | None => {}
        }
        let mut own = Undo::new();
        let would_see = self.ledger.perform(&entry.command, &mut own);
        let fits = match &entry.seen {
            Some(seen) => *seen == would_see,
            // It must change something, and take no version that somebody else was told to have.
            None => {
                let changed = |ledger: &Ledger, wallet: &WalletId| ledger.next_version(wallet) - 1;
                !own.is_empty()
                    && own.iter().all(|(wallet, before)| {
                        let from = before.map_or(0, |account| account.version);
                        (from + 1..=changed(&self.ledger, wallet))
                            .all(|version| !self.claimed.contains(&(wallet, version)))
                    })
            }
        };
        if !fits {
            self.ledger.take_back(&mut own);
            return None;
        }
        undo.append(&mut own);
        Some(if entry.seen.is_none() { refused_steps(&would_see) } else { 0 })
    }

    fn place(&mut self, at: usize, undo: &mut Undo) -> bool {
        let Some(refused) = self.fits(at, undo) else { return false };
        self.mark(at, refused);
        true
    }

    fn mark(&mut self, at: usize, refused: u64) {
        if refused != 0 {
            let place = self.placed.partly.partition_point(|(other, _)| *other < at);
            self.placed.partly.insert(place, (at, refused));
        }
        self.placed.words[at / 64] |= 1 << (at % 64);
        self.placed.answered += usize::from(at < self.answered);
    }

    /// Keeps the farthest place for the report: the answered operation there that must come first and does not fit.
    fn remember(&mut self, candidates: &[usize]) {
        let reached = self.placed.answered;
        if self.farthest.as_ref().is_some_and(|farthest| farthest.reached >= reached) {
            return;
        }
        let Some(first) = candidates.iter().find(|at| **at < self.answered) else { return };
        let stuck = self.order[*first];
        let accounts = self.entries[stuck].command.wallets().map(|wallet| self.ledger.accounts.get(wallet).copied());
        self.farthest = Some(Farthest { reached, stuck, accounts: accounts.collect() });
    }
}

/// A bit for each step that was refused.
fn refused_steps(seen: &Seen) -> u64 {
    let Seen::Done(results) = seen else { return 0 };
    let refused = results.iter().enumerate().filter(|(_, result)| result.is_err());
    refused.fold(0, |bits, (step, _)| bits | 1 << (step % 64))
}

fn changes_nothing(seen: &Seen) -> bool {
    match seen {
        Seen::Done(results) => results.iter().all(Result::is_err),
        Seen::Refused(_) | Seen::Read(_) | Seen::Fact(_) => true,
    }
}
