//! Effects under way, each a task on the driver's own thread.

use std::rc::Rc;

use tokio::task::{JoinError, JoinSet};
use wallex_core::effect::{Effect, Input};

use super::notes;
use crate::telemetry::{EffectSpans, Telemetry};

/// What effects are performed against.
pub trait Perform: Send + 'static {
    /// Performs an effect and gives its completion; nothing when the effect needs none.
    fn perform(&self, effect: Effect) -> impl Future<Output = Option<Input>>;
}

/// The tasks. They run when the thread waits, inside a `LocalSet`.
pub(super) struct Tasks<P> {
    ports: Rc<P>,
    spans: Rc<EffectSpans>,
    running: JoinSet<Option<Input>>,
}

impl<P: Perform> Tasks<P> {
    pub(super) fn new(ports: P, telemetry: Telemetry) -> Self {
        Self { ports: Rc::new(ports), spans: Rc::new(EffectSpans::new(telemetry)), running: JoinSet::new() }
    }

    pub(super) fn start(&mut self, effect: Effect) {
        notes::dead_letters(&effect);
        let (ports, spans) = (Rc::clone(&self.ports), Rc::clone(&self.spans));
        let begun = spans.begin(&effect);
        self.running.spawn_local(async move {
            let completion = ports.perform(effect).await;
            spans.end(begun, completion.as_ref());
            completion
        });
    }

    /// Waits for one that ends, for ever when none is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Ended {
        match self.running.join_next().await {
            Some(ended) => Ended::of(ended),
            None => std::future::pending().await,
        }
    }

    /// One that has ended already.
    pub(super) fn try_next(&mut self) -> Option<Ended> {
        self.running.try_join_next().map(Ended::of)
    }

    /// Lets all of them finish. Nobody hears of their completions.
    pub(super) async fn finish(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

/// What came of an effect: its completion, if it has one.
pub(super) struct Ended(pub(super) Option<Input>);

impl Ended {
    fn of(ended: Result<Option<Input>, JoinError>) -> Self {
        let completion = ended.unwrap_or_else(|error| {
            tracing::error!(%error, "an effect has panicked; its outcome is unknown");
            None
        });
        Self(completion)
    }
}
