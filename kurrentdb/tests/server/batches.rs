//! `BatchAppend`.

use tonic::Streaming;
use wallex_kurrentdb::protocol::BATCH_APPEND;
use wallex_kurrentdb::protocol::append::Expected;
use wallex_kurrentdb::protocol::batch::{
    BatchAppendReq, BatchAppendResp, BatchExpected, BatchOptions, BatchResult, BatchRevision,
};
use wallex_kurrentdb::protocol::errors::{BatchCurrent, BatchWanted, BatchWrongExpectedVersion};
use wallex_kurrentdb::protocol::read::{Amount, Direction, StreamStart};
use wallex_kurrentdb::protocol::shared::{StreamIdentifier, Uuid};

use crate::world::{PATIENCE, World, of_stream, proposed};

fn piece(correlation: u128, options: Option<(&str, BatchExpected)>, ids: &[u128], is_final: bool) -> BatchAppendReq {
    let options = options.map(|(stream, expected)| BatchOptions {
        stream: Some(StreamIdentifier::new(stream)),
        expected: Some(expected),
        deadline: None,
    });
    BatchAppendReq {
        correlation_id: Some(Uuid::text(uuid::Uuid::from_u128(correlation))),
        options,
        events: ids.iter().map(|id| proposed(*id)).collect(),
        is_final,
    }
}

async fn answers(mut stream: Streaming<BatchAppendResp>) -> Vec<(u128, BatchResult)> {
    let mut all = Vec::new();
    while let Some(answer) = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap() {
        all.push((answer.correlation_id.unwrap().value().unwrap().as_u128(), answer.result.unwrap()));
    }
    all.sort_by_key(|(id, _)| *id);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_are_put_together_and_one_conflict_ends_nothing_but_its_own_append() {
    let world = World::start().await;
    let no_stream = BatchExpected::NoStream(());
    let messages = vec![
        piece(1, Some(("s", no_stream)), &[1], false),
        piece(2, Some(("t", no_stream)), &[10], true),
        piece(1, None, &[2, 3], true),
        piece(3, Some(("s", BatchExpected::Revision(0))), &[9], true),
        piece(4, Some(("s", BatchExpected::Revision(2))), &[4], true),
        piece(5, Some(("s", BatchExpected::Any(()))), &[5], true),
    ];
    let found = answers(world.both_stream(&BATCH_APPEND, messages).await.unwrap()).await;
    let revision = |result: &BatchResult| match result {
        BatchResult::Success(success) => match success.current_revision {
            Some(BatchRevision::Revision(revision)) => Some(revision),
            Some(BatchRevision::NoStream(())) | None => None,
        },
        BatchResult::Error(_) => None,
    };
    let revisions: Vec<Option<u64>> = found.iter().map(|(_, result)| revision(result)).collect();
    assert_eq!(revisions, [Some(2), Some(0), None, Some(3), Some(4)]);
    let BatchResult::Error(error) = &found[2].1 else { panic!("{found:?}") };
    let detail: BatchWrongExpectedVersion = error.detail().unwrap();
    assert_eq!(detail.current, Some(BatchCurrent::Revision(2)));
    assert_eq!(detail.expected, Some(BatchWanted::Revision(0)));
    let whole = of_stream("s", StreamStart::Start(()), Direction::Forwards, Amount::Count(u64::MAX));
    assert_eq!(world.ids(whole).await, [1, 2, 3, 4, 5]);
    assert_eq!(world.done("s", Expected::Revision(4), &[6]).await.0, 5);
}
