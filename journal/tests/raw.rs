//! Opaque streams: expected revisions, repeats, deletion, and reading in both directions.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests say what they expect by unwrapping")]

use wallex_core::time::Timestamp;
use wallex_journal::raw::*;
use wallex_journal::testing::FaultyStorage;
use wallex_journal::{Journal, JournalError, Options};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const PAGE: Limits = Limits { events: 1_000, bytes: 1 << 20 };

fn options() -> Options {
    Options { segment_bytes: 8 << 10, ..Options::default() }
}

fn open(storage: &FaultyStorage) -> Log<FaultyStorage> {
    Log::open(storage.clone(), options()).unwrap().0
}

fn event(id: u128) -> NewEvent {
    let kind = format!("type-{}", id % 3);
    NewEvent { id: id.to_be_bytes(), kind, is_json: true, data: b"{\"a\":1}".to_vec(), metadata: Vec::new() }
}

fn to(stream: &str, expected: Expected, ids: &[u128]) -> Append {
    Append::to_stream(stream.to_owned(), expected, ids.iter().map(|id| event(*id)).collect())
}

fn metadata(stream: &str, id: u128, json: &str) -> Append {
    let event = NewEvent { kind: METADATA_TYPE.to_owned(), data: json.as_bytes().to_vec(), ..event(id) };
    Append::to_stream(format!("{METADATA_STREAM}{stream}"), Expected::Any, vec![event])
}

fn done(log: &mut Log<FaultyStorage>, append: &Append) -> Appended {
    match log.append(&[append], NOW).remove(0) {
        Outcome::Done(appended) => appended,
        other => panic!("{append:?}: {other:?}"),
    }
}

fn mismatches(log: &mut Log<FaultyStorage>, append: &Append) -> Vec<(String, Option<u64>)> {
    match log.append(&[append], NOW).remove(0) {
        Outcome::Refused(Refusal::Mismatch(all)) => {
            all.into_iter().map(|one| (one.stream, one.actual.last())).collect()
        }
        other => panic!("{append:?}: {other:?}"),
    }
}

fn ids(events: &[StoredEvent]) -> Vec<u128> {
    events.iter().map(|event| u128::from_be_bytes(event.event.id)).collect()
}

fn stream(log: &Log<FaultyStorage>, name: &str, from: u64, direction: Direction) -> Vec<u128> {
    match log.reader().stream(name, from, direction, PAGE).unwrap() {
        StreamPage::Events(events) => ids(&events),
        other => panic!("{name}: {other:?}"),
    }
}

fn whole(log: &Log<FaultyStorage>) -> Vec<u128> {
    ids(&log.reader().log(0, Direction::Forwards, PAGE).unwrap())
}

