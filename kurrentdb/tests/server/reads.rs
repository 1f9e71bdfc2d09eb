//! `Read`, for reads that end.

use tonic::Code;
use wallex_kurrentdb::protocol::append::Expected;
use wallex_kurrentdb::protocol::read::{
    AllStart, Amount, Direction, Expression, Filter, FilterBy, FilterWindow, Filtering, ReadContent, ReadOptions,
    StreamStart,
};
use wallex_kurrentdb::protocol::shared::Position;

use crate::world::{World, event, id_of, of_log, of_stream};

const ALL: Amount = Amount::Count(u64::MAX);

pub(crate) fn filter(by: FilterBy, window: u32) -> Option<Filtering> {
    let (by, window) = (Some(by), Some(FilterWindow::Max(window)));
    Some(Filtering::Filter(Filter { by, window, checkpoint_interval_multiplier: 1 }))
}

pub(crate) fn regex(text: &str) -> Expression {
    Expression { regex: text.to_owned(), prefix: vec![] }
}

pub(crate) fn prefixes(all: &[&str]) -> Expression {
    Expression { regex: String::new(), prefix: all.iter().map(|one| (*one).to_owned()).collect() }
}

async fn filled() -> World {
    let world = World::start().await;
    for id in 0..30_u128 {
        let stream = if id % 3 == 0 { "wallet-a" } else { "other-b" };
        world.done(stream, Expected::Any(()), &[id]).await;
    }
    world
}

fn at(position: u64) -> AllStart {
    AllStart::Position(Position::at(position))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_both_ways_from_any_revision() {
    let world = filled().await;
    let read = |start, direction, count| world.ids(of_stream("wallet-a", start, direction, Amount::Count(count)));
    let (forwards, backwards) = (Direction::Forwards, Direction::Backwards);
    assert_eq!(read(StreamStart::Start(()), forwards, u64::MAX).await, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
    assert_eq!(read(StreamStart::Revision(2), forwards, 3).await, [6, 9, 12]);
    assert_eq!(read(StreamStart::Revision(2), backwards, 9).await, [6, 3, 0]);
    assert_eq!(read(StreamStart::End(()), backwards, 2).await, [27, 24]);
    assert_eq!(read(StreamStart::End(()), forwards, 2).await, [0_u128; 0]);
    assert_eq!(read(StreamStart::Revision(70), forwards, 2).await, [0_u128; 0]);
    let all = world.read(of_stream("wallet-a", StreamStart::Start(()), forwards, ALL)).await.unwrap();
    assert_eq!(all.last(), Some(&ReadContent::LastStreamPosition(9)));
    let third = event(&all[2]).unwrap();
    assert_eq!((third.revision, third.commit_position, third.prepare_position), (2, 7, 7));
    assert_eq!(
        (third.metadata["type"].as_str(), third.metadata["content-type"].as_str()),
        ("Even", "application/json")
    );
    assert!(third.metadata["created"].parse::<u64>().unwrap() > 16_000_000_000_000_000);
    assert_eq!((third.data.as_ref(), third.custom_metadata.as_ref()), (&b"{\"id\":6}"[..], &b"{\"m\":1}"[..]));
    let missing = world.read(of_stream("nobody", StreamStart::Start(()), forwards, ALL)).await.unwrap();
    let [ReadContent::StreamNotFound(missing)] = missing.as_slice() else { panic!("{missing:?}") };
    assert_eq!(missing.stream.as_ref().unwrap().name(), Some("nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_both_ways_from_any_position() {
    let world = filled().await;
    let read = |start, direction, count| world.ids(of_log(start, direction, Amount::Count(count), None));
    let (forwards, backwards) = (Direction::Forwards, Direction::Backwards);
    assert_eq!(read(AllStart::Start(()), forwards, u64::MAX).await, (0..30).collect::<Vec<u128>>());
    assert_eq!(read(AllStart::End(()), backwards, 3).await, [29, 28, 27]);
    // Event 4 is at position 5. Forwards it is included, backwards it is not.
    assert_eq!(read(at(5), forwards, 2).await, [4, 5]);
    assert_eq!(read(at(5), backwards, 2).await, [3, 2]);
    assert_eq!(read(at(u64::MAX), backwards, 1).await, [29]);
    assert_eq!(read(AllStart::End(()), forwards, 1).await, [0_u128; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_look_at_streams_or_types_by_prefix_or_expression() {
    let world = filled().await;
    let read = |by, count| {
        let options = of_log(AllStart::Start(()), Direction::Forwards, Amount::Count(count), filter(by, 5));
        world.ids(options)
    };
    assert_eq!(read(FilterBy::Stream(prefixes(&["wallet-"])), 4).await, [0, 3, 6, 9]);
    assert_eq!(read(FilterBy::Stream(regex("^o.*-b$")), 3).await, [1, 2, 4]);
    assert_eq!(read(FilterBy::EventType(prefixes(&["Ev", "x"])), 3).await, [0, 2, 4]);
    assert_eq!(read(FilterBy::EventType(regex("^(?!(?:\\$.+|Odd)$).*$")), 3).await, [0, 2, 4]);
    assert_eq!(read(FilterBy::Stream(prefixes(&["wallet-"])), u64::MAX).await.len(), 10);
    let strange = of_log(AllStart::Start(()), Direction::Forwards, ALL, filter(FilterBy::Stream(regex("(?<=a)")), 5));
    assert_eq!(world.read(strange).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_larger_than_many_pages_comes_whole_and_in_order() {
    let world = World::start().await;
    for chunk in 0..8_u128 {
        let ids: Vec<u128> = (chunk * 400..chunk * 400 + 400).collect();
        world.done("s", Expected::Any(()), &ids).await;
    }
    let expected: Vec<u128> = (0..3_200).collect();
    assert_eq!(world.ids(of_stream("s", StreamStart::Start(()), Direction::Forwards, ALL)).await, expected);
    assert_eq!(world.ids(of_log(AllStart::Start(()), Direction::Forwards, ALL, None)).await, expected);
    let backwards = world.ids(of_log(AllStart::End(()), Direction::Backwards, ALL, None)).await;
    assert!(backwards.iter().rev().eq(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_makes_no_sense_is_refused() {
    let world = World::start().await;
    let good = of_log(AllStart::Start(()), Direction::Forwards, ALL, None);
    let backwards = Direction::Backwards as i32;
    for bad in [
        ReadOptions { source: None, ..good.clone() },
        ReadOptions { amount: None, ..good.clone() },
        ReadOptions { direction: 7, ..good.clone() },
        ReadOptions { direction: backwards, amount: Some(Amount::Subscription(())), ..good.clone() },
    ] {
        assert_eq!(world.read(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_come_in_the_form_that_was_asked_for() {
    use wallex_kurrentdb::protocol::read::{UuidContent, UuidOption};
    use wallex_kurrentdb::protocol::shared::uuid_form::Form;
    let world = World::start().await;
    world.done("s", Expected::Any(()), &[77]).await;
    for content in [UuidContent::Structured(()), UuidContent::Text(())] {
        let options = of_log(AllStart::Start(()), Direction::Forwards, ALL, None);
        let options = ReadOptions { uuid: Some(UuidOption { content: Some(content) }), ..options };
        let found = event(&world.read(options).await.unwrap()[0]).unwrap();
        let is_text = matches!(found.id.as_ref().unwrap().form, Some(Form::Text(_)));
        assert_eq!(is_text, content == UuidContent::Text(()));
        assert_eq!(id_of(&found), 77);
    }
}
