//! Topic → read model and ledger: a consumer with a version guard (INV-06, INV-07, INV-08, INV-11).
//!
//! | file | owns |
//! |---|---|
//! | `message` | what is read and written |
//! | `machine` | fetch, guard, write, and what to do about failures |
//! | `batch` | the guard and the rows |

mod batch;
mod machine;
mod message;

pub(crate) use machine::Projector;
pub use machine::ProjectorStatistics;
pub use message::{
    Consumer, DeadLetter, EntryKind, HeldEvent, LedgerEntry, Message, PartitionProgress, Projection, WalletChange,
    message_of, partition_of,
};
