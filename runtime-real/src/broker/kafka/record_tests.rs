use rdkafka::message::{OwnedMessage, Timestamp};

use super::*;
use wallex_contracts::events::Log;
use wallex_contracts::ledger::wallet;

fn event() -> Event {
    let mut event = Log::new("record").event("alice").event;
    event.trace_parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(event.trace_parent.is_some());
    event
}

fn message(key: Option<&str>, body: &[u8], headers: Option<OwnedHeaders>) -> Message {
    let key = key.map(|key| key.as_bytes().to_vec());
    let topic = "wallet-events".to_owned();
    message_from(&OwnedMessage::new(Some(body.to_vec()), key, topic, Timestamp::NotAvailable, 3, 41, headers))
}

#[test]
fn an_event_comes_back_as_it_went_with_its_trace_and_correlation() {
    let event = event();
    let read = message(Some("record-alice"), &body(&event), Some(headers(&event)));
    assert_eq!((read.partition, read.offset), (3, 42), "the core counts offsets from 1");
    assert_eq!((&read.wallet_id, read.event_id, read.version), (&event.wallet_id, event.event_id, event.version));
    assert_eq!(read.event, Ok(event));
}

#[test]
fn a_body_that_cannot_be_read_is_a_poisoned_event_of_its_wallet() {
    let event = event();
    for bad in [b"".as_slice(), b"{", b"{\"schemaVersion\":99}"] {
        let read = message(Some("record-alice"), bad, Some(headers(&event)));
        assert_eq!((read.wallet_id, read.version), (wallet("record-alice"), event.version));
        assert_eq!(read.event.unwrap_err().kind, FailureKind::Rejected);
    }
}

#[test]
fn a_body_of_another_event_than_the_headers_say_is_not_applied() {
    let event = event();
    let read = message(Some("bob"), &body(&event), Some(headers(&event)));
    assert_eq!(read.wallet_id, wallet("bob"));
    assert!(read.event.unwrap_err().reason.contains("another event"));
}

#[test]
fn a_message_of_somebody_else_holds_back_no_wallet() {
    let event = event();
    for (key, headers) in [(None, Some(headers(&event))), (Some("record-alice"), None), (Some("not a wallet"), None)] {
        let read = message(key, b"hello", headers);
        assert_eq!((read.wallet_id.as_str(), read.version), ("unreadable:3:42", Version(1)));
        assert!(read.event.is_err());
    }
}
