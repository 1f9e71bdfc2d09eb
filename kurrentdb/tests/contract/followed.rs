//! The same, while the log is followed: reads of the log come from the few events in memory, or from the server, or first
//! from one and then from the other.

use wallex_kurrentdb::store::Options;

use crate::remote::{Remote, options};

/// Far fewer than the statements write.
const RING_EVENTS: usize = 5;

async fn followed() -> Remote {
    let remote = Remote::empty(Options { ring_events: RING_EVENTS, ..options() }).await;
    let _head = remote.store.follow();
    remote
}

wallex_contracts::event_store_contract!(
    #[tokio::test]
    {
        followed().await
    }
);
