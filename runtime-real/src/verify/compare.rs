//! The comparison of log and tables: INV-06 (nothing is missing) and INV-08 (nothing differs).
//!
//! A projection is compared at its own checkpoint, so a running service, whose projections are a little behind, is
//! judged as exactly as a stopped one.

use std::collections::HashMap;

use wallex_core::event::Event;
use wallex_core::id::WalletId;
use wallex_core::projector::Consumer;

use super::columns::type_name;
use super::fold::{Folded, LedgerSums};
use super::progress::AllCounts;
use super::report::Verdict;
use super::tables::{OutboxRow, Shown};

/// Compares the outbox with the log, both in position order.
#[derive(Debug)]
pub struct OutboxCheck {
    /// INV-06, so far.
    pub missing: Verdict,
    /// INV-08, so far.
    pub differing: Verdict,
    compared: u64,
}

impl Default for OutboxCheck {
    fn default() -> Self {
        Self {
            missing: Verdict::new("INV-06", "every event reaches the outbox and every consumer"),
            differing: Verdict::new("INV-08", "a projection equals the fold of the log at its checkpoint"),
            compared: 0,
        }
    }
}

impl OutboxCheck {
    /// An event of the log that is due in the outbox, and the row at its position, if there is one.
    pub fn compare(&mut self, position: u64, event: &Event, row: Option<&OutboxRow>, may_be_cleaned_up: bool) {
        let at = || format!("outbox: {} at version {} (position {position})", event.wallet_id, event.version.0);
        let Some(row) = row else {
            if !may_be_cleaned_up {
                self.missing.violated(|| format!("{} has no row", at()));
            }
            return;
        };
        self.compared += 1;
        let (wallet, version, code) = &row.identity;
        let identity = (wallet.as_str(), *version, type_name(*code));
        if identity != (event.wallet_id.as_str(), event.version.0, Some(event.event_type().name())) {
            self.differing.violated(|| format!("{} is stored as {identity:?}", at()));
        }
        match &row.event {
            Ok(stored) if stored == event => {}
            Ok(_) => self.differing.violated(|| format!("{} has another payload than the log", at())),
            Err(reason) => self.differing.violated(|| format!("{}: {reason}", at())),
        }
    }

    /// A row of the outbox without an event in the log.
    pub fn surplus(&mut self, position: u64) {
        self.differing.violated(|| format!("outbox: position {position} has a row and is no event of the log"));
    }

    /// Compares the projections, and gives the verdicts.
    #[must_use]
    pub fn finish(mut self, tables: &Shown, wallets: &HashMap<WalletId, Folded>, counts: &AllCounts) -> [Verdict; 2] {
        for words in &tables.unreadable {
            self.differing.violated(|| words.clone());
        }
        self.compare_held(tables, counts);
        self.compare_applied(tables, counts);
        let (mut rows, mut entries) = (0, 0);
        for (wallet, folded) in wallets {
            let shown = tables.rows.get(wallet.as_str());
            rows += u64::from(shown.is_some());
            match (&folded.read_model, shown) {
                (Some(expected), Some(shown)) if expected == shown => {}
                (Some(expected), Some(shown)) if shown.version < expected.version => self.missing.violated(|| {
                    format!(
                        "read model: {wallet} is at version {}, its checkpoint is behind version {}",
                        shown.version, expected.version
                    )
                }),
                (None, None) => {}
                (Some(_), None) => self.missing.violated(|| format!("read model: {wallet} has no row")),
                (expected, shown) => {
                    self.differing.violated(|| format!("read model: {wallet} is {shown:?}, the log says {expected:?}"));
                }
            }
            let sums = tables.sums.get(wallet.as_str()).copied().unwrap_or_default();
            entries += sums.count;
            self.compare_ledger(wallet, folded.ledger, sums);
            let head = tables.heads.get(wallet.as_str()).copied().unwrap_or(0);
            if head != sums.count {
                self.differing.violated(|| {
                    format!("ledger: {wallet} is said to end at version {head}, and has {} entries", sums.count)
                });
            }
        }
        let foreign = |wallet: &&String| !wallets.contains_key(wallet.as_str());
        for wallet in tables.rows.keys().chain(tables.sums.keys()).filter(foreign) {
            self.differing.violated(|| format!("{wallet} is projected and has no event in the log"));
        }
        self.missing.checked("outbox rows", self.compared);
        self.missing.checked("wallets", wallets.len() as u64);
        self.differing.checked("read model rows", rows);
        self.differing.checked("ledger entries", entries);
        [self.missing, self.differing]
    }

    /// What a consumer set aside must be kept, event for event.
    fn compare_held(&mut self, tables: &Shown, counts: &AllCounts) {
        let consumers = [
            (Consumer::Relay, &counts.relay),
            (Consumer::ReadModel, &counts.read_model),
            (Consumer::Ledger, &counts.ledger),
        ];
        for (consumer, counts) in consumers {
            let kept = tables.held.get(consumer.name()).copied().unwrap_or(0);
            if kept < counts.held {
                let name = consumer.name();
                self.missing.violated(|| format!("{name} set aside {} events and keeps {kept} of them", counts.held));
            }
        }
    }

    /// What a consumer has counted, its rows must stand for: a row that is gone, or fell back, is missed here.
    fn compare_applied(&mut self, tables: &Shown, counts: &AllCounts) {
        for (consumer, counts) in [(Consumer::ReadModel, &counts.read_model), (Consumer::Ledger, &counts.ledger)] {
            for (partition, applied) in tables.applied.get(consumer.name()).into_iter().flatten() {
                let taken = counts.taken.get(partition).copied().unwrap_or(0);
                if taken != *applied {
                    let name = consumer.name();
                    self.missing.violated(|| {
                        format!(
                            "{name} has applied {applied} events of partition {partition}, its rows stand for {taken}"
                        )
                    });
                }
            }
        }
    }

    fn compare_ledger(&mut self, wallet: &WalletId, expected: LedgerSums, shown: LedgerSums) {
        if shown.count < expected.count {
            self.missing.violated(|| {
                format!("ledger: {wallet} has {} entries, the log has {} events", shown.count, expected.count)
            });
        } else if shown.count > expected.count {
            self.differing.violated(|| {
                format!("ledger: {wallet} has {} entries, the log has {} events", shown.count, expected.count)
            });
        } else if shown.amount != expected.amount {
            self.differing.violated(|| {
                format!("ledger: {wallet} adds up to {} minor units, the log to {}", shown.amount, expected.amount)
            });
        } else if shown.hash != expected.hash {
            self.differing.violated(|| format!("ledger: an entry of {wallet} differs from its event"));
        }
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
