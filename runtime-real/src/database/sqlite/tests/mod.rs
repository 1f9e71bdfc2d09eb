//! The database on real files.

mod contract;
mod effects;
mod lists;
mod progress;
mod rows;
mod supported;
pub(crate) mod world;
