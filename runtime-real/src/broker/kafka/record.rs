//! An event as a message, and back.
//!
//! The body is the event's `data`, as the event store has it. Headers carry the rest, twice: as plain headers, which the
//! service reads, and as a CloudEvents message in binary mode (`ce_*`), for everybody else.
//!
//! A message that is none of ours (no key, id or version) belongs to no wallet. It gets a wallet id of its own, made of
//! its place, so that it can be set aside as a dead letter without holding back anybody (INV-11).

use rdkafka::message::{Header, Headers, OwnedHeaders};
use wallex_core::effect::{Failure, FailureKind};
use wallex_core::event::{Event, TraceParent, codec};
use wallex_core::id::{CommandId, CorrelationId, EventId, Version, WalletId};
use wallex_core::projector::{HeldEvent, Message};

/// Longest reason in a header, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

pub(super) const EVENT_ID: &str = "event-id";
pub(super) const EVENT_TYPE: &str = "event-type";
pub(super) const EVENT_VERSION: &str = "event-version";
const COMMAND_ID: &str = "command-id";
const CORRELATION_ID: &str = "correlation-id";
const TRACE_PARENT: &str = "traceparent";

/// The body of an event's message.
pub(super) fn body(event: &Event) -> Vec<u8> {
    let mut body = Vec::new();
    codec::encode_data(event, &mut body);
    body
}

/// The headers of an event's message.
pub(super) fn headers(event: &Event) -> OwnedHeaders {
    let id = event.event_id.to_string();
    let kind = event.event_type().name();
    let mut time = Vec::new();
    event.occurred_at.write_text(&mut time);
    let headers = OwnedHeaders::new_with_capacity(16)
        .insert(text(EVENT_ID, &id))
        .insert(text(EVENT_TYPE, kind))
        .insert(text(EVENT_VERSION, &event.version.to_string()))
        .insert(text(COMMAND_ID, &event.command_id.to_string()))
        .insert(text(CORRELATION_ID, event.correlation_id.as_str()))
        .insert(text("content-type", "application/json"))
        .insert(text("ce_specversion", "1.0"))
        .insert(text("ce_id", &id))
        .insert(text("ce_source", "/wallex"))
        .insert(text("ce_type", kind))
        .insert(text("ce_subject", event.wallet_id.as_str()))
        .insert(Header { key: "ce_time", value: Some(time.as_slice()) });
    match &event.trace_parent {
        Some(trace) => {
            headers.insert(text(TRACE_PARENT, trace.as_str())).insert(text("ce_traceparent", trace.as_str()))
        }
        None => headers,
    }
}

/// The headers of a dead letter: those of the event, where it could be read, and why and where it was given up.
pub(super) fn dead_headers(dead: &HeldEvent, source_topic: &str) -> OwnedHeaders {
    let headers = match &dead.event {
        Some(event) => headers(event),
        None => OwnedHeaders::new()
            .insert(text(EVENT_ID, &dead.event_id.to_string()))
            .insert(text(EVENT_VERSION, &dead.version.to_string())),
    };
    let headers = headers
        .insert(text("dead-consumer", dead.consumer.name()))
        .insert(text("source-topic", source_topic))
        .insert(text("source-partition", &dead.partition.to_string()))
        // As the service counts: one more than Kafka's offset, or the position in the outbox.
        .insert(text("source-offset", &dead.offset.to_string()));
    match &dead.dead {
        Some(letter) => headers
            .insert(text("dead-reason", letter.reason.get(..REASON_BYTES_MAX).unwrap_or(&letter.reason)))
            .insert(text("dead-attempts", &letter.attempts.to_string())),
        None => headers,
    }
}

fn text<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header { key, value: Some(value) }
}

/// What a consumer hands to the core for a message of the topic.
pub(super) fn message_from<M: rdkafka::Message>(message: &M) -> Message {
    let partition = u16::try_from(message.partition()).unwrap_or(u16::MAX);
    let offset = u64::try_from(message.offset()).unwrap_or(0) + 1;
    let found = Found::in_message(message);
    let (Some(wallet_id), Some(event_id), Some(version)) = (wallet_of(message.key()), found.event_id, found.version)
    else {
        return stranger(partition, offset);
    };
    let event = found.decode(event_id, message.payload().unwrap_or_default()).and_then(|event| {
        let agrees = event.wallet_id == wallet_id && event.version == version;
        if agrees { Ok(event) } else { Err("the body is of another event than key and headers say".to_owned()) }
    });
    Message { partition, offset, wallet_id, event_id, version, event: event.map_err(rejected) }
}

fn rejected(reason: String) -> Failure {
    Failure { kind: FailureKind::Rejected, reason }
}

fn wallet_of(key: Option<&[u8]>) -> Option<WalletId> {
    WalletId::parse(str::from_utf8(key?).ok()?).ok()
}

fn stranger(partition: u16, offset: u64) -> Message {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&partition.to_be_bytes());
    id[8..].copy_from_slice(&offset.to_be_bytes());
    Message {
        partition,
        offset,
        wallet_id: WalletId::parse(&format!("unreadable:{partition}:{offset}")).expect("of the alphabet, and short"),
        event_id: EventId::from_bytes(id),
        version: Version(1),
        event: Err(rejected("no message of this service: key, event-id or event-version is missing".to_owned())),
    }
}

/// What the headers say.
#[derive(Default)]
struct Found {
    event_id: Option<EventId>,
    kind: Option<String>,
    version: Option<Version>,
    command_id: Option<CommandId>,
    correlation_id: Option<CorrelationId>,
    trace_parent: Option<TraceParent>,
}

impl Found {
    fn in_message<M: rdkafka::Message>(message: &M) -> Self {
        let mut found = Self::default();
        let Some(headers) = message.headers() else { return found };
        // Not the iterator of the crate, which panics when a header's name is no UTF-8: `try_get` stops there too.
        for index in 0..headers.count() {
            let Some(Header { key, value: Some(value) }) = headers.try_get(index) else { continue };
            let Ok(value) = str::from_utf8(value) else { continue };
            match key {
                EVENT_ID => found.event_id = EventId::parse(value).ok(),
                EVENT_TYPE => found.kind = Some(value.to_owned()),
                EVENT_VERSION => found.version = value.parse().ok().filter(|version| *version > 0).map(Version),
                COMMAND_ID => found.command_id = CommandId::parse(value).ok(),
                CORRELATION_ID => found.correlation_id = CorrelationId::parse(value).ok(),
                TRACE_PARENT => found.trace_parent = TraceParent::parse(value),
                _ => {}
            }
        }
        found
    }

    /// The ids were parsed, so they need no escapes.
    fn decode(&self, event_id: EventId, data: &[u8]) -> Result<Event, String> {
        let missing = |header: &str| format!("the header {header} is missing or is none");
        let kind = self.kind.as_deref().ok_or_else(|| missing(EVENT_TYPE))?;
        let command = self.command_id.ok_or_else(|| missing(COMMAND_ID))?;
        let correlation = self.correlation_id.as_ref().ok_or_else(|| missing(CORRELATION_ID))?;
        let trace = self.trace_parent.as_ref().map(|trace| format!(r#","traceparent":"{}""#, trace.as_str()));
        let trace = trace.unwrap_or_default();
        let metadata = format!(r#"{{"commandId":"{command}","correlationId":"{correlation}"{trace}}}"#);
        codec::decode(event_id, kind, data, metadata.as_bytes()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
