//! `AppendSession` and `AppendRecords`.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use serde_json::json;
use tonic::{Code, Status};
use wallex_kurrentdb::protocol::append::{DeleteReq, Expected};
use wallex_kurrentdb::protocol::errors::{
    AppendConsistencyViolation, AppendTransactionSizeExceeded, Detail, StreamAlreadyInAppendSession,
    StreamRevisionConflict, StreamTombstoned, details_of, reason,
};
use wallex_kurrentdb::protocol::read::{AllStart, Amount, Direction, StreamStart};
use wallex_kurrentdb::protocol::session::{
    ACTUAL_DELETED, ACTUAL_NO_STREAM, ACTUAL_TOMBSTONED, AppendRecord, AppendRecordsRequest, AppendRequest,
    ConsistencyCheck, EXPECTED_ANY, EXPECTED_EXISTS, EXPECTED_NO_STREAM, SchemaFormat, SchemaInfo, StreamStateCheck,
};
use wallex_kurrentdb::protocol::value::{Kind, Value};
use wallex_kurrentdb::protocol::{APPEND_RECORDS, APPEND_SESSION, DELETE, TOMBSTONE};

use crate::world::{World, event, id_of, of_log, of_stream, options};

fn record(id: u128) -> AppendRecord {
    AppendRecord {
        record_id: Some(uuid::Uuid::from_u128(id).hyphenated().to_string()),
        properties: BTreeMap::from([
            ("$correlationId".to_owned(), Value::text("c-1")),
            ("attempt".to_owned(), Value { kind: Some(Kind::Number(2.0)) }),
        ]),
        schema: Some(SchemaInfo { format: SchemaFormat::Json as i32, name: "Happened".to_owned(), id: None }),
        data: Bytes::from_static(b"{\"a\":1}"),
        stream: None,
    }
}

fn to(stream: &str, expected: i64, ids: &[u128]) -> AppendRequest {
    let records = ids.iter().map(|id| record(*id)).collect();
    AppendRequest { stream: stream.to_owned(), records, expected_revision: Some(expected) }
}

fn in_stream(stream: &str, id: u128) -> AppendRecord {
    AppendRecord { stream: Some(stream.to_owned()), ..record(id) }
}

fn check(stream: &str, expected_state: i64) -> ConsistencyCheck {
    ConsistencyCheck { stream_state: Some(StreamStateCheck { stream: stream.to_owned(), expected_state }) }
}

fn reason_of(status: &Status) -> String {
    details_of(status).and_then(|details| details.reason()).unwrap_or_else(|| panic!("{status:?}"))
}

fn detail_of<D: Detail>(status: &Status) -> D {
    details_of(status).and_then(|details| details.detail()).unwrap_or_else(|| panic!("{status:?}"))
}

/// Index, stream, expected and actual state of each violation.
fn violations(status: &Status) -> Vec<(i32, String, i64, i64)> {
    assert_eq!(
        (status.code(), reason_of(status).as_str()),
        (Code::FailedPrecondition, reason::APPEND_CONSISTENCY_VIOLATION)
    );
    let violated: AppendConsistencyViolation = detail_of(status);
    let said = violated.violations.into_iter().map(|one| {
        let state = one.stream_state.unwrap();
        (one.check_index, state.stream, state.expected_state, state.actual_state)
    });
    said.collect()
}

fn delete(stream: &str) -> DeleteReq {
    DeleteReq { options: Some(options(stream, Expected::Any(()))) }
}

