//! The loops that feed the core and perform its effects.
//!
//! [`Engine`] is how the rest of the service reaches the command path.

mod engine;

pub use engine::Engine;
