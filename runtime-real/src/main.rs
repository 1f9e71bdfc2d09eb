//! `wallex`: see `wallex --help`.
fn main() {}
