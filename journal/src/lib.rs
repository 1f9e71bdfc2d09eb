//! The embedded event store: a durable, append-only journal of segment files with group commit.
//!
//! What it promises:
//!
//! * INV-04: an append that was answered `Done` is there for ever. The answer comes after the sync.
//! * INV-14: after any crash exactly the acknowledged appends are there, and of the unacknowledged ones each is there as
//!   a whole or not at all. Damage is reported with file and offset, and never served.
//! * INV-05: an append that is repeated with the same event ids takes effect once.
//!
//! The single writer ([`Journal`]) is owned by one thread. [`Reader`] and [`Maintenance`] are handles that any number of
//! threads may hold. There is no thread, no clock and no randomness in here, and all IO goes through [`Storage`].
//!
//! | module | owns |
//! |---|---|
//! | `frame`, `block`, `wire`, `segment` | the bytes |
//! | `storage`, [`os`], [`testing`] | the file abstraction, the real disk, the faulty disk |
//! | `writer`, `stage`, `tail`, `heads`, `keys`, `answer` | appending |
//! | `recovery`, `torn`, `walk`, `window` | reading it all back, and judging its end |
//! | `reader`, `recent`, `history`, `index`, `index_file`, `shared` | reading while writing |
//! | `snapshot`, `compact`, `maintenance` | the background |
//! | [`raw`] | a log of the same make for opaque streams |

mod answer;
mod block;
mod compact;
mod error;
mod frame;
mod heads;
mod history;
mod index;
mod index_file;
mod keys;
mod maintenance;
pub mod os;
pub mod raw;
mod reader;
mod recent;
mod recovery;
mod segment;
mod shared;
mod snapshot;
mod stage;
pub mod storage;
mod tail;
pub mod testing;
mod torn;
mod walk;
mod window;
mod wire;
mod writer;

pub use error::{Damage, JournalError};
pub use maintenance::Maintenance;
pub use os::OsStorage;
pub use reader::{Reader, Verified};
pub use recovery::{Options, Recovery, Torn};
pub use storage::{LockHolder, Storage};
pub use writer::{AppendOutcome, Journal};
