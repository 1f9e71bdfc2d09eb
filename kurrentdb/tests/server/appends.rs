//! `Append`, `Delete` and `Tombstone`.

use tonic::Code;
use wallex_kurrentdb::protocol::append::{
    AppendContent, AppendReq, AppendResult, CurrentRevision, DeletePosition, DeleteReq, Expected, ExpectedRevision,
};
use wallex_kurrentdb::protocol::errors::{
    MAXIMUM_APPEND_SIZE_EXCEEDED, STREAM_DELETED, WRONG_EXPECTED_VERSION, exception_of,
};
use wallex_kurrentdb::protocol::read::{Amount, Direction, ReadContent, StreamStart};
use wallex_kurrentdb::protocol::{APPEND, DELETE, TOMBSTONE};

use crate::world::{World, append_messages, of_stream, options, proposed};

const ALL: Amount = Amount::Count(u64::MAX);

fn conflict(result: AppendResult) -> (CurrentRevision, ExpectedRevision) {
    match result {
        AppendResult::WrongExpectedVersion(wrong) => (wrong.current.unwrap(), wrong.expected.unwrap()),
        AppendResult::Success(success) => panic!("{success:?}"),
    }
}

fn whole(stream: &str) -> wallex_kurrentdb::protocol::read::ReadOptions {
    of_stream(stream, StreamStart::Start(()), Direction::Forwards, ALL)
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_follow_their_expected_revision_and_conflicts_say_what_is_there() {
    let world = World::start().await;
    assert_eq!(
        conflict(world.append("s", Expected::Revision(4), &[9]).await.unwrap()),
        (CurrentRevision::NoStream(()), ExpectedRevision::Revision(4))
    );
    assert_eq!(
        conflict(world.append("s", Expected::StreamExists(()), &[9]).await.unwrap()),
        (CurrentRevision::NoStream(()), ExpectedRevision::StreamExists(()))
    );
    assert_eq!(world.done("s", Expected::NoStream(()), &[1, 2]).await, (1, 2));
    assert_eq!(
        conflict(world.append("s", Expected::NoStream(()), &[9]).await.unwrap()),
        (CurrentRevision::Revision(1), ExpectedRevision::NoStream(()))
    );
    assert_eq!(world.done("s", Expected::Revision(1), &[3]).await, (2, 3));
    assert_eq!(world.done("s", Expected::StreamExists(()), &[4]).await, (3, 4));
    assert_eq!(world.done("t", Expected::Any(()), &[5]).await, (0, 5));
    assert_eq!(world.ids(whole("s")).await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_has_the_same_answer_and_no_second_effect_also_after_a_restart() {
    let world = World::start().await;
    let first = world.done("s", Expected::NoStream(()), &[1, 2]).await;
    let second = world.done("s", Expected::Revision(1), &[3]).await;
    let third = world.done("s", Expected::Any(()), &[4]).await;
    assert_eq!(world.done("s", Expected::Any(()), &[4]).await, third);
    let world = world.restarted().await;
    assert_eq!(world.server.recovered().position, 4);
    assert_eq!(world.done("s", Expected::NoStream(()), &[1, 2]).await, first);
    assert_eq!(world.done("s", Expected::Revision(1), &[3]).await, second);
    assert_eq!(world.ids(whole("s")).await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appends_at_once_are_all_there_once_and_in_the_order_of_their_answers() {
    let world = World::start().await;
    let mut appends = Vec::new();
    for id in 0..200_u128 {
        let channel = world.channel.clone();
        appends.push(tokio::spawn(async move {
            let mut grpc = tonic::client::Grpc::new(channel);
            grpc.ready().await.unwrap();
            let messages = tokio_stream::iter(append_messages("s", Expected::Any(()), vec![proposed(id)]));
            let call = grpc.client_streaming(tonic::Request::new(messages), APPEND.path(), APPEND.client_codec());
            match call.await.unwrap().into_inner().result.unwrap() {
                AppendResult::Success(success) => (success.current_revision.unwrap(), id),
                AppendResult::WrongExpectedVersion(wrong) => panic!("{wrong:?}"),
            }
        }));
    }
    let mut answers = Vec::new();
    for append in appends {
        let (revision, id) = append.await.unwrap();
        let wallex_kurrentdb::protocol::append::SuccessRevision::Revision(revision) = revision else { panic!() };
        answers.push((revision, id));
    }
    answers.sort_unstable();
    let ids: Vec<u128> = answers.iter().map(|(_, id)| *id).collect();
    assert_eq!(world.ids(whole("s")).await, ids);
    assert_eq!(ids.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_not_found_and_can_be_written_again() {
    let world = World::start().await;
    world.done("s", Expected::NoStream(()), &[1, 2]).await;
    let wrong = DeleteReq { options: Some(options("s", Expected::Revision(7))) };
    let status = world.unary(&DELETE, wrong).await.unwrap_err();
    assert_eq!((status.code(), exception_of(&status)), (Code::FailedPrecondition, Some(WRONG_EXPECTED_VERSION)));
    let trailer = |name: &str| status.metadata().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!([trailer("stream-name"), trailer("expected-version"), trailer("actual-version")], ["s", "7", "1"]);

    let right = DeleteReq { options: Some(options("s", Expected::Revision(1))) };
    let answer = world.unary(&DELETE, right).await.unwrap();
    assert!(matches!(answer.position, Some(DeletePosition::Position(position)) if position.commit_position == 3));
    for world in [world.restarted().await] {
        let found = world.read(whole("s")).await.unwrap();
        assert!(matches!(found.as_slice(), [ReadContent::StreamNotFound(_)]), "{found:?}");
        assert_eq!(world.done("s", Expected::NoStream(()), &[5]).await, (2, 4));
        assert_eq!(world.ids(whole("s")).await, [5]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstoned_stream_refuses_everything_for_ever() {
    let world = World::start().await;
    world.done("s", Expected::NoStream(()), &[1]).await;
    let request = || DeleteReq { options: Some(options("s", Expected::Any(()))) };
    world.unary(&TOMBSTONE, request()).await.unwrap();
    let world = world.restarted().await;
    for status in [
        world.append("s", Expected::Any(()), &[2]).await.unwrap_err(),
        world.unary(&TOMBSTONE, request()).await.unwrap_err(),
        world.unary(&DELETE, request()).await.unwrap_err(),
        world.read(whole("s")).await.unwrap_err(),
    ] {
        assert_eq!((status.code(), exception_of(&status)), (Code::FailedPrecondition, Some(STREAM_DELETED)));
        assert_eq!(status.metadata().get("stream-name").unwrap(), "s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_append_or_too_large_is_refused() {
    let world = World::start().await;
    let event = || AppendReq { content: Some(AppendContent::Event(proposed(1))) };
    let twice = append_messages("s", Expected::Any(()), vec![]).into_iter().cycle().take(2).collect();
    for messages in [vec![], vec![event()], twice, append_messages("", Expected::Any(()), vec![proposed(1)])] {
        let status = world.client_stream(&APPEND, messages).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let mut nameless = proposed(1);
    nameless.metadata.clear();
    let status =
        world.client_stream(&APPEND, append_messages("s", Expected::Any(()), vec![nameless])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let large =
        |id| wallex_kurrentdb::protocol::append::ProposedMessage { data: vec![7; 9 << 20].into(), ..proposed(id) };
    let messages = append_messages("s", Expected::Any(()), vec![large(1), large(2)]);
    let status = world.client_stream(&APPEND, messages).await.unwrap_err();
    assert_eq!(exception_of(&status), Some(MAXIMUM_APPEND_SIZE_EXCEEDED), "{status:?}");
    // Nothing of all that is there, and the room is given back.
    let messages = append_messages("s", Expected::NoStream(()), vec![large(3)]);
    assert!(matches!(world.client_stream(&APPEND, messages).await.unwrap().result, Some(AppendResult::Success(_))));
}
