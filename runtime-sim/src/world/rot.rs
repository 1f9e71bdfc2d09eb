//! A byte of the journal that was written long ago changes by itself (INV-14).
//!
//! It lies in a segment that is full, so that no torn end can explain it: whoever opens and verifies the journal must
//! report damage, whatever bit it is. The process stays away until an operator has restored the byte from a copy.

use wallex_journal::Storage;

use super::state::World;
use crate::fakes::Disk;

/// Bytes before the first frame of a segment.
const SEGMENT_HEADER_BYTES: usize = 64;
/// Every frame begins with it.
const FRAME_MARKER: u8 = 0xff;
/// How long the process stays away before it first tries to start, in microseconds.
const DOWN_US: u64 = 20_000;

/// What has rotted, and how.
#[derive(Debug)]
pub(super) struct Rotten {
    segment: String,
    offset: u64,
    bits: u8,
}

impl World {
    /// The process dies, and a bit turns over. Nothing happens while the journal has no full segment.
    pub(super) fn rot(&mut self, at_ppm: u32, bit: u8) {
        if self.rotten.is_some() {
            return;
        }
        let sealed = sealed(&self.slots[0].disk);
        let all: u64 = sealed.iter().map(|(_, bytes)| bytes).sum();
        let mut at = (u128::from(all) * u128::from(at_ppm) / 1_000_000) as u64;
        for (segment, bytes) in sealed {
            if at < bytes {
                let (offset, bits) = (at + SEGMENT_HEADER_BYTES as u64, 1 << (bit % 8));
                self.die(0, DOWN_US);
                self.slots[0].disk.rot(&segment, offset, bits);
                self.rotten = Some(Rotten { segment, offset, bits });
                return;
            }
            at -= bytes;
        }
    }

    /// An operator restores what has rotted.
    pub(super) fn restore(&mut self) {
        if let Some(Rotten { segment, offset, bits }) = self.rotten.take() {
            self.slots[0].disk.rot(&segment, offset, bits);
        }
    }
}

/// The segments before the last one that has frames, and how many bytes of frames each has.
fn sealed(disk: &Disk) -> Vec<(String, u64)> {
    let mut segments: Vec<String> = disk.list().unwrap_or_default();
    segments.retain(|name| name.ends_with(".seg"));
    segments.sort_unstable();
    let bytes = |name: String| disk.content(&name).map(|content| (name, frame_bytes(&content)));
    let mut segments: Vec<(String, u64)> = segments.into_iter().filter_map(bytes).collect();
    segments.retain(|(_, bytes)| *bytes > 0);
    segments.pop();
    segments
}

fn frame_bytes(content: &[u8]) -> u64 {
    let mut at = SEGMENT_HEADER_BYTES;
    while content.get(at) == Some(&FRAME_MARKER)
        && let Some(length) =
            content.get(at + 4..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_le_bytes(*bytes))
        && length > 0
    {
        at = at.saturating_add(length as usize);
    }
    at.min(content.len()).saturating_sub(SEGMENT_HEADER_BYTES) as u64
}
