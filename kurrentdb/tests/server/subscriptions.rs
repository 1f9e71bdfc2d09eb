//! `Read`, for subscriptions.

use std::time::Duration;

use tonic::{Code, Status, Streaming};
use wallex_kurrentdb::protocol::append::{DeleteReq, Expected};
use wallex_kurrentdb::protocol::errors::{STREAM_DELETED, details_of, exception_of, reason};
use wallex_kurrentdb::protocol::read::{
    AllStart, Amount, Direction, FilterBy, ReadContent, ReadOptions, ReadResp, StreamStart,
};
use wallex_kurrentdb::protocol::shared::Position;
use wallex_kurrentdb::protocol::{APPEND, TOMBSTONE};
use wallex_kurrentdb::server::Options;

use crate::reads::{filter, prefixes};
use crate::world::{World, append_messages, event, id_of, next, of_log, of_stream, options, proposed};

/// What a subscription says, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Confirmed,
    Event(u128),
    Checkpoint(u64),
    CaughtUp,
}

async fn said(stream: &mut Streaming<ReadResp>) -> Result<Said, Status> {
    let content = next(stream).await?.expect("the subscription goes on");
    Ok(match &content {
        ReadContent::Confirmation(_) => Said::Confirmed,
        ReadContent::Checkpoint(checkpoint) => Said::Checkpoint(checkpoint.commit_position),
        ReadContent::CaughtUp(_) => Said::CaughtUp,
        ReadContent::Event(_) => Said::Event(id_of(&event(&content).unwrap())),
        other => panic!("{other:?}"),
    })
}

async fn take(stream: &mut Streaming<ReadResp>, count: usize) -> Vec<Said> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(said(stream).await.unwrap());
    }
    all
}

fn to_stream(stream: &str, start: StreamStart) -> ReadOptions {
    of_stream(stream, start, Direction::Forwards, Amount::Subscription(()))
}

