//! A fake behind the one way to an implementation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use wallex_contracts::Port;
use wallex_core::effect::{Effect, Input};
use wallex_core::time::Timestamp;
use wallex_sim::fakes::{Broker, Database, EmbeddedStore, EventStore};

pub(crate) const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// A fake for one statement.
pub(crate) struct Fake<F>(Mutex<F>);

/// What performs effects by itself.
pub(crate) trait Performs {
    fn perform(&mut self, now: Timestamp, effect: Effect) -> Option<Input>;
}

impl<F> Fake<F> {
    pub(crate) fn new(fake: F) -> Self {
        Self(Mutex::new(fake))
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, F> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Performs> Port for Fake<F> {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.get().perform(START, effect)
    }
}

macro_rules! performs {
    ($($fake:ty),+) => {
        $(impl Performs for $fake {
            fn perform(&mut self, now: Timestamp, effect: Effect) -> Option<Input> {
                <$fake>::perform(self, now, effect)
            }
        })+
    };
}

performs!(EventStore, EmbeddedStore, Database, Broker);

/// Runs a statement in the simulator's runtime.
pub(crate) fn block_on(statement: impl Future<Output = ()>) {
    madsim::runtime::Runtime::with_seed_and_config(0, madsim::Config::default()).block_on(statement);
}
