//! The proof behind `wallex verify`: reads the log and the tables, and says of INV-01, 02, 03, 06 and 08 whether they
//! hold.

pub mod fold;
pub mod report;
