//! The flight recorder: what a node was fed, in a bounded ring of files, so that any minute of production can be stepped
//! through again in front of a debugger.
//!
//! The core is deterministic, so its inputs are all that is needed: a node that is fed the same inputs at the same times
//! asks for the same effects (INV-13), and a hash over the effects proves that it did. Format, cost and limits are in
//! docs/FLIGHT-RECORDER.md. Every file but the first begins with the node's state, so that the replay need not begin where
//! the node did.
//!
//! | module | owns |
//! |---|---|
//! | [`node`] | a node that is recorded while it runs |
//! | [`tape`] | the encoding side, on the node's thread: a reused buffer, a bounded channel |
//! | [`writer`] | the writing side, on a thread of its own: files, rotation, the ring's bound |
//! | [`frame`] | the bytes: length, CRC, kind, contents |
//! | [`reader`] | a run, read back, and where it breaks off |
//! | [`digest`] | the hash over effects |

pub mod digest;
pub mod frame;
pub mod node;
pub mod reader;
pub mod tape;
#[cfg(test)]
mod tests;
pub mod writer;

pub use digest::Digest;
pub use frame::{Begin, Frame, State};
pub use node::RecordedNode;
pub use reader::{End, Entry, Run};
pub use tape::Tape;
pub use writer::{Limits, Recorder};
