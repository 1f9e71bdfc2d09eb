//! The command machine.
mod request;
pub use request::{Answer, FinalAnswer, Fingerprint, Idempotency, KeyHash, Request, Success, Unavailable, Work};