#[test]
fn every_expectation_is_met_or_refused_with_what_was_found() {
    let mut log = open(&FaultyStorage::default());
    assert_eq!(mismatches(&mut log, &to("s", Expected::Revision(0), &[9])), [("s".to_owned(), None)]);
    assert_eq!(mismatches(&mut log, &to("s", Expected::Exists, &[9])), [("s".to_owned(), None)]);
    let first = done(&mut log, &to("s", Expected::NoStream, &[1, 2]));
    assert_eq!(first, Appended { streams: vec![Some(Written { revision: 1, position: 2 })], position: 2 });
    assert_eq!(mismatches(&mut log, &to("s", Expected::NoStream, &[9])), [("s".to_owned(), Some(1))]);
    assert_eq!(mismatches(&mut log, &to("s", Expected::Revision(0), &[9])), [("s".to_owned(), Some(1))]);
    assert_eq!(mismatches(&mut log, &to("s", Expected::Revision(2), &[9])), [("s".to_owned(), Some(1))]);
    done(&mut log, &to("s", Expected::Revision(1), &[3]));
    done(&mut log, &to("s", Expected::Exists, &[4]));
    done(&mut log, &to("s", Expected::Any, &[5]));
    done(&mut log, &to("t", Expected::Any, &[6]));
    assert_eq!(stream(&log, "s", 0, Direction::Forwards), [1, 2, 3, 4, 5]);
    assert_eq!(whole(&log), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_repeated_append_is_answered_as_before_and_writes_nothing() {
    let storage = FaultyStorage::default();
    let mut log = open(&storage);
    let appends = [
        to("s", Expected::NoStream, &[1, 2]),
        to("s", Expected::Revision(1), &[3, 4]),
        to("t", Expected::Any, &[5]),
        to("s", Expected::Exists, &[6]),
    ];
    let answers: Vec<Appended> = appends.iter().map(|append| done(&mut log, append)).collect();
    let again: Vec<Appended> = appends.iter().map(|append| done(&mut log, append)).collect();
    assert_eq!(again, answers);
    // Within one group too.
    let twice = to("u", Expected::NoStream, &[7]);
    let outcomes = log.append(&[&twice, &twice], NOW);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(whole(&log), [1, 2, 3, 4, 5, 6, 7]);
    // A restart forgets the ids of appends that named no revision, and no others.
    drop(log);
    let mut log = open(&storage);
    assert_eq!(done(&mut log, &appends[0]), answers[0]);
    assert_eq!(done(&mut log, &appends[1]), answers[1]);
    assert_eq!(whole(&log), [1, 2, 3, 4, 5, 6, 7]);
    // Other ids, other numbers of events, or another place are no repeats.
    assert_eq!(mismatches(&mut log, &to("s", Expected::NoStream, &[1, 9])).len(), 1);
    assert_eq!(mismatches(&mut log, &to("s", Expected::Revision(0), &[3, 4])).len(), 1);
    assert_eq!(mismatches(&mut log, &to("s", Expected::Revision(3), &[6, 9])).len(), 1);
    assert_eq!(done(&mut log, &to("s", Expected::NoStream, &[1])).streams[0].unwrap().revision, 0, "a part is there");
}

#[test]
fn an_append_to_several_streams_takes_effect_in_all_or_in_none() {
    let mut log = open(&FaultyStorage::default());
    let several = |second: Expected, ids: [u128; 3]| {
        let expectation = |stream: &str, expected| Expectation { stream: stream.to_owned(), expected };
        let streams = vec![expectation("a", Expected::Any), expectation("b", second), expectation("c", Expected::Any)];
        Append::new(streams, vec![(0, event(ids[0])), (1, event(ids[1])), (0, event(ids[2]))])
    };
    assert_eq!(mismatches(&mut log, &several(Expected::Exists, [1, 2, 3])), [("b".to_owned(), None)]);
    assert_eq!(whole(&log), [0_u128; 0]);
    let appended = done(&mut log, &several(Expected::NoStream, [1, 2, 3]));
    let written = |revision, position| Some(Written { revision, position });
    assert_eq!(appended.streams, [written(1, 3), written(0, 2), None]);
    assert_eq!(done(&mut log, &several(Expected::NoStream, [1, 2, 3])), appended, "a repeat");
    assert_eq!(mismatches(&mut log, &several(Expected::NoStream, [1, 2, 4])).len(), 1);
    assert_eq!(stream(&log, "a", 0, Direction::Forwards), [1, 3]);
    assert_eq!(whole(&log), [1, 2, 3]);
}

#[test]
fn appends_of_a_group_see_the_earlier_ones() {
    let mut log = open(&FaultyStorage::default());
    let group = [
        to("s", Expected::NoStream, &[1]),
        to("s", Expected::NoStream, &[2]),
        to("s", Expected::Revision(0), &[3]),
        Append::tombstone("t".to_owned(), Expected::Any, [1; 16]),
        to("t", Expected::Any, &[4]),
        metadata("s", 5, "{\"$tb\":1}"),
    ];
    let outcomes = log.append(&group, NOW);
    let is_done: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Done(_))).collect();
    assert_eq!(is_done, [true, false, true, true, false, true]);
    assert_eq!(outcomes[4], Outcome::Refused(Refusal::Tombstoned("t".to_owned())));
    assert_eq!(stream(&log, "s", 0, Direction::Forwards), [3]);
}

#[test]
fn a_deleted_stream_is_gone_until_it_is_written_again_and_goes_on_counting() {
    let storage = FaultyStorage::default();
    let mut log = open(&storage);
    done(&mut log, &to("s", Expected::NoStream, &[1, 2]));
    done(&mut log, &metadata("s", 3, &format!("{{\"$tb\":{LAST_REVISION}}}")));
    for round in 0..2 {
        assert_eq!(log.reader().stream("s", 0, Direction::Forwards, PAGE).unwrap(), StreamPage::NotFound, "{round}");
        assert_eq!(mismatches(&mut log, &to("s", Expected::Exists, &[9])), [("s".to_owned(), Some(1))]);
        drop(log);
        log = open(&storage);
    }
    let append = to("s", Expected::NoStream, &[4]);
    assert_eq!(done(&mut log, &append).streams[0].unwrap().revision, 2);
    assert_eq!(done(&mut log, &append).streams[0].unwrap().revision, 2, "a repeat");
    drop(log);
    let log = open(&storage);
    assert_eq!(stream(&log, "s", 0, Direction::Forwards), [4]);
    assert_eq!(stream(&log, "s", u64::MAX, Direction::Backwards), [4]);
    assert_eq!(whole(&log), [1, 2, 3, 4]);
}

