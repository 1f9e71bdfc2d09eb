//! How many events of the log lie after a position: what is in memory is counted there, what is older is counted on the
//! server and remembered.
//!
//! The server does not count. So the events between a reader's checkpoint and the ring are read once, a part of them at
//! each question: a reader that is far behind must not make the server read its whole log for every scrape. What was
//! counted is kept as positions, so a checkpoint that moves on costs no further read. Until the count has come to its
//! end, and beyond [`KEPT_MAX`], the answer is a lower bound; it is never 0 while there is an event.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use wallex_core::id::Position;

use super::log;
use super::ring::Ring;
use crate::client::{CallError, Client};

/// Most positions that are kept, 8 bytes each: of what lies between a checkpoint and the ring, no more are counted.
const KEPT_MAX: usize = 1_000_000;
/// Events that are asked for at once.
const PAGE_EVENTS: usize = 8_192;
/// No further page is asked for after so long; the next question goes on.
const COUNTING_TIME_MAX: Duration = Duration::from_millis(500);

/// The events after a reader's checkpoint that were counted on the server.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Everything after this was counted, as far as the count has come.
    after: Position,
    positions: VecDeque<Position>,
}

impl Counted {
    /// How far the count has come.
    fn end(&self) -> Position {
        self.positions.back().copied().unwrap_or(self.after)
    }

    /// Forgets what is not after the checkpoint. One that went back, or passed all that was counted, begins anew.
    fn advance(&mut self, checkpoint: Position) {
        if checkpoint < self.after || checkpoint >= self.end() {
            self.positions.clear();
        } else {
            self.positions.drain(..self.positions.partition_point(|position| *position <= checkpoint));
        }
        self.after = checkpoint;
    }

    /// How many of them are not after `last`.
    fn up_to(&self, last: Position) -> u64 {
        self.positions.partition_point(|position| *position <= last) as u64
    }
}

impl Backlog {
    /// Counts the events after `checkpoint`; see the module about what the answer may leave out.
    pub(super) async fn count(&self, client: &Client, ring: &Ring, checkpoint: Position) -> Result<u64, CallError> {
        let begun = Instant::now();
        let (ring_start, in_ring) = match ring.count_after(checkpoint) {
            Some((start, count)) if checkpoint >= start => return Ok(count),
            Some((start, count)) => (start, count),
            // The subscription does not stand: only the server knows where the log ends.
            None => (Position(u64::MAX), 0),
        };
        let mut counted = self.counted.lock().await;
        counted.advance(checkpoint);
        while counted.end() < ring_start && counted.positions.len() < KEPT_MAX {
            let page = log::positions(client, counted.end(), PAGE_EVENTS).await?;
            let is_last = page.len() < PAGE_EVENTS;
            counted.positions.extend(page);
            if is_last || begun.elapsed() > COUNTING_TIME_MAX {
                break;
            }
        }
        Ok(counted.up_to(ring_start) + in_ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_kept_as_long_as_the_checkpoint_moves_within_it() {
        let positions = |numbers: &[u64]| numbers.iter().copied().map(Position).collect::<VecDeque<_>>();
        let mut counted = Counted { after: Position(0), positions: positions(&[700, 1_400, 2_100]) };
        counted.advance(Position(700));
        assert_eq!((counted.after, &counted.positions), (Position(700), &positions(&[1_400, 2_100])));
        assert_eq!((counted.up_to(Position(2_000)), counted.up_to(Position(u64::MAX))), (1, 2));
        // A checkpoint need not be an event's place.
        counted.advance(Position(1_500));
        assert_eq!(counted.positions, positions(&[2_100]));
        for anew in [Position(1), Position(9_000)] {
            counted.positions = positions(&[9_100]);
            counted.advance(anew);
            counted.advance(anew);
            assert_eq!((counted.end() >= anew, counted.after), (true, anew));
        }
        assert_eq!(counted.positions, positions(&[9_100]));
    }
}
