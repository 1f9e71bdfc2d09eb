//! The database on real files.

mod contract;
mod effects;
mod lists;
mod progress;
mod supported;
pub(crate) mod world;