#[test]
fn a_closed_stream_stays_closed() {
    let storage = FaultyStorage::default();
    let mut log = open(&storage);
    done(&mut log, &to("s", Expected::NoStream, &[1]));
    let closing = Append::tombstone("s".to_owned(), Expected::Revision(0), [7; 16]);
    assert_eq!(done(&mut log, &closing).streams[0].unwrap().revision, LAST_REVISION);
    for _ in 0..2 {
        let outcomes = log.append(&[to("s", Expected::Any, &[2]), closing.clone()], NOW);
        let closed = Outcome::Refused(Refusal::Tombstoned("s".to_owned()));
        assert_eq!(outcomes, [closed.clone(), closed]);
        assert_eq!(log.reader().stream("s", 0, Direction::Forwards, PAGE).unwrap(), StreamPage::Tombstoned);
        drop(log);
        log = open(&storage);
    }
    let last = log.reader().log(u64::MAX, Direction::Backwards, PAGE).unwrap().remove(0);
    assert_eq!((last.stream.as_str(), last.event.kind.as_str(), last.revision), ("s", TOMBSTONE_TYPE, LAST_REVISION));
}

#[test]
fn streams_and_log_are_read_in_both_directions_from_any_place_in_pages() {
    let mut log = open(&FaultyStorage::default());
    for id in 0..40_u128 {
        done(&mut log, &to(if id % 4 == 0 { "s" } else { "t" }, Expected::Any, &[id * 2, id * 2 + 1]));
    }
    let reader = log.reader();
    assert_eq!(reader.position(), 80);
    for from in [0, 1, 2, 7, 79, 80, 81, 500] {
        let page = Limits { events: 7, ..PAGE };
        let forwards = reader.log(from, Direction::Forwards, page).unwrap();
        let expected: Vec<u64> = (from.max(1)..81).take(7).collect();
        assert_eq!(forwards.iter().map(|event| event.position).collect::<Vec<_>>(), expected);
        let backwards = reader.log(from, Direction::Backwards, page).unwrap();
        let expected: Vec<u64> = (1..from.clamp(1, 81)).rev().take(7).collect();
        assert_eq!(backwards.iter().map(|event| event.position).collect::<Vec<_>>(), expected);
    }
    assert_eq!(stream(&log, "s", 3, Direction::Forwards)[..3], [9, 16, 17]);
    assert_eq!(stream(&log, "s", 3, Direction::Backwards), [9, 8, 1, 0]);
    assert_eq!(stream(&log, "s", 20, Direction::Forwards), [0_u128; 0]);
    let small = Limits { events: 100, bytes: 15 };
    assert_eq!(reader.log(1, Direction::Forwards, small).unwrap().len(), 3, "the third event reaches the limit");
    let event = reader.log(11, Direction::Forwards, PAGE).unwrap().remove(0);
    assert_eq!((event.revision, event.time_micros, event.event), (6, NOW.as_micros(), self::event(10)));
}

#[test]
fn what_does_not_fit_or_has_no_name_is_refused() {
    let mut log = open(&FaultyStorage::default());
    for append in
        [to("", Expected::Any, &[1]), to(&"x".repeat(1_025), Expected::Any, &[1]), to("s", Expected::Any, &[])]
    {
        assert!(matches!(log.append(&[append], NOW)[0], Outcome::Refused(Refusal::Malformed(_))));
    }
    let too_much = NewEvent { data: vec![1; APPEND_BYTES_MAX], ..event(1) };
    let large = Append::to_stream("s".to_owned(), Expected::Any, vec![too_much, event(2)]);
    assert_eq!(log.append(&[large], NOW), [Outcome::Refused(Refusal::TooLarge)]);
    let most = NewEvent { data: vec![1; APPEND_BYTES_MAX - 1_024], ..event(3) };
    done(&mut log, &Append::to_stream("s".to_owned(), Expected::Any, vec![most.clone()]));
    assert_eq!(log.reader().log(1, Direction::Forwards, PAGE).unwrap()[0].event, most);
}

#[test]
fn neither_kind_of_log_opens_the_other() {
    let storage = FaultyStorage::default();
    let mut log = open(&storage);
    done(&mut log, &to("wallet-a", Expected::Any, &[1]));
    assert!(matches!(Log::open(storage.clone(), options()), Err(JournalError::Locked(_))));
    drop(log);
    assert!(matches!(Journal::open(storage.clone(), options()), Err(JournalError::OtherLog(_))));
    assert_eq!(whole(&open(&storage)), [1]);
}

#[test]
fn damage_is_reported_and_never_served() {
    let storage = FaultyStorage::default();
    let mut log = open(&storage);
    for id in 0..5 {
        done(&mut log, &to("s", Expected::Any, &[id]));
    }
    let name = "00000000000000000001.seg";
    let content = storage.content(name).unwrap();
    let at = content.windows(5).position(|bytes| bytes == b"{\"a\":").unwrap() as u64;
    storage.rot(name, at, 1);
    assert!(matches!(log.reader().log(1, Direction::Forwards, PAGE), Err(JournalError::Damaged(_))));
    drop(log);
    let Err(JournalError::Damaged(damage)) = Log::open(storage, options()) else { panic!("served") };
    assert_eq!(damage.segment, name);
}
