//! How many events are after a position, wherever they are: in memory, or only on the server.

use wallex_contracts::ledger::Ledger;
use wallex_core::id::Position;
use wallex_kurrentdb::client::ConnectionString;
use wallex_kurrentdb::store::{EventStore, Options};

use crate::{PATIENCE, append_in_the_end, connect, log, options, serve};
use wallex_core::effect::Completion;

/// Far fewer than are written.
const RING_EVENTS: usize = 4;
const WALLETS: usize = 12;

/// A store that has followed the log from now on.
async fn follower(port: u16) -> EventStore {
    let options = Options { ring_events: RING_EVENTS, ..options(PATIENCE) };
    EventStore::connect(&ConnectionString::insecure("127.0.0.1", port), options).await.expect("the server answers")
}

async fn followed(store: &EventStore, last: Position) {
    let mut head = store.follow();
    tokio::time::timeout(PATIENCE, head.wait_for(|head| *head >= last))
        .await
        .expect("it is followed")
        .expect("the follower runs");
    let standing = async { while !store.health().await.expect("the server answers").following {} };
    tokio::time::timeout(PATIENCE, standing).await.expect("the subscription stands");
}

async fn positions(store: &EventStore) -> Vec<Position> {
    let Completion::Done(log) = log(store, Position(0)).await else { panic!("the log cannot be read") };
    log.into_iter().map(|recorded| recorded.position).collect()
}

#[tokio::test]
async fn events_that_were_there_before_the_log_was_followed_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve("127.0.0.1:0", directory.path()).await;
    let port = server.address().port();
    let writer = connect(port, PATIENCE).await;
    let mut ledger = Ledger::default();
    for number in 0..WALLETS {
        let created = ledger.create(&format!("w{number}"));
        append_in_the_end(&writer, &created).await;
        ledger.accept(&created);
    }
    let written = positions(&writer).await;
    let reader = follower(port).await;
    assert_eq!(reader.count_after(Position(0)).await.unwrap(), WALLETS as u64, "the log is not followed yet");
    followed(&reader, written[WALLETS - 1]).await;
    assert_eq!(reader.count_after(Position(0)).await.unwrap(), WALLETS as u64, "an empty checkpoint, a filled log");

    // More than the memory takes, so it begins later than it did.
    for number in 0..2 * RING_EVENTS {
        let credited = ledger.credit(&format!("w{number}"), "1");
        append_in_the_end(&writer, &credited).await;
        ledger.accept(&credited);
    }
    let written = positions(&writer).await;
    followed(&reader, written[written.len() - 1]).await;
    for (passed, checkpoint) in written.iter().enumerate() {
        let left = written.len() - passed - 1;
        assert_eq!(reader.count_after(*checkpoint).await.unwrap(), left as u64, "after event {passed}");
    }
    let again = reader.count_after(Position(0)).await.unwrap();
    assert_eq!(again, written.len() as u64, "a checkpoint that went back");
}
