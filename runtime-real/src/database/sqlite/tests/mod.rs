//! The database on real files.

mod effects;
mod lists;
mod progress;
mod supported;
pub(crate) mod world;
