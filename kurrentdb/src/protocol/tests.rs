//! Golden bytes: the wire form of messages, worked out by hand from the field numbers of the published interface.

use prost::Message as _;
use prost::bytes::Bytes;
use tonic::Code;

use super::append::{AppendContent, AppendReq, AppendResp, AppendResult, CurrentRevision, Expected, StreamOptions};
use super::errors::{
    self, Any, AppendConsistencyViolation, AppendTransactionSizeExceeded, ConsistencyViolation, NodeInfo,
    NotLeaderNode, StreamRevisionConflict, StreamStateViolation,
};
use super::read::{Amount, Direction, ReadOptions, ReadReq, Source, StreamSource, StreamStart};
use super::session::{AppendRecord, AppendRequest, EXPECTED_NO_STREAM, SchemaFormat, SchemaInfo};
use super::shared::{StreamIdentifier, Uuid};
use super::value::Value;

#[test]
fn the_first_message_of_an_append_names_the_stream_and_its_revision() {
    let options =
        StreamOptions { stream: Some(StreamIdentifier::new("wallet-a")), expected: Some(Expected::Revision(300)) };
    let bytes = AppendReq { content: Some(AppendContent::Options(options)) }.encode_to_vec();
    assert_eq!(bytes, b"\x0a\x0f\x0a\x0a\x1a\x08wallet-a\x10\xac\x02");
}

#[test]
fn a_wrong_revision_is_read_from_the_fields_of_today() {
    // Fields 1 (the form of 20.6.0), 6 and 8 of the second member of the result.
    let answer = AppendResp::decode(&b"\x12\x06\x08\x05\x30\x05\x40\x04"[..]).expect("an answer");
    let Some(AppendResult::WrongExpectedVersion(wrong)) = answer.result else { panic!("{answer:?}") };
    assert_eq!(wrong.current, Some(CurrentRevision::Revision(5)));
}

#[test]
fn a_read_from_a_revision_is_spelled_as_the_server_reads_it() {
    let source = StreamSource { stream: Some(StreamIdentifier::new("s")), start: Some(StreamStart::Revision(7)) };
    let options = ReadOptions {
        source: Some(Source::Stream(source)),
        direction: Direction::Backwards as i32,
        amount: Some(Amount::Count(2)),
        ..ReadOptions::default()
    };
    let bytes = ReadReq { options: Some(options) }.encode_to_vec();
    assert_eq!(bytes, b"\x0a\x0d\x0a\x07\x0a\x03\x1a\x01s\x10\x07\x18\x01\x28\x02");
}

#[test]
fn revisions_of_a_session_are_zigzag_numbers() {
    let record = AppendRecord {
        record_id: Some("i".to_owned()),
        properties: [("k".to_owned(), Value::text("v"))].into(),
        schema: Some(SchemaInfo { format: SchemaFormat::Json as i32, name: "T".to_owned(), id: None }),
        data: Bytes::from_static(b"{}"),
        stream: None,
    };
    let request =
        AppendRequest { stream: "s".to_owned(), records: vec![record], expected_revision: Some(EXPECTED_NO_STREAM) };
    let expected =
        b"\x0a\x01s\x12\x18\x0a\x01i\x12\x08\x0a\x01k\x12\x03\x1a\x01v\x1a\x05\x08\x01\x12\x01T\x22\x02{}\x18\x01";
    assert_eq!(request.encode_to_vec(), expected);
}

#[test]
fn an_id_is_the_same_in_both_forms() {
    let id = uuid::Uuid::from_u64_pair(0xfedc_ba98_7654_3210, 0x8123_4567_89ab_cdef);
    assert_eq!(Uuid::text(id).value(), Some(id));
    assert_eq!(Uuid::structured(id).value(), Some(id));
    assert_eq!(Uuid { form: None }.value(), None);
}

#[test]
fn an_error_of_version_1_keeps_its_exception_and_what_is_beside_it() {
    let status = errors::exception(Code::NotFound, "no", errors::NOT_LEADER, &[(errors::LEADER_HOST, "node2")]);
    assert_eq!(errors::exception_of(&status), Some("not-leader"));
    assert_eq!(status.metadata().get(errors::LEADER_HOST).and_then(|value| value.to_str().ok()), Some("node2"));
}

#[test]
fn an_error_of_version_2_keeps_its_reason_and_detail() {
    let leader = Some(NodeInfo { host: "node2".to_owned(), port: 2113 });
    let detail = NotLeaderNode { leader };
    let status =
        errors::rich(Code::FailedPrecondition, "not here", errors::reason::NOT_LEADER_NODE, Some(Any::pack(&detail)));
    let details = errors::details_of(&status).expect("details");
    assert_eq!(details.reason().as_deref(), Some("NOT_LEADER_NODE"));
    assert_eq!(details.detail::<NotLeaderNode>(), Some(detail));
    assert_eq!(details.detail::<StreamRevisionConflict>(), None);
}

#[test]
fn a_violation_is_spelled_as_the_server_spells_it() {
    let state = StreamStateViolation { stream: "s".to_owned(), expected_state: 3, actual_state: -6 };
    let violation = ConsistencyViolation { check_index: 2, stream_state: Some(state) };
    let detail = AppendConsistencyViolation { violations: vec![violation] };
    assert_eq!(detail.encode_to_vec(), b"\x0a\x0b\x08\x02\x12\x07\x0a\x01s\x10\x06\x18\x0b");
    let exceeded = AppendTransactionSizeExceeded { size: 300, max_size: 2 };
    assert_eq!(exceeded.encode_to_vec(), b"\x08\xac\x02\x10\x02");
}

#[test]
fn properties_read_back_as_json() {
    use super::value::{Kind, List, Object};
    let list = List { values: vec![Value { kind: Some(Kind::Bool(true)) }, Value { kind: Some(Kind::Number(1.5)) }] };
    let object = Object { fields: [("a".to_owned(), Value { kind: Some(Kind::List(list)) })].into() };
    let value = Value { kind: Some(Kind::Object(object)) };
    let copy = Value::decode(value.encode_to_vec().as_slice()).expect("a value");
    assert_eq!(copy.to_json(), serde_json::json!({"a": [true, 1.5]}));
}
