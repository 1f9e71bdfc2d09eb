//! What the benches share: a node without IO, and requests to feed it.
//!
//! Every effect is answered at once and in memory, so that what is timed is the machine alone.

pub mod machine;
