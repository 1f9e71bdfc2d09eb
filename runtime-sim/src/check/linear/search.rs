//! The search for an order (Wing and Gong), with memory of the configurations that led nowhere (Lowe).
//!
//! A configuration is the set of operations that have their place already; the ledger follows from it, since credits,
//! debits and versions add up in any order. Three things keep it small. Operations that change nothing and fit now are
//! placed at once: they take no possibility away. An acknowledged change fits only at its version. And an unknown
//! operation may only take versions that nobody was told to have.

use std::collections::BTreeSet;
use std::sync::Arc;

use wallex_core::id::WalletId;

use super::spec::{Ledger, Seen, Undo};
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

/// Operations that have their place, as numbers in order of invocation: all before `first`, and these.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    first: usize,
    beyond: Vec<usize>,
}

struct Search<'a> {
    entries: &'a [Entry],
    /// Entries with an answer, then those without, each by time of invocation.
    order: Vec<usize>,
    /// How many have an answer.
    answered: usize,
    claimed: BTreeSet<(&'a WalletId, u64)>,
    ledger: Ledger,
    placed: Placed,
    perhaps: Vec<usize>,
    visited: BTreeSet<(Placed, Vec<usize>)>,
    farthest: Option<(usize, usize, String)>,
}

/// A choice that was made, and the others that were there.
struct Frame {
    placed: Placed,
    perhaps: Vec<usize>,
    undo: Undo,
    candidates: Vec<usize>,
    next: usize,
}

/// Searches for an order, visiting at most so many configurations.
pub(super) fn search(entries: &[Entry], configurations_max: usize) -> Found {
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
        order,
        answered,
        claimed,
        ledger: Ledger::default(),
        placed: Placed::default(),
        perhaps: Vec::new(),
        visited: BTreeSet::new(),
        farthest: None,
    };
    search.run(configurations_max)
}

impl Search<'_> {
    fn run(&mut self, configurations_max: usize) -> Found {
        let mut frames = vec![self.enter()];
        while let Some(frame) = frames.last_mut() {
            if self.placed.first == self.answered {
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
                    (self.placed, self.perhaps) = (before.placed.clone(), before.perhaps.clone());
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
            if self.visited.insert((entered.placed.clone(), entered.perhaps.clone())) {
                frames.push(entered);
            } else {
                self.ledger.take_back(&mut entered.undo);
                let before = &frames[frames.len() - 1];
                (self.placed, self.perhaps) = (before.placed.clone(), before.perhaps.clone());
            }
        }
        let (_, stuck, ledger) = self.farthest.take().unwrap_or_default();
        Found::None { stuck, ledger }
    }

    /// Places everything that fits and changes nothing, then lists what can come next.
    fn enter(&mut self) -> Frame {
        let mut undo = Undo::new();
        loop {
            let candidates = self.candidates();
            let quiet = candidates.iter().copied().find(|at| {
                let entry = &self.entries[self.order[*at]];
                let fits = entry.seen.as_ref().is_some_and(changes_nothing);
                fits && self.fits(*at, &mut undo)
            });
            let Some(quiet) = quiet else {
                self.remember(&candidates);
                let (placed, perhaps) = (self.placed.clone(), self.perhaps.clone());
                return Frame { placed, perhaps, undo, candidates, next: 0 };
            };
            self.mark(quiet);
        }
    }

    /// Answered operations not yet placed that no unplaced one precedes in time, and unknown ones sent by then.
    fn candidates(&self) -> Vec<usize> {
        let mut limit = i64::MAX;
        let mut candidates = Vec::new();
        for at in self.placed.first..self.answered {
            let entry = &self.entries[self.order[at]];
            if entry.invoked > limit {
                break;
            }
            if self.placed.beyond.binary_search(&at).is_err() {
                limit = limit.min(entry.returned.unwrap_or(i64::MAX));
                candidates.push(at);
            }
        }
        candidates.retain(|at| self.entries[self.order[*at]].invoked <= limit);
        candidates.sort_by_key(|at| self.entries[self.order[*at]].returned);
        let unknown = (self.answered..self.order.len())
            .filter(|at| self.entries[self.order[*at]].invoked <= limit && self.perhaps.binary_search(at).is_err());
        candidates.extend(unknown);
        candidates
    }

    /// Whether the operation fits here. What it changes stays changed when it does, and is noted in `undo`.
    fn fits(&mut self, at: usize, undo: &mut Undo) -> bool {
        let entry = &self.entries[self.order[at]];
        if let Some(Seen::Fact(fact)) = entry.seen {
            return entry.command.wallets().all(|wallet| self.ledger.holds(wallet, fact));
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
        if fits {
            undo.append(&mut own);
        } else {
            self.ledger.take_back(&mut own);
        }
        fits
    }

    fn place(&mut self, at: usize, undo: &mut Undo) -> bool {
        let fits = self.fits(at, undo);
        if fits {
            self.mark(at);
        }
        fits
    }

    fn mark(&mut self, at: usize) {
        let list = if at < self.answered { &mut self.placed.beyond } else { &mut self.perhaps };
        if let Err(place) = list.binary_search(&at) {
            list.insert(place, at);
        }
        let through = self.placed.beyond.iter().zip(self.placed.first..).take_while(|(at, next)| **at == *next).count();
        self.placed.first += through;
        self.placed.beyond.drain(..through);
    }

    /// Keeps the farthest place for the report: the answered operation there that must come first and does not fit.
    fn remember(&mut self, candidates: &[usize]) {
        let reached = self.placed.first + self.placed.beyond.len();
        if self.farthest.as_ref().is_some_and(|(farthest, _, _)| *farthest >= reached) {
            return;
        }
        let Some(first) = candidates.iter().find(|at| **at < self.answered) else { return };
        let stuck = self.order[*first];
        let wallets = self.entries[stuck].command.wallets().map(|wallet| match self.ledger.accounts.get(wallet) {
            Some(account) => format!("{wallet} at version {} with {}", account.version, account.balance),
            None => format!("no wallet {wallet}"),
        });
        self.farthest = Some((reached, stuck, wallets.collect::<Vec<_>>().join(" and ")));
    }
}

fn changes_nothing(seen: &Seen) -> bool {
    match seen {
        Seen::Done(results) => results.iter().all(Result::is_err),
        Seen::Refused(_) | Seen::Read(_) | Seen::Fact(_) => true,
    }
}
