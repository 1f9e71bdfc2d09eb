//! The contract of the broker, held by Kafka.

use std::time::Duration;

use wallex_contracts::broker::Broker;
use wallex_core::event::Recorded;

use crate::world::{World, shared};

impl Broker for World {
    async fn stored(&self, _events: &[Recorded]) {}

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn run(statement: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(statement);
}

wallex_contracts::broker_contract!(run, World::alone(&shared()).await);
