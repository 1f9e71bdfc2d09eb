//! Topic → read model and ledger.
mod message;
pub use message::{Consumer, DeadLetter, EntryKind, HeldEvent, LedgerEntry, Message, PartitionProgress, Projection, WalletChange, message_of, partition_of};
