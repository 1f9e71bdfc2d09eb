//! What the writer keeps in memory about its own tables. All of it counts only when the transaction commits, so a rollback
//! clears it.

use super::heads::Heads;
use super::numbers::Numbers;

/// The writer's memory.
pub(super) struct Known {
    pub(super) numbers: Numbers,
    pub(super) outbox: Heads,
    pub(super) ledger: Heads,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { numbers: Numbers::new(), outbox: Heads::of_outbox(), ledger: Heads::of_ledger() }
    }

    /// Forgets everything: after a rollback or an unknown outcome.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.outbox.clear();
        self.ledger.clear();
    }
}
