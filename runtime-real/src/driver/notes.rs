//! What the loops write to the log about events, with the correlation ids of the requests that caused them.

use wallex_core::effect::{Append, Effect};
use wallex_core::event::Event;

/// Correlation ids that one line names.
const NAMED_MAX: usize = 16;

/// An append was not done.
pub(super) fn append_failed(append: &Append, reason: &str) {
    let correlation_ids = correlation_ids(append.writes.iter().flat_map(|write| &write.events));
    tracing::warn!(reason, correlation_ids, "an append failed; its commands were not done");
}

/// Events that are about to become dead letters.
pub(super) fn dead_letters(effect: &Effect) {
    let Effect::PublishDead(_, held) = effect else { return };
    for one in held.iter() {
        let Some(dead) = &one.dead else { continue };
        tracing::warn!(
            consumer = one.consumer.name(),
            wallet = one.wallet_id.as_str(),
            version = one.version.0,
            event_id = %one.event_id,
            correlation_id = one.event.as_ref().map(|event| event.correlation_id.as_str()),
            attempts = dead.attempts,
            reason = dead.reason,
            "an event is given up as a dead letter; its wallet is held back",
        );
    }
}

/// The distinct ones, in order, as one text; a batch has one for all of its events.
fn correlation_ids<'e>(events: impl Iterator<Item = &'e Event>) -> String {
    let mut named: Vec<&str> = Vec::new();
    for event in events {
        let id = event.correlation_id.as_str();
        if named.contains(&id) {
            continue;
        }
        if named.len() == NAMED_MAX {
            named.push("and more");
            break;
        }
        named.push(id);
    }
    named.join(", ")
}
