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

#[cfg(test)]
mod tests {
    use super::*;
    use wallex_contracts::events::Log;
    use wallex_core::id::CorrelationId;

    #[test]
    fn correlation_ids_are_named_once_and_not_without_end() {
        let mut log = Log::new("notes");
        let mut events: Vec<Event> = (0..2 * NAMED_MAX + 2).map(|_| log.event("alice").event).collect();
        for (at, event) in events.iter_mut().enumerate() {
            event.correlation_id = CorrelationId::parse(&format!("r{}", at / 2)).unwrap();
        }
        assert_eq!(correlation_ids(events[..5].iter()), "r0, r1, r2");
        let all = correlation_ids(events.iter());
        assert!(all.starts_with("r0, r1,") && all.ends_with("r15, and more"), "{all}");
    }
}
