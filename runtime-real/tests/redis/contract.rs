//! The contract of leases, held by Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wallex::leases::redis::RedisLeases;
use wallex_contracts::Port;
use wallex_contracts::leases::Leases;
use wallex_core::effect::{Effect, Input};
use wallex_core::time::Timestamp;

/// Leases under keys that nobody else has.
struct Redis(RedisLeases);

impl Port for Redis {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.0.perform(effect).await
    }
}

impl Leases for Redis {
    fn another_holder(&self) -> Self {
        Self(self.0.another_holder())
    }

    fn now(&self) -> Timestamp {
        wallex::driver::now()
    }

    /// A Redis expires keys by its own clock, so time really has to pass.
    async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

async fn leases() -> Redis {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("test-{}-{nanos}-{number}", std::process::id());
    let port = std::env::var("SERVICES_REDIS_PORT").unwrap_or_else(|_| "26379".to_owned());
    let leases = RedisLeases::new(&format!("redis://127.0.0.1:{port}"), &prefix).unwrap();
    let health = leases.health().await;
    assert!(health.latency.is_some(), "no Redis at port {port}, run ./scripts/services.sh up: {:?}", health.reason);
    Redis(leases)
}

fn run(statement: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(statement);
}

wallex_contracts::leases_contract!(run, leases().await);
wallex_contracts::lead_contract!(run, leases().await);
