//! The one way to an implementation: hand it an effect, get the completion.

use wallex_core::effect::{Effect, Input};

/// An implementation of a port.
pub trait Port {
    /// Performs an effect and gives its completion; nothing when the effect needs none.
    fn perform(&self, effect: Effect) -> impl Future<Output = Option<Input>>;
}
