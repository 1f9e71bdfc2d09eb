//! The newest events of the log in memory, so that a reader that has caught up costs no request.
//!
//! The ring knows every event after its start, as far as the subscription has come. It answers only while the
//! subscription stands and has passed everything that this process has appended: whoever appends and then reads the log
//! finds the event, from here or from the server.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use wallex_core::event::Recorded;
use wallex_core::id::Position;

#[derive(Debug)]
pub(super) struct Ring {
    capacity: usize,
    /// Highest commit position of an append of this process.
    appended: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Everything after this is here.
    start: Position,
    events: VecDeque<Recorded>,
    /// Highest commit position that the subscription has passed.
    passed: u64,
    live: bool,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), appended: AtomicU64::new(0), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An append of this process is in the log, up to this commit position.
    pub(super) fn note_append(&self, commit: u64) {
        self.appended.fetch_max(commit, Ordering::AcqRel);
    }

    /// Begins anew: the subscription will give everything after `start`.
    pub(super) fn begin(&self, start: Position, passed: u64) {
        *self.state() = State { start, passed, ..State::default() };
    }

    /// Whether the subscription stands.
    pub(super) fn set_live(&self, live: bool) {
        self.state().live = live;
    }

    pub(super) fn is_live(&self) -> bool {
        self.state().live
    }

    /// The last position that the ring knows.
    pub(super) fn end(&self) -> Position {
        let state = self.state();
        state.events.back().map_or(state.start, |last| last.position)
    }

    /// Everything up to this commit position was given.
    pub(super) fn pass(&self, commit: u64) {
        let mut state = self.state();
        state.passed = state.passed.max(commit);
    }

    /// Takes the next event; one that is known already is skipped. Returns whether it was new.
    pub(super) fn push(&self, event: Recorded, commit: u64) -> bool {
        let end = self.end();
        let mut state = self.state();
        state.passed = state.passed.max(commit);
        if event.position <= end {
            return false;
        }
        if state.events.len() == self.capacity
            && let Some(oldest) = state.events.pop_front()
        {
            state.start = oldest.position;
        }
        state.events.push_back(event);
        true
    }

    /// Where the ring begins, and how many events after a position it has: those before its beginning are not among them.
    /// Nothing when only the server can tell.
    pub(super) fn count_after(&self, after: Position) -> Option<(Position, u64)> {
        let state = self.state();
        let from = state.events.partition_point(|event| event.position <= after);
        self.knows(&state).then(|| (state.start, (state.events.len() - from) as u64))
    }

    /// Whether the ring has come to the end of the log, as far as this process can know.
    fn knows(&self, state: &State) -> bool {
        state.live && state.passed >= self.appended.load(Ordering::Acquire)
    }

    /// Events after a position, at most `limit`; nothing when only the server can tell.
    pub(super) fn after(&self, after: Position, limit: usize) -> Option<Vec<Recorded>> {
        let state = self.state();
        if after < state.start || !self.knows(&state) {
            return None;
        }
        let from = state.events.partition_point(|event| event.position <= after);
        Some(state.events.range(from..).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wallex_contracts::events::Log;

    /// Events whose positions count bytes, as the server's do.
    fn events(count: u64) -> Vec<Recorded> {
        let mut log = Log::new("ring");
        (1..=count).map(|number| Recorded { position: Position(number * 700), ..log.event("a") }).collect()
    }

    #[test]
    fn what_comes_after_a_position_is_counted_in_events_as_far_as_the_ring_goes_back() {
        let ring = Ring::new(3);
        ring.begin(Position(0), 0);
        assert_eq!(ring.count_after(Position(0)), None, "nobody has said yet that nothing is missing");
        ring.set_live(true);
        assert_eq!(ring.count_after(Position(0)), Some((Position(0), 0)));
        for event in events(5) {
            let commit = event.position.0;
            assert!(ring.push(event, commit));
        }
        let start = Position(2 * 700);
        assert_eq!(ring.count_after(Position(3 * 700)), Some((start, 2)));
        assert_eq!(ring.count_after(Position(5 * 700)), Some((start, 0)));
        assert_eq!(ring.count_after(Position(0)), Some((start, 3)), "the ring holds no more, and says where it begins");
        ring.note_append(6 * 700);
        assert_eq!(ring.count_after(Position(0)), None, "an append of this process has not come back yet");
        ring.pass(6 * 700);
        ring.set_live(false);
        assert_eq!(ring.count_after(Position(0)), None, "the subscription is broken");
    }
}
