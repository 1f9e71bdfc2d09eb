//! The embedded lease table, with Redis's rules.
//!
//! A lease is granted to a holder until a point in time, extended by the same holder, taken by another one only when it
//! has run out, and given back by its holder alone. Time comes from outside. Leases reduce contention; the expected
//! revision of an append, not a lease, keeps the money right.

pub mod redis;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

/// One holder's access to the leases of all wallets; a clone is the same holder.
#[derive(Clone)]
pub struct LeaseTable {
    table: Arc<Mutex<Table>>,
    holder: u64,
}

#[derive(Default)]
struct Table {
    leases: HashMap<WalletId, Lease>,
    holders: u64,
    /// Leases that have run out are removed when the table has grown to this size.
    sweep_at: usize,
}

struct Lease {
    holder: u64,
    until: Timestamp,
}

/// The smallest table that is swept.
const SWEEP_MIN: usize = 1_024;

impl Default for LeaseTable {
    fn default() -> Self {
        Self::new()
    }
}

impl LeaseTable {
    /// An empty table and its first holder.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Arc::default(), holder: 0 }
    }

    /// A new holder of the same table.
    #[must_use]
    pub fn another_holder(&self) -> Self {
        let holder = {
            let mut table = self.table();
            table.holders += 1;
            table.holders
        };
        Self { table: Arc::clone(&self.table), holder }
    }

    /// Takes or extends leases until a point in time; each wallet is answered on its own.
    #[must_use]
    pub fn lease(&self, wallets: &[WalletId], now: Timestamp, until: Timestamp) -> Vec<bool> {
        let mut table = self.table();
        table.sweep(now);
        wallets.iter().map(|wallet| table.grant(self.holder, wallet, now, until)).collect()
    }

    /// Gives leases back; those of other holders stay.
    pub fn unlease(&self, wallets: &[WalletId]) {
        let mut table = self.table();
        for wallet in wallets {
            if table.leases.get(wallet).is_some_and(|lease| lease.holder == self.holder) {
                table.leases.remove(wallet);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn grant(&mut self, holder: u64, wallet: &WalletId, now: Timestamp, until: Timestamp) -> bool {
        let free = match self.leases.get(wallet) {
            None => true,
            Some(lease) => lease.holder == holder || lease.until <= now,
        };
        if free {
            self.leases.insert(wallet.clone(), Lease { holder, until });
        }
        free
    }

    /// Keeps the table in proportion to the leases that are alive, at a constant cost for each request.
    fn sweep(&mut self, now: Timestamp) {
        if self.leases.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.leases.retain(|_, lease| lease.until > now);
            self.sweep_at = self.leases.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn wallets(names: &[&str]) -> Vec<WalletId> {
        names.iter().map(|name| WalletId::parse(name).unwrap()).collect()
    }

    fn two_holders() -> (LeaseTable, LeaseTable) {
        let first = LeaseTable::new();
        let second = first.another_holder();
        (first, second)
    }

    #[test]
    fn each_wallet_of_a_request_is_answered_on_its_own() {
        let (a, b) = two_holders();
        assert_eq!(a.lease(&wallets(&["a", "b"]), at(0), at(10)), [true, true]);
        assert_eq!(b.lease(&wallets(&["b", "c"]), at(1), at(11)), [false, true]);
    }

    #[test]
    fn a_holder_extends_and_another_takes_only_what_has_run_out() {
        let (a, b) = two_holders();
        let wallet = wallets(&["a"]);
        assert_eq!(a.lease(&wallet, at(0), at(10)), [true]);
        assert_eq!(a.clone().lease(&wallet, at(9), at(19)), [true]);
        assert_eq!(b.lease(&wallet, at(18), at(28)), [false]);
        assert_eq!(b.lease(&wallet, at(19), at(29)), [true]);
        assert_eq!(a.lease(&wallet, at(20), at(30)), [false]);
    }

    #[test]
    fn only_the_holder_gives_back() {
        let (a, b) = two_holders();
        let wallet = wallets(&["a"]);
        assert_eq!(a.lease(&wallet, at(0), at(10)), [true]);
        b.unlease(&wallet);
        assert_eq!(b.lease(&wallet, at(1), at(11)), [false]);
        a.unlease(&wallet);
        assert_eq!(b.lease(&wallet, at(1), at(11)), [true]);
    }

    #[test]
    fn leases_that_ran_out_leave_the_table() {
        let leases = LeaseTable::new();
        for second in 0..10_000 {
            let wallet = wallets(&[&format!("w{second}")]);
            assert_eq!(leases.lease(&wallet, at(second), at(second + 10)), [true]);
        }
        assert!(leases.table().leases.len() <= SWEEP_MIN);
    }
}
