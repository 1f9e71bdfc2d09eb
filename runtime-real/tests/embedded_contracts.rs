//! The contracts of broker and leases, held by the embedded ones.

// A test may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use wallex_contracts::Port;
use wallex_contracts::leases::Leases;
use wallex_core::effect::{Completion, Effect, Input};
use wallex_core::event::Recorded;
use wallex_core::id::{EffectId, Position};
use wallex_core::time::Timestamp;

use wallex::broker::Broker;
use wallex::database::SqliteDatabase;
use wallex::leases::LeaseTable;

/// The embedded broker over a database that goes with it.
struct EmbeddedBroker {
    broker: Broker,
    database: SqliteDatabase,
    filled: Mutex<Position>,
    _directory: TempDir,
}

impl EmbeddedBroker {
    /// Keeps no more than some messages in memory, so that older ones are read from the outbox.
    async fn start(messages: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = SqliteDatabase::open(directory.path().join("wallex.sqlite")).await.unwrap();
        let broker = Broker::with_capacity(database.clone(), messages).await.unwrap();
        Self { broker, database, filled: Mutex::new(Position(0)), _directory: directory }
    }
}

impl Port for EmbeddedBroker {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.broker.perform(effect).await
    }
}

impl wallex_contracts::broker::Broker for EmbeddedBroker {
    async fn stored(&self, events: &[Recorded]) {
        let checkpoint = events.last().unwrap().position;
        let expected = std::mem::replace(&mut *self.filled.lock().unwrap(), checkpoint);
        let (effect, events) = (EffectId(2), Arc::new(events.to_vec()));
        let written = self.database.perform(Effect::WriteOutbox { effect, expected, events, checkpoint }).await;
        assert_eq!(written, Some(Input::OutboxWritten(effect, Completion::Done(()))));
    }

    async fn wait(&self) {
        tokio::task::yield_now().await;
    }
}

/// The embedded lease table, with a clock that the test moves.
struct EmbeddedLeases {
    table: LeaseTable,
    micros: Arc<AtomicI64>,
}

impl Port for EmbeddedLeases {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Lease { effect, wallets, until } => {
                Some(Input::Leased(effect, Completion::Done(self.table.lease(&wallets, self.now(), until))))
            }
            Effect::Unlease(wallets) => {
                self.table.unlease(&wallets);
                None
            }
            other => panic!("not an effect of embedded leases: {other:?}"),
        }
    }
}

impl Leases for EmbeddedLeases {
    fn another_holder(&self) -> Self {
        Self { table: self.table.another_holder(), micros: Arc::clone(&self.micros) }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::Acquire))
    }

    async fn pass(&self, duration: Duration) {
        self.micros.fetch_add(i64::try_from(duration.as_micros()).unwrap(), Ordering::AcqRel);
    }
}

fn run(statement: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(statement);
}

mod broker_in_memory {
    use super::*;
    wallex_contracts::broker_contract!(run, EmbeddedBroker::start(65_536).await);
}

mod broker_beyond_memory {
    use super::*;
    wallex_contracts::broker_contract!(run, EmbeddedBroker::start(16).await);
}

mod leases {
    use super::*;
    wallex_contracts::leases_contract!(
        run,
        EmbeddedLeases { table: LeaseTable::new(), micros: Arc::new(AtomicI64::new(1_800_000_000_000_000)) }
    );
}
