//! The bytes of a recording: each frame is its length, a CRC-32C, a kind and its contents.
//!
//! Numbers are little-endian; inputs and settings are JSON, because it outlives changes of the code and needs no tool to be
//! read. A file begins with [`MAGIC`] and a [`Begin`]; every file but the first goes on with a [`State`]. Everything else
//! follows in the order in which it happened.

use serde::{Deserialize, Serialize};
use wallex_core::config::Config;
use wallex_core::effect::Input;
use wallex_core::node::Node;
use wallex_core::time::Timestamp;

/// The first bytes of every file.
pub const MAGIC: &[u8; 8] = b"WLXFLT1\n";
/// Bytes before a frame's contents: length, CRC and kind.
pub const HEADER: usize = 9;
/// Contents larger than this are damage, not data.
pub const CONTENTS_MAX: usize = 1 << 30;

/// What a file begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Version of the format.
    pub format: u32,
    /// Version of the software, because another one may decide otherwise.
    pub software: String,
    /// Number of the file within the run, from 1.
    pub file: u64,
    /// Which node of the process: `commands` or `pipeline`, or `instance` when one does both.
    pub node: String,
    /// The node's settings.
    pub config: Config,
    /// When the node began.
    pub began: Timestamp,
}

/// All that a node is, between two inputs: a replay can begin here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Inputs and timeouts before it.
    pub inputs: u64,
    /// Effects before it.
    pub effects: u64,
    /// The hash over those effects.
    pub digest: [u64; 2],
    /// The node as JSON.
    pub node: Vec<u8>,
}

impl State {
    /// The node, which goes on as the recorded one did.
    ///
    /// # Errors
    /// When another version of the software wrote it, whose node had another form.
    pub fn node(&self) -> Result<Node, FrameError> {
        parse(&self.node)
    }
}

/// A [`State`] that is about to be written.
pub(crate) struct StateOf<'a> {
    pub(crate) inputs: u64,
    pub(crate) effects: u64,
    pub(crate) digest: [u64; 2],
    pub(crate) node: &'a Node,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A file begins.
    Begin(Box<Begin>),
    /// The node was fed an input.
    Input(Timestamp, Input),
    /// The node was told that time has passed.
    Timeout(Timestamp),
    /// The node was asked for effects.
    Polled {
        /// How many it gave.
        effects: u64,
        /// Whether it was asked once more and had none.
        drained: bool,
        /// The hash over all effects since the node began.
        digest: [u64; 2],
    },
    /// The disk was too slow: so many frames are missing here.
    Dropped(u64),
    /// What the node was before the next input.
    State(State),
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end in the middle of a frame: the process died while it wrote.
    #[error("the frame is cut off")]
    CutOff,
    /// The CRC is wrong.
    #[error("the checksum is wrong")]
    Checksum,
    /// A kind or contents that this version does not know.
    #[error("the frame is not understood: {0}")]
    Unknown(String),
}

/// Kinds, as bytes.
const BEGIN: u8 = 0;
const INPUT: u8 = 1;
const TIMEOUT: u8 = 2;
const POLLED: u8 = 3;
const DROPPED: u8 = 4;
pub(crate) const STATE: u8 = 5;

/// Bytes of a state before its node.
const STATE_NUMBERS: usize = 32;

/// Appends frames to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: u64,
    /// Bytes of all frames so far.
    pub(crate) total: u64,
}

impl Encoder {
    pub(crate) fn begin(&mut self, begin: &Begin) {
        self.frame(BEGIN, |bytes| json(bytes, begin));
    }

    pub(crate) fn input(&mut self, now: Timestamp, input: &Input) {
        self.frame(INPUT, |bytes| {
            bytes.extend_from_slice(&now.as_micros().to_le_bytes());
            json(bytes, input);
        });
    }

    pub(crate) fn timeout(&mut self, now: Timestamp) {
        self.frame(TIMEOUT, |bytes| bytes.extend_from_slice(&now.as_micros().to_le_bytes()));
    }

    pub(crate) fn polled(&mut self, effects: u64, drained: bool, digest: [u64; 2]) {
        self.frame(POLLED, |bytes| {
            bytes.extend_from_slice(&effects.to_le_bytes());
            bytes.push(u8::from(drained));
            bytes.extend(digest.iter().flat_map(|half| half.to_le_bytes()));
        });
    }

    pub(crate) fn dropped(&mut self, frames: u64) {
        self.frame(DROPPED, |bytes| bytes.extend_from_slice(&frames.to_le_bytes()));
    }

    pub(crate) fn state(&mut self, state: &StateOf<'_>) {
        self.frame(STATE, |bytes| {
            let numbers = [state.inputs, state.effects, state.digest[0], state.digest[1]];
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            json(bytes, state.node);
        });
    }

    fn frame(&mut self, kind: u8, contents: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER - 1]);
        self.bytes.push(kind);
        contents(&mut self.bytes);
        let length = (self.bytes.len() - at - HEADER) as u32;
        let checksum = crc32c::crc32c(&self.bytes[at + HEADER - 1..]);
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        self.frames += 1;
        self.total += (self.bytes.len() - at) as u64;
    }
}

fn json(bytes: &mut Vec<u8>, value: &impl Serialize) {
    // Inputs, settings and nodes are plain data. If one refused, its frame would be unreadable, and reading says so.
    let _plain = serde_json::to_writer(bytes, value);
}

/// Reads the frame at the beginning of `bytes`, and how long it is.
///
/// # Errors
/// [`FrameError`] says what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<(Frame, usize), FrameError> {
    let header = bytes.get(..HEADER).ok_or(FrameError::CutOff)?;
    let length = u32_at(header, 0) as usize;
    if length > CONTENTS_MAX {
        return Err(FrameError::Checksum);
    }
    let checked = bytes.get(HEADER - 1..HEADER + length).ok_or(FrameError::CutOff)?;
    if crc32c::crc32c(checked) != u32_at(header, 4) {
        return Err(FrameError::Checksum);
    }
    let (kind, contents) = (checked[0], &checked[1..]);
    let fixed = |wanted: usize| {
        if contents.len() < wanted {
            Err(FrameError::Unknown(format!("{length} bytes of kind {kind}")))
        } else {
            Ok(())
        }
    };
    let frame = match kind {
        BEGIN => Frame::Begin(parse(contents)?),
        INPUT => {
            fixed(8)?;
            Frame::Input(time_at(contents), parse(&contents[8..])?)
        }
        TIMEOUT => {
            fixed(8)?;
            Frame::Timeout(time_at(contents))
        }
        POLLED => {
            fixed(25)?;
            let digest = [u64_at(contents, 9), u64_at(contents, 17)];
            Frame::Polled { effects: u64_at(contents, 0), drained: contents[8] != 0, digest }
        }
        DROPPED => {
            fixed(8)?;
            Frame::Dropped(u64_at(contents, 0))
        }
        STATE => {
            fixed(STATE_NUMBERS)?;
            let digest = [u64_at(contents, 16), u64_at(contents, 24)];
            let node = contents[STATE_NUMBERS..].to_vec();
            Frame::State(State { inputs: u64_at(contents, 0), effects: u64_at(contents, 8), digest, node })
        }
        unknown => return Err(FrameError::Unknown(format!("kind {unknown}"))),
    };
    Ok((frame, HEADER + length))
}

fn parse<T: for<'a> Deserialize<'a>>(json: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(json).map_err(|error| FrameError::Unknown(error.to_string()))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn time_at(bytes: &[u8]) -> Timestamp {
    Timestamp::from_micros(u64_at(bytes, 0) as i64)
}
