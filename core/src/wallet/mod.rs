//! The aggregate: one wallet, the operations on it, and the refusals of the domain.
//!
//! Pure functions only. Each operation stands in its own file with its own `decide`; [`Wallet::apply`] folds events.
//! Keeps INV-01 (both legs of a transfer carry the same money), INV-02 (no balance below zero) and INV-03
//! (versions 1, 2, 3, …).

mod create;
mod credit;
mod debit;
mod operation;
mod rejection;
mod state;
#[cfg(test)]
mod tests;
mod transfer;

pub use create::Create;
pub use credit::Credit;
pub use debit::Debit;
pub use operation::{Cause, IfMatch, Operation, Wallets};
pub use rejection::{Refused, Rejection};
pub use state::{Inconsistency, Wallet};
pub use transfer::Transfer;

/// Most events that a single operation causes: the two legs of a transfer.
pub const EVENTS_PER_OPERATION_MAX: usize = 2;

/// The events of one accepted operation, in order.
pub type Events = smallvec::SmallVec<[crate::event::Event; EVENTS_PER_OPERATION_MAX]>;
