//! The spans of what is done for events: the append, publishing, and each projector's transaction.
//!
//! An effect works for the events of many requests at once. It becomes one span in the trace of each of them, with that
//! trace's wallets. Only events whose trace is recorded count.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use wallex_core::effect::{Append, Completion, Effect, Input};
use wallex_core::event::{Event, TraceParent};
use wallex_core::id::{CorrelationId, Version, WalletId};
use wallex_core::projector::Consumer;

use super::pending::Pending;
use super::{Telemetry, parent};

/// Wallets that a span names; the events of more are counted only.
const WALLETS_NAMED_MAX: usize = 32;

/// How an effect ended, as a span shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It happened.
    Done,
    /// It did not: the state that it expected is not there.
    Conflict,
    /// It did not.
    Failed,
    /// It may have happened.
    Unknown,
}

impl<T> From<&Completion<T>> for Outcome {
    fn from(completion: &Completion<T>) -> Self {
        match completion {
            Completion::Done(_) => Self::Done,
            Completion::Conflict => Self::Conflict,
            Completion::Failed(_) => Self::Failed,
            Completion::Unknown => Self::Unknown,
        }
    }
}

/// What a span needs to know of an event.
#[derive(Clone)]
pub(super) struct Mark {
    pub(super) wallet_id: WalletId,
    pub(super) version: Version,
    trace_parent: TraceParent,
    correlation_id: CorrelationId,
}

impl Mark {
    /// Nothing when the event's trace is not recorded.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let trace_parent = event.trace_parent.as_ref().filter(|parent| parent::is_sampled(parent))?;
        Some(Self {
            wallet_id: event.wallet_id.clone(),
            version: event.version,
            trace_parent: trace_parent.clone(),
            correlation_id: event.correlation_id.clone(),
        })
    }
}

/// What is done for events.
#[derive(Clone, Copy)]
enum Step {
    Append,
    Publish,
    Apply(Consumer),
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Publish => "publish",
            Self::Apply(Consumer::ReadModel) => "apply read-model-projector",
            Self::Apply(Consumer::Ledger) => "apply ledger-projector",
            Self::Apply(Consumer::Relay) => "apply kafka-publisher",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Append => SpanKind::Internal,
            Self::Publish => SpanKind::Producer,
            Self::Apply(_) => SpanKind::Consumer,
        }
    }
}

/// The events of one trace in one effect.
struct Traced<'m> {
    first: &'m Mark,
    wallets: Vec<&'m str>,
    events: i64,
}

impl Telemetry {
    /// The spans of an append that was under way for `took` and has ended now.
    pub(crate) fn appended(&self, append: &Append, took: Duration, outcome: Outcome) {
        if self.tracer().is_some() {
            let ended = SystemTime::now();
            let marks: Vec<Mark> = append_marks(append).collect();
            self.spans(Step::Append, &marks, ended.checked_sub(took).unwrap_or(ended), ended, outcome);
        }
    }

    /// One span for each trace among the marks.
    fn spans(&self, step: Step, marks: &[Mark], started: SystemTime, ended: SystemTime, outcome: Outcome) {
        let Some(tracer) = self.tracer() else { return };
        let mut traces: BTreeMap<&str, Traced<'_>> = BTreeMap::new();
        for mark in marks {
            let new = || Traced { first: mark, wallets: Vec::new(), events: 0 };
            let traced = traces.entry(mark.trace_parent.as_str()).or_insert_with(new);
            traced.events += 1;
            let wallet = mark.wallet_id.as_str();
            if traced.wallets.len() < WALLETS_NAMED_MAX && !traced.wallets.contains(&wallet) {
                traced.wallets.push(wallet);
            }
        }
        for traced in traces.into_values() {
            let builder = tracer
                .span_builder(step.name())
                .with_kind(step.kind())
                .with_start_time(started)
                .with_attributes(attributes(step, &traced));
            let mut span = tracer.build_with_context(builder, &parent::context_of(&traced.first.trace_parent));
            match outcome {
                Outcome::Done => {}
                Outcome::Conflict => span.set_status(Status::error("the expected state was not there")),
                Outcome::Failed => span.set_status(Status::error("not done")),
                Outcome::Unknown => span.set_status(Status::error("outcome unknown")),
            }
            span.end_with_timestamp(ended);
        }
    }
}

