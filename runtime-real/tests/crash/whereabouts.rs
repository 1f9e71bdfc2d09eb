//! Where the service listens now: one address for each instance, which changes with every start.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// The addresses, for everybody who talks to the service; a clone is the same.
#[derive(Clone)]
pub(crate) struct Whereabouts {
    shared: Arc<(Mutex<Slots>, Condvar)>,
}

struct Slots {
    addresses: Vec<Option<SocketAddr>>,
    /// Whose turn it is.
    turn: usize,
}

impl Whereabouts {
    /// None of so many instances is there yet.
    pub(crate) fn of(instances: usize) -> Self {
        let slots = Slots { addresses: vec![None; instances], turn: 0 };
        Self { shared: Arc::new((Mutex::new(slots), Condvar::new())) }
    }

    /// The address of an instance that is up, once there is one; each in its turn.
    pub(crate) fn wait(&self, deadline: Instant) -> SocketAddr {
        let (slots, changed) = &*self.shared;
        let mut guard = slots.lock().unwrap();
        loop {
            guard.turn += 1;
            let up: Vec<SocketAddr> = guard.addresses.iter().flatten().copied().collect();
            if !up.is_empty() {
                return up[guard.turn % up.len()];
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the service is not ready in time");
            guard = changed.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// The address of one instance, if it is up.
    pub(crate) fn address(&self, instance: usize) -> Option<SocketAddr> {
        self.shared.0.lock().unwrap().addresses[instance]
    }

    pub(crate) fn set(&self, instance: usize, address: Option<SocketAddr>) {
        let (slots, changed) = &*self.shared;
        slots.lock().unwrap().addresses[instance] = address;
        changed.notify_all();
    }
}
