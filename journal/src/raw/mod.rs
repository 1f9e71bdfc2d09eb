//! A durable log of opaque streams: events of any type, data and metadata in streams of any name.
//!
//! It has the frames, the group commit, the recovery and the judgement of damage of the wallets' journal, and none of
//! its knowledge of wallets: an append is atomic over all its streams and answered after its sync (INV-04), a crash
//! leaves whole appends only (INV-14), and a repeated append with the same event ids at the same place takes effect once.
//! What is asked for, and how appends are decided, follows KurrentDB, which this is the storage of a server for.
//!
//! The index is in memory and is built by reading the whole log at the start: some 8 bytes per event and 24 per append,
//! fit for some millions of events, not for billions. There are no snapshots and nothing is ever removed from the disk.
//!
//! | module | owns |
//! |---|---|
//! | `event` | what is appended, what is read, and the answers |
//! | `index` | streams, appends and where they are |
//! | `decide`, `staged`, `recent` | expected revisions and repeats |
//! | `log`, `open` | the single writer; recovery |
//! | `reader` | reading, from any thread |

mod decide;
mod event;
mod index;
mod log;
mod open;
mod reader;
mod recent;
mod staged;

pub use event::{
    APPEND_BYTES_MAX, Append, Appended, Expectation, Expected, LAST_REVISION, METADATA_STREAM, METADATA_TYPE, Mismatch,
    NewEvent, Outcome, Refusal, StoredEvent, TOMBSTONE_TYPE, Written,
};
pub use index::StreamState;
pub use log::Log;
pub use open::Recovered;
pub use reader::{Direction, Limits, Reader, StreamPage};
