//! Golden bytes, committed schemas, and the upcast of version 1.

use std::collections::BTreeSet;

use super::*;
use crate::event::EventType;

fn sample(fact: Fact) -> Event {
    let usd = Currency::parse("USD").unwrap();
    let command_id = CommandId::parse("01a3185c-507b-7000-bfff-ffffffffffff").unwrap();
    let created = matches!(fact, Fact::Created { .. });
    Event {
        event_id: command_id.event_id(0),
        wallet_id: WalletId::parse("alice").unwrap(),
        version: Version(if created { 1 } else { 7 }),
        occurred_at: Timestamp::parse("2026-11-21T06:17:07.123456Z").unwrap(),
        currency: usd,
        amount: Money::parse("150", usd).unwrap(),
        balance: Money::parse("150", usd).unwrap(),
        description: (!created).then(|| "rent \"May\"\n\u{20ac} \\".into()),
        fact,
        command_id,
        correlation_id: CorrelationId::parse("req-1").unwrap(),
        trace_parent: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    }
}

fn leg() -> TransferLeg {
    TransferLeg {
        transfer_id: TransferId::parse("01a3185c-507b-7001-bfff-ffffffffffff").unwrap(),
        counterparty: WalletId::parse("bob").unwrap(),
    }
}

/// Each kind of event with every member it can have, its golden bytes and its schema.
fn goldens() -> [(Event, &'static str, &'static str); 3] {
    [
        (
            sample(Fact::Created { owner_id: OwnerId::parse("owner-1").unwrap() }),
            include_str!("../../golden/WalletCreated.v2.json"),
            include_str!("../../schemas/WalletCreated.v2.json"),
        ),
        (
            sample(Fact::Credited { transfer: Some(leg()) }),
            include_str!("../../golden/WalletCredited.v2.json"),
            include_str!("../../schemas/WalletCredited.v2.json"),
        ),
        (
            sample(Fact::Debited { transfer: Some(leg()) }),
            include_str!("../../golden/WalletDebited.v2.json"),
            include_str!("../../schemas/WalletDebited.v2.json"),
        ),
    ]
}

fn encode(event: &Event) -> (Vec<u8>, Vec<u8>) {
    let (mut data, mut metadata) = (Vec::new(), Vec::new());
    encode_data(event, &mut data);
    encode_metadata(event, &mut metadata);
    (data, metadata)
}

#[test]
fn stored_bytes_never_change_within_a_schema_version() {
    for (event, golden, _) in goldens() {
        let (data, metadata) = encode(&event);
        let written = format!("{}\n{}\n", String::from_utf8(data).unwrap(), String::from_utf8(metadata).unwrap());
        assert_eq!(written, golden, "{}: a change of stored bytes is a new schema version", event.event_type().name());
    }
}

#[test]
fn golden_bytes_are_read_as_the_events_they_were() {
    for (event, golden, _) in goldens() {
        let (data, metadata) = golden.trim_end().split_once('\n').unwrap();
        let read = decode(event.event_id, event.event_type().name(), data.as_bytes(), metadata.as_bytes());
        assert_eq!(read, Ok(event));
    }
}

#[test]
fn the_committed_schemas_name_exactly_the_members_that_are_written() {
    for (mut event, _, schema) in goldens() {
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let members = |event: &Event| -> BTreeSet<String> {
            let data: serde_json::Value = serde_json::from_slice(&encode(event).0).unwrap();
            data.as_object().unwrap().keys().cloned().collect()
        };
        let full = members(&event);
        event.description = None;
        if let Fact::Credited { transfer } | Fact::Debited { transfer } = &mut event.fact {
            *transfer = None;
        }
        let least = members(&event);
        let described: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let required: BTreeSet<String> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(schema["title"], event.event_type().name());
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["schemaVersion"]["const"], SCHEMA_VERSION);
        assert_eq!((described, required), (full, least), "{}", event.event_type().name());
    }
}

#[test]
fn version_1_is_read_through_its_upcaster_without_losing_a_digit() {
    let golden = include_str!("../../golden/WalletCredited.v1.json");
    let (data, metadata) = golden.trim_end().split_once('\n').unwrap();
    let event = sample(Fact::Credited { transfer: None });
    let read = decode(event.event_id, "WalletCredited", data.as_bytes(), metadata.as_bytes()).unwrap();
    assert_eq!(read.amount.to_string(), "0.10");
    assert_eq!(read.balance.to_string(), "800719925474099.31", "more digits than a float has");
    assert_eq!(read.description.as_deref(), Some("version 1"));
}

#[test]
fn what_is_no_event_is_named() {
    let (event, golden, _) = &goldens()[0];
    let (data, metadata) = golden.trim_end().split_once('\n').unwrap();
    let read =
        |kind: &str, data: &str, metadata: &str| decode(event.event_id, kind, data.as_bytes(), metadata.as_bytes());
    assert_eq!(read("WalletMelted", data, metadata), Err(CodecError::UnknownType("WalletMelted".to_owned())));
    let newer = data.replace("\"schemaVersion\":2", "\"schemaVersion\":3");
    assert_eq!(read("WalletCreated", &newer, metadata), Err(CodecError::TooNew(3)));
    assert!(matches!(read("WalletCreated", "{", metadata), Err(CodecError::Malformed(_))));
    assert!(matches!(read("WalletCreated", data, "[]"), Err(CodecError::Malformed(_))));
    let currency = data.replace("USD", "usd");
    assert!(matches!(read("WalletCreated", &currency, metadata), Err(CodecError::Invalid { field: "currency", .. })));
    let half = data.replace("\"ownerId\":\"owner-1\"", "\"transferId\":\"01a3185c-507b-7001-bfff-ffffffffffff\"");
    assert!(matches!(read("WalletCreated", &half, metadata), Err(CodecError::Invalid { .. })));
}

#[test]
fn every_kind_of_event_has_a_name_that_leads_back_to_it() {
    for kind in EventType::ALL {
        assert_eq!(EventType::parse(kind.name()), Some(kind));
    }
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_back(
        description in proptest::option::of(".{0,40}"),
        minor in 0_i64..=i64::from(u32::MAX),
        version in 2_u64..u64::MAX,
    ) {
        let usd = Currency::parse("USD").unwrap();
        let mut event = sample(Fact::Debited { transfer: None });
        event.description = description.map(Into::into);
        event.amount = Money::from_minor_units(minor, usd);
        event.version = Version(version);
        let (data, metadata) = encode(&event);
        proptest::prop_assert_eq!(decode(event.event_id, "WalletDebited", &data, &metadata), Ok(event));
    }
}
