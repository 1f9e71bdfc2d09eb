//! The newest events, in memory: whoever follows the log reads them without a file.
//!
//! They are kept from the moment somebody has read the log to its end, because that reader will come back; before it,
//! nobody pays for them. The writer adds events after their sync, so what is here is durable (INV-04), and is what
//! was written. The memory is bounded: older events are read from the files, where their checks are (INV-14).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use wallex_core::event::Recorded;

use crate::shared::locked;

/// Events that are kept, the newest frame excepted, which is kept whole.
const EVENTS_KEPT_MAX: usize = 32_768;

/// The newest events, frame by frame, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    wanted: AtomicBool,
    frames: Mutex<Frames>,
}

#[derive(Debug, Default)]
struct Frames {
    /// None of them empty.
    frames: VecDeque<Arc<Vec<Recorded>>>,
    events: usize,
}

impl Recent {
    /// Whether events are to be added.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Somebody follows the log.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Adds the events of a frame, in order of position.
    pub(crate) fn add(&self, frame: Vec<Recorded>) {
        let Some(first) = frame.first() else { return };
        let mut kept = locked(&self.frames);
        if kept.last_position().is_some_and(|last| last + 1 != first.position.0) {
            *kept = Frames::default();
        }
        kept.events += frame.len();
        kept.frames.push_back(Arc::new(frame));
        while kept.events > EVENTS_KEPT_MAX && kept.frames.len() > 1 {
            let oldest = kept.frames.pop_front();
            kept.events -= oldest.map_or(0, |oldest| oldest.len());
        }
    }

    /// At most `limit` events from a position on; nothing when the event at that position is not here.
    pub(crate) fn read(&self, first: u64, limit: usize) -> Option<Vec<Recorded>> {
        // The lock is the writer's too: only handles are copied under it.
        let frames = locked(&self.frames).from(first, limit)?;
        let new = frames.iter().flat_map(|frame| frame.iter()).filter(|recorded| recorded.position.0 >= first);
        let events: Vec<Recorded> = new.take(limit).cloned().collect();
        (!events.is_empty()).then_some(events)
    }
}

impl Frames {
    fn last_position(&self) -> Option<u64> {
        self.frames.back().and_then(|frame| frame.last()).map(|last| last.position.0)
    }

    fn from(&self, first: u64, limit: usize) -> Option<Vec<Arc<Vec<Recorded>>>> {
        let oldest = self.frames.front()?.first()?.position.0;
        if first < oldest {
            return None;
        }
        let start = self.frames.partition_point(|frame| frame.last().is_some_and(|last| last.position.0 < first));
        let mut left = limit;
        let mut taken = Vec::new();
        for frame in self.frames.range(start..) {
            let before = frame.partition_point(|recorded| recorded.position.0 < first);
            taken.push(Arc::clone(frame));
            left = left.saturating_sub(frame.len() - before);
            if left == 0 {
                break;
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::currency::Currency;
    use wallex_core::event::{Event, Fact};
    use wallex_core::id::{CommandId, CorrelationId, OwnerId, Position, Version, WalletId};
    use wallex_core::money::Money;
    use wallex_core::time::Timestamp;

    use super::*;

    fn frame(positions: std::ops::Range<u64>) -> Vec<Recorded> {
        let usd = Currency::parse("USD").unwrap();
        let command_id = CommandId::new(Timestamp::from_micros(1), 1);
        let event = Event {
            event_id: command_id.event_id(0),
            wallet_id: WalletId::parse("alice").unwrap(),
            version: Version(1),
            occurred_at: Timestamp::from_micros(1),
            currency: usd,
            amount: Money::zero(usd),
            balance: Money::zero(usd),
            description: None,
            fact: Fact::Created { owner_id: OwnerId::parse("owner").unwrap() },
            command_id,
            correlation_id: CorrelationId::parse("request").unwrap(),
            trace_parent: None,
        };
        positions.map(|position| Recorded { position: Position(position), event: event.clone() }).collect()
    }

    fn positions(recent: &Recent, first: u64, limit: usize) -> Option<Vec<u64>> {
        recent.read(first, limit).map(|events| events.iter().map(|event| event.position.0).collect())
    }

    #[test]
    fn a_range_is_served_across_frames_and_only_when_its_first_event_is_there() {
        let recent = Recent::default();
        assert_eq!(positions(&recent, 1, 9), None);
        for positions in [10..12, 12..13, 13..17] {
            recent.add(frame(positions));
        }
        assert_eq!(positions(&recent, 10, 99), Some((10..17).collect()));
        assert_eq!(positions(&recent, 11, 3), Some((11..14).collect()));
        assert_eq!(positions(&recent, 16, 3), Some(vec![16]));
        assert_eq!(positions(&recent, 9, 3), None, "older events are in the files");
        assert_eq!(positions(&recent, 17, 3), None, "and newer ones nowhere yet");
    }

    #[test]
    fn a_gap_forgets_what_was_before_it() {
        let recent = Recent::default();
        recent.add(frame(1..5));
        recent.add(Vec::new());
        recent.add(frame(7..9));
        assert_eq!(positions(&recent, 4, 9), None);
        assert_eq!(positions(&recent, 7, 9), Some(vec![7, 8]));
    }

    #[test]
    fn the_oldest_frames_leave_and_the_newest_stays_however_large() {
        let recent = Recent::default();
        let kept = EVENTS_KEPT_MAX as u64;
        recent.add(frame(1..11));
        recent.add(frame(11..kept + 1));
        assert_eq!(positions(&recent, 1, 1), Some(vec![1]), "as many as are kept");
        recent.add(frame(kept + 1..kept + 2));
        assert_eq!(positions(&recent, 10, 1), None);
        assert_eq!(positions(&recent, 11, 1), Some(vec![11]));
        recent.add(frame(kept + 2..3 * kept));
        assert_eq!(positions(&recent, kept + 1, 1), None);
        assert_eq!(positions(&recent, kept + 2, 1), Some(vec![kept + 2]));
    }
}