fn attributes(step: Step, traced: &Traced<'_>) -> Vec<KeyValue> {
    let wallets = traced.wallets.iter().map(|wallet| StringValue::from((*wallet).to_owned())).collect();
    let mut attributes = vec![
        KeyValue::new("wallex.wallets", Value::Array(Array::String(wallets))),
        KeyValue::new("wallex.events", traced.events),
        KeyValue::new("wallex.correlation_id", traced.first.correlation_id.as_str().to_owned()),
    ];
    if let Step::Apply(consumer) = step {
        attributes.push(KeyValue::new("wallex.consumer", consumer.name()));
    }
    attributes
}

fn append_marks(append: &Append) -> impl Iterator<Item = Mark> {
    append.writes.iter().flat_map(|write| &write.events).filter_map(Mark::of)
}

/// The spans of one thread's effects.
pub(crate) struct EffectSpans {
    telemetry: Telemetry,
    pending: RefCell<Pending>,
}

/// An effect that has begun and whose completion is of interest.
pub(crate) enum Begun {
    /// It works for these events.
    For(Work),
    /// It brings events to a consumer.
    Fetch(Consumer),
    /// It brings events that the topic left out, to either consumer.
    Stream,
}

/// Events that an effect works for.
pub(crate) struct Work {
    step: Step,
    marks: Vec<Mark>,
    started: SystemTime,
}

impl EffectSpans {
    pub(crate) fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, pending: RefCell::default() }
    }

    /// Looks at an effect that begins now; nothing when it makes no span.
    pub(crate) fn begin(&self, effect: &Effect) -> Option<Begun> {
        self.telemetry.tracer()?;
        let (step, marks) = if let Effect::Append(_, append) = effect {
            (Step::Append, append_marks(append).collect())
        } else if let Effect::Publish(_, events) = effect {
            (Step::Publish, events.iter().filter_map(|recorded| Mark::of(&recorded.event)).collect())
        } else if let Effect::Project { consumer, changes, .. } = effect {
            (Step::Apply(*consumer), self.pending.borrow_mut().written(*consumer, changes))
        } else if let Effect::Fetch { consumer, .. } = effect {
            return Some(Begun::Fetch(*consumer));
        } else if let Effect::ReadStream { .. } = effect {
            return Some(Begun::Stream);
        } else {
            return None;
        };
        let marks: Vec<Mark> = marks;
        (!marks.is_empty()).then(|| Begun::For(Work { step, marks, started: SystemTime::now() }))
    }

    /// Looks at its completion.
    pub(crate) fn end(&self, begun: Option<Begun>, completion: Option<&Input>) {
        match (begun, completion) {
            (Some(Begun::For(work)), Some(input)) => self.finish(work, input),
            (Some(Begun::Fetch(consumer)), Some(Input::Fetched(_, Completion::Done(messages)))) => {
                let mut pending = self.pending.borrow_mut();
                messages.iter().filter_map(|message| message.event.as_ref().ok()).for_each(|event| {
                    pending.note(consumer, event);
                });
            }
            (Some(Begun::Stream), Some(Input::StreamRead(_, Completion::Done(events)))) => {
                let mut pending = self.pending.borrow_mut();
                for event in events {
                    pending.note(Consumer::ReadModel, event);
                    pending.note(Consumer::Ledger, event);
                }
            }
            (Some(_), _) | (None, _) => {}
        }
    }

    fn finish(&self, work: Work, input: &Input) {
        let Work { step, marks, started } = work;
        let outcome = if let Input::Appended(_, completion) | Input::Projected(_, completion) = input {
            Outcome::from(completion)
        } else if let Input::Published(_, Completion::Done(failures)) = input {
            if failures.iter().all(Option::is_none) { Outcome::Done } else { Outcome::Failed }
        } else {
            Outcome::Unknown
        };
        if let (Step::Apply(consumer), Outcome::Done) = (step, outcome) {
            self.pending.borrow_mut().forget(consumer, &marks);
        }
        self.telemetry.spans(step, &marks, started, SystemTime::now(), outcome);
    }
}
