//! A log for the statements about the broker: events of a [`Ledger`], each at its position.

use wallex_core::event::Recorded;
use wallex_core::id::Position;

use crate::ledger::Ledger;

/// A log that grows.
#[derive(Debug)]
pub struct Log {
    name: &'static str,
    ledger: Ledger,
}

impl Log {
    /// An empty log; the name keeps its wallets apart from those of other logs.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, ledger: Ledger::default() }
    }

    /// The next event of a wallet: its creation, then credits.
    ///
    /// # Panics
    /// When the wallet's name is no part of a wallet id.
    pub fn event(&mut self, wallet: &str) -> Recorded {
        let name = format!("{}-{wallet}", self.name);
        let append = match self.ledger.stream(&name).len() {
            0 => self.ledger.create(&name),
            _ => self.ledger.credit(&name, "1.25"),
        };
        self.ledger.accept(&append);
        let event = self.ledger.events.last().expect("the event that was accepted").clone();
        Recorded { position: Position(self.ledger.events.len() as u64), event }
    }

    /// The next events of several wallets in turn.
    pub fn many(&mut self, wallets: usize, events: usize) -> Vec<Recorded> {
        (0..events).map(|number| self.event(&format!("wallet-{}", number % wallets))).collect()
    }
}
