//! The contracts of leases and of the lead.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wallex_contracts::Port;
use wallex_contracts::leases::Leases;
use wallex_core::effect::{Effect, Input};
use wallex_core::time::Timestamp;
use wallex_sim::fakes::leases::Holder;
use wallex_sim::fakes::{InstanceId, LeaseStore};

use super::fake::START;

/// One instance's way to the lease store.
struct Instance {
    shared: Arc<Shared>,
    id: InstanceId,
}

struct Shared {
    store: Mutex<LeaseStore>,
    /// The store's own clock, in microseconds.
    clock: AtomicI64,
    /// How much faster the clock of each instance is than that of the one before it, in microseconds.
    skew: i64,
    instances: AtomicU32,
}

impl Instance {
    fn first(skew: Duration) -> Self {
        let skew = i64::try_from(skew.as_micros()).unwrap();
        let (store, clock) = (Mutex::default(), AtomicI64::new(START.as_micros()));
        Self::of(Arc::new(Shared { store, clock, skew, instances: AtomicU32::new(0) }))
    }

    fn of(shared: Arc<Shared>) -> Self {
        let id = InstanceId(shared.instances.fetch_add(1, Ordering::Relaxed));
        Self { shared, id }
    }
}

impl Port for Instance {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        let now = Timestamp::from_micros(self.shared.clock.load(Ordering::Acquire));
        let holder = Holder { instance: self.id, clock: self.now() };
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner).perform(now, holder, effect)
    }
}

impl Leases for Instance {
    fn another_holder(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }

    /// The instance's clock: the ends that it names are told by it.
    fn now(&self) -> Timestamp {
        let Shared { clock, skew, .. } = &*self.shared;
        Timestamp::from_micros(clock.load(Ordering::Acquire) + skew * i64::from(self.id.0))
    }

    async fn pass(&self, duration: Duration) {
        self.shared.clock.fetch_add(i64::try_from(duration.as_micros()).unwrap(), Ordering::AcqRel);
    }
}

mod fake {
    use super::super::fake::block_on;
    use super::*;

    wallex_contracts::leases_contract!(block_on, Instance::first(Duration::ZERO));
    wallex_contracts::lead_contract!(block_on, Instance::first(Duration::ZERO));
}

mod fake_whose_instances_have_wrong_clocks {
    use super::super::fake::block_on;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    wallex_contracts::leases_contract!(block_on, Instance::first(HOUR));
    wallex_contracts::lead_contract!(block_on, Instance::first(HOUR));
}