fn to_log(start: AllStart, by: Option<FilterBy>) -> ReadOptions {
    of_log(start, Direction::Forwards, Amount::Subscription(()), by.and_then(|by| filter(by, 3)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_confirms_catches_up_and_goes_on_with_what_comes() {
    let world = World::start().await;
    world.done("s", Expected::Any(()), &[1, 2, 3]).await;
    world.done("t", Expected::Any(()), &[4]).await;
    let mut stream = world.open(to_stream("s", StreamStart::Revision(0))).await.unwrap();
    let mut fresh = world.open(to_stream("unborn", StreamStart::Start(()))).await.unwrap();
    let mut end = world.open(to_stream("s", StreamStart::End(()))).await.unwrap();
    let mut log = world.open(to_log(AllStart::Position(Position::at(2)), None)).await.unwrap();
    let mut head = world.open(to_log(AllStart::End(()), None)).await.unwrap();
    use Said::{CaughtUp, Confirmed, Event};
    assert_eq!(take(&mut stream, 4).await, [Confirmed, Event(2), Event(3), CaughtUp], "the start is exclusive");
    assert_eq!(take(&mut log, 4).await, [Confirmed, Event(3), Event(4), CaughtUp]);
    for waiting in [&mut fresh, &mut end, &mut head] {
        assert_eq!(take(waiting, 2).await, [Confirmed, CaughtUp]);
    }
    world.done("unborn", Expected::Any(()), &[5]).await;
    world.done("s", Expected::Any(()), &[6, 7]).await;
    assert_eq!(take(&mut stream, 2).await, [Event(6), Event(7)]);
    assert_eq!(take(&mut end, 2).await, [Event(6), Event(7)]);
    assert_eq!(take(&mut fresh, 1).await, [Event(5)]);
    for all in [&mut log, &mut head] {
        assert_eq!(take(all, 3).await, [Event(5), Event(6), Event(7)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_subscription_gives_checkpoints_for_what_it_leaves_out() {
    let world = World::start().await;
    for id in 1..=8 {
        world.done(if id == 5 { "wallet-1" } else { "noise" }, Expected::Any(()), &[id]).await;
    }
    let by = || Some(FilterBy::Stream(prefixes(&["wallet-"])));
    let mut stream = world.open(to_log(AllStart::Start(()), by())).await.unwrap();
    use Said::{CaughtUp, Checkpoint, Confirmed, Event};
    let expected = [Confirmed, Checkpoint(3), Event(5), Checkpoint(6), Checkpoint(8), CaughtUp];
    assert_eq!(take(&mut stream, 6).await, expected);
    for id in 9..=11 {
        world.done("noise", Expected::Any(()), &[id]).await;
    }
    world.done("wallet-1", Expected::Any(()), &[12]).await;
    assert_eq!(take(&mut stream, 2).await, [Checkpoint(11), Event(12)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_and_in_order_while_others_write() {
    let world = World::start().await;
    let mut stream = world.open(to_log(AllStart::Start(()), None)).await.unwrap();
    let channel = world.channel.clone();
    let writing = tokio::spawn(async move {
        for id in 0..300_u128 {
            let mut grpc = tonic::client::Grpc::new(channel.clone());
            grpc.ready().await.unwrap();
            let stream = format!("s-{}", id % 7);
            let messages = tokio_stream::iter(append_messages(&stream, Expected::Any(()), vec![proposed(id)]));
            grpc.client_streaming(tonic::Request::new(messages), APPEND.path(), APPEND.client_codec()).await.unwrap();
        }
    });
    let mut ids = Vec::new();
    while ids.len() < 300 {
        if let Said::Event(id) = said(&mut stream).await.unwrap() {
            ids.push(id);
        }
    }
    assert_eq!(ids, (0..300).collect::<Vec<u128>>());
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_and_the_end_of_the_server_end_subscriptions_with_a_reason() {
    let world = World::start().await;
    world.done("s", Expected::Any(()), &[1]).await;
    let mut stream = world.open(to_stream("s", StreamStart::Start(()))).await.unwrap();
    let mut log = world.open(to_log(AllStart::Start(()), None)).await.unwrap();
    assert_eq!(take(&mut stream, 3).await.last(), Some(&Said::CaughtUp));
    assert_eq!(take(&mut log, 3).await.last(), Some(&Said::CaughtUp));
    let request = DeleteReq { options: Some(options("s", Expected::Any(()))) };
    world.unary(&TOMBSTONE, request).await.unwrap();
    let status = said(&mut stream).await.unwrap_err();
    assert_eq!(exception_of(&status), Some(STREAM_DELETED));
    assert!(matches!(said(&mut log).await, Ok(Said::Event(_))), "the tombstone");
    let stopping = tokio::spawn(world.server.stop());
    let status = said(&mut log).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(details_of(&status).unwrap().reason().unwrap(), reason::SERVER_SHUTTING_DOWN);
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_takes_nothing_is_cut_off_and_the_others_are_not() {
    let options = Options { stall_timeout: Duration::from_millis(300), ..Options::default() };
    let world = World::with(options).await;
    // A connection of its own: what it does not take fills the window that all calls of a connection share.
    let mut slow = world.another_connection().await.open(to_log(AllStart::Start(()), None)).await.unwrap();
    assert_eq!(take(&mut slow, 2).await, [Said::Confirmed, Said::CaughtUp]);
    let mut quick = world.open(to_log(AllStart::Start(()), None)).await.unwrap();
    assert_eq!(take(&mut quick, 2).await, [Said::Confirmed, Said::CaughtUp]);
    // More than the windows and the queue of a call can hold.
    for id in 0..40_u128 {
        let mut large = proposed(id);
        large.data = vec![7; 1 << 20].into();
        world.client_stream(&APPEND, append_messages("s", Expected::Any(()), vec![large])).await.unwrap();
        assert_eq!(said(&mut quick).await.unwrap(), Said::Event(id));
    }
    // It takes nothing for longer than it may.
    tokio::time::sleep(options.stall_timeout * 4).await;
    let mut taken = 0;
    let status = loop {
        match said(&mut slow).await {
            Ok(_) => taken += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    assert!(taken < 40, "it was cut off before the end");
}