async fn log(world: &World) -> Vec<u128> {
    world.ids(of_log(AllStart::Start(()), Direction::Forwards, Amount::Count(u64::MAX), None)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_writes_all_its_streams_or_none_and_its_repeat_writes_nothing() {
    let world = World::start().await;
    world.done("b", Expected::NoStream(()), &[1]).await;
    let session = |expected| vec![to("a", EXPECTED_NO_STREAM, &[10, 11]), to("b", expected, &[12])];
    let status = world.client_stream(&APPEND_SESSION, session(5)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::FailedPrecondition, reason::STREAM_REVISION_CONFLICT)
    );
    let conflict: StreamRevisionConflict = detail_of(&status);
    assert_eq!((conflict.stream.as_str(), conflict.expected_revision, conflict.actual_revision), ("b", 5, 0));
    assert_eq!(log(&world).await, [1], "none of it");

    let answer = world.client_stream(&APPEND_SESSION, session(0)).await.unwrap();
    let output: Vec<_> =
        answer.output.iter().map(|one| (one.stream.as_str(), one.stream_revision, one.position)).collect();
    assert_eq!(output, [("a", 1, Some(3)), ("b", 1, Some(4))]);
    assert_eq!(answer.position, 4);
    assert_eq!(world.client_stream(&APPEND_SESSION, session(0)).await.unwrap(), answer, "a repeat");
    let world = world.restarted().await;
    assert_eq!(world.client_stream(&APPEND_SESSION, session(0)).await.unwrap(), answer, "a repeat after a restart");
    assert_eq!(log(&world).await, [1, 10, 11, 12]);
    world
        .client_stream(&APPEND_SESSION, vec![to("b", EXPECTED_EXISTS, &[13]), to("c", EXPECTED_ANY, &[14])])
        .await
        .unwrap();
    assert_eq!(log(&world).await, [1, 10, 11, 12, 13, 14]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_read_back_through_version_1_with_their_properties_as_json() {
    let world = World::start().await;
    let mut bytes = record(2);
    bytes.schema =
        Some(SchemaInfo { format: SchemaFormat::Bytes as i32, name: "Blob".to_owned(), id: Some("7".to_owned()) });
    let request = AppendRequest { stream: "s".to_owned(), records: vec![record(1), bytes], expected_revision: None };
    world.client_stream(&APPEND_SESSION, vec![request]).await.unwrap();
    let whole = of_stream("s", StreamStart::Start(()), Direction::Forwards, Amount::Count(u64::MAX));
    let found: Vec<_> = world.read(whole).await.unwrap().iter().filter_map(event).collect();
    let metadata = |index: usize| serde_json::from_slice::<serde_json::Value>(&found[index].custom_metadata).unwrap();
    assert_eq!(
        metadata(0),
        json!({"$correlationId": "c-1", "attempt": 2.0, "$schema.format": "Json", "$schema.name": "Happened"})
    );
    assert_eq!(metadata(1)["$schema.format"], json!("Bytes"));
    assert_eq!(metadata(1)["$schema.id"], json!("7"));
    assert_eq!((found[0].metadata["type"].as_str(), id_of(&found[0])), ("Happened", 1));
    assert_eq!(found[0].metadata["content-type"], "application/json");
    assert_eq!(found[1].metadata["content-type"], "application/octet-stream");
    assert_eq!(found[0].data.as_ref(), b"{\"a\":1}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_breaks_a_rule_is_refused_as_a_whole() {
    let world = World::start().await;
    let with = |change: fn(&mut AppendRecord)| {
        let mut changed = record(9);
        change(&mut changed);
        vec![
            to("x", EXPECTED_ANY, &[8]),
            AppendRequest { stream: "y".to_owned(), records: vec![changed], expected_revision: None },
        ]
    };
    let cases = [
        (vec![], reason::APPEND_SESSION_NO_REQUESTS),
        (vec![to("a", EXPECTED_ANY, &[1]), to("A", EXPECTED_ANY, &[2])], reason::STREAM_ALREADY_IN_APPEND_SESSION),
        (vec![to("a", EXPECTED_ANY, &[])], reason::BAD_REQUEST),
        (vec![to("a", -3, &[1])], reason::BAD_REQUEST),
        (vec![to("", EXPECTED_ANY, &[1])], reason::BAD_REQUEST),
        (with(|record| record.record_id = Some("seven".to_owned())), reason::BAD_REQUEST),
        (with(|record| record.schema = None), reason::BAD_REQUEST),
        (with(|record| record.schema.as_mut().unwrap().format = 0), reason::BAD_REQUEST),
        (with(|record| record.schema.as_mut().unwrap().name = "two words".to_owned()), reason::BAD_REQUEST),
        (with(|record| record.data = vec![0; (16 << 20) + 1].into()), reason::APPEND_TRANSACTION_SIZE_EXCEEDED),
    ];
    for (messages, expected) in cases {
        let status = world.client_stream(&APPEND_SESSION, messages).await.unwrap_err();
        assert_eq!(reason_of(&status), expected, "{status:?}");
    }
    assert_eq!(log(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_session_says_which_stream_or_how_much_it_is_about() {
    let world = World::start().await;
    let twice = vec![to("a", EXPECTED_ANY, &[1]), to("A", EXPECTED_ANY, &[2])];
    let status = world.client_stream(&APPEND_SESSION, twice).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(detail_of::<StreamAlreadyInAppendSession>(&status).stream, "A");

    let most = 16 << 20;
    let mut large = to("a", EXPECTED_ANY, &[1]);
    large.records[0].data = vec![0; most + 1].into();
    let status = world.client_stream(&APPEND_SESSION, vec![large]).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    let exceeded: AppendTransactionSizeExceeded = detail_of(&status);
    assert_eq!(exceeded.max_size, most as i32);
    assert!(exceeded.size > exceeded.max_size, "{exceeded:?}");

    // The names count as well, and the log alone counts them.
    let room = most - (50 << 10);
    let name = "n".repeat(1_000);
    let mut named = to(&name, EXPECTED_ANY, &(1..=100).collect::<Vec<_>>());
    named.records[0].data = vec![0; room].into();
    let status = world.client_stream(&APPEND_SESSION, vec![named]).await.unwrap_err();
    assert_eq!(reason_of(&status), reason::APPEND_TRANSACTION_SIZE_EXCEEDED);
    let exceeded: AppendTransactionSizeExceeded = detail_of(&status);
    assert!(exceeded.size > exceeded.max_size, "{exceeded:?}");

    world.unary(&TOMBSTONE, delete("gone")).await.unwrap();
    let closed = vec![to("a", EXPECTED_ANY, &[1]), to("gone", EXPECTED_NO_STREAM, &[2])];
    let status = world.client_stream(&APPEND_SESSION, closed).await.unwrap_err();
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::FailedPrecondition, reason::STREAM_TOMBSTONED));
    assert_eq!(detail_of::<StreamTombstoned>(&status).stream, "gone");
    assert_eq!(log(&world).await.len(), 1, "the tombstone alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_into_the_log_in_their_order_when_every_check_holds() {
    let world = World::start().await;
    let records = || vec![in_stream("a", 1), in_stream("b", 2), in_stream("a", 3)];
    let request = |checks| AppendRecordsRequest { records: records(), checks };
    let status = world.unary(&APPEND_RECORDS, request(vec![check("c", EXPECTED_EXISTS)])).await.unwrap_err();
    assert_eq!(violations(&status), [(0, "c".to_owned(), EXPECTED_EXISTS, ACTUAL_NO_STREAM)]);
    let checks = vec![check("a", EXPECTED_NO_STREAM), check("b", EXPECTED_NO_STREAM), check("c", EXPECTED_NO_STREAM)];
    let answer = world.unary(&APPEND_RECORDS, request(checks.clone())).await.unwrap();
    let revisions: Vec<_> = answer.revisions.iter().map(|one| (one.stream.as_str(), one.revision)).collect();
    assert_eq!((revisions, answer.position), (vec![("a", 1), ("b", 0)], 3));
    assert_eq!(world.unary(&APPEND_RECORDS, request(checks)).await.unwrap(), answer, "a repeat");
    assert_eq!(log(&world).await, [1, 2, 3]);
    for bad in [
        AppendRecordsRequest { records: vec![], checks: vec![] },
        AppendRecordsRequest { records: vec![record(4)], checks: vec![] },
        AppendRecordsRequest { records: records(), checks: vec![check("a", 1), check("a", 1)] },
        AppendRecordsRequest { records: records(), checks: vec![ConsistencyCheck { stream_state: None }] },
    ] {
        let status = world.unary(&APPEND_RECORDS, bad).await.unwrap_err();
        assert_eq!(reason_of(&status), reason::BAD_REQUEST);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_that_fails_is_told_with_what_the_stream_is() {
    let world = World::start().await;
    for (stream, id) in [("there", 1), ("deleted", 2), ("closed", 3)] {
        world.done(stream, Expected::NoStream(()), &[id]).await;
    }
    world.unary(&DELETE, delete("deleted")).await.unwrap();
    let request = |checks| AppendRecordsRequest { records: vec![in_stream("new", 9)], checks };
    let checks = || {
        vec![
            check("there", 7),
            check("new", EXPECTED_NO_STREAM),
            check("there no more", 4),
            check("deleted", EXPECTED_EXISTS),
        ]
    };
    let told = |index, stream: &str, expected, actual| (index, stream.to_owned(), expected, actual);
    let failed = [
        told(0, "there", 7, 0),
        told(2, "there no more", 4, ACTUAL_NO_STREAM),
        told(3, "deleted", EXPECTED_EXISTS, ACTUAL_DELETED),
    ];
    let status = world.unary(&APPEND_RECORDS, request(checks())).await.unwrap_err();
    assert_eq!(violations(&status), failed);
    let message = status.message();
    assert!(message.starts_with("stream 'there' is at revision 0 and was expected to be at revision 7"), "{message}");
    assert!(message.ends_with("3 checks failed in all"), "{message}");

    world.unary(&TOMBSTONE, delete("closed")).await.unwrap();
    let with_closed = [checks(), vec![check("closed", 0)]].concat();
    let status = world.unary(&APPEND_RECORDS, request(with_closed)).await.unwrap_err();
    assert_eq!(violations(&status), [failed.as_slice(), &[told(4, "closed", 0, ACTUAL_TOMBSTONED)]].concat());

    let into_closed = AppendRecordsRequest { records: vec![in_stream("closed", 9)], checks: vec![] };
    let status = world.unary(&APPEND_RECORDS, into_closed).await.unwrap_err();
    assert_eq!(violations(&status), [told(0, "closed", EXPECTED_ANY, ACTUAL_TOMBSTONED)]);
    assert!(!log(&world).await.contains(&9));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_violations_than_a_trailer_holds_are_told_in_part() {
    let world = World::start().await;
    let checks = (0..900).map(|number| check(&format!("{}-{number}", "stream".repeat(20)), EXPECTED_EXISTS)).collect();
    let request = AppendRecordsRequest { records: vec![in_stream("new", 1)], checks };
    let status = world.unary(&APPEND_RECORDS, request).await.unwrap_err();
    let indexes: Vec<i32> = violations(&status).into_iter().map(|(index, ..)| index).collect();
    assert!((10..900).contains(&indexes.len()), "{}", indexes.len());
    assert!(indexes.iter().copied().eq(0..indexes.len() as i32));
    assert!(status.message().ends_with("900 checks failed in all"), "{}", status.message());
}
