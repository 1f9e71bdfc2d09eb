//! The span of an HTTP request. It becomes the parent of everything that is done for the request's events.

use hyper::{Method, StatusCode};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use wallex_core::event::TraceParent;

use super::{Telemetry, parent};

/// The span of a request that is being answered; it ends with this value.
pub(crate) struct RequestSpan(Span);

/// What is known about a request once it is answered.
pub(crate) struct Answered<'a> {
    /// Its method.
    pub(crate) method: &'a Method,
    /// Its route, such as `/wallets/{id}/credit`; nothing when there is none.
    pub(crate) route: Option<&'static str>,
    /// Its path.
    pub(crate) path: &'a str,
    /// Its correlation id.
    pub(crate) correlation_id: &'a str,
    /// The answer's status.
    pub(crate) status: StatusCode,
}

impl Telemetry {
    /// Begins the span of a request. The client's trace context says whether it is recorded; without one, the ratio of the
    /// settings does. Nothing when it is not.
    pub(crate) fn request(&self, from_client: Option<&TraceParent>) -> Option<RequestSpan> {
        let tracer = self.tracer()?;
        let context = from_client.map_or_else(Context::new, parent::context_of);
        // The name follows when the request is answered; until then nobody sees it.
        let builder = tracer.span_builder("HTTP").with_kind(SpanKind::Server);
        let span = tracer.build_with_context(builder, &context);
        span.is_recording().then_some(RequestSpan(span))
    }
}

impl RequestSpan {
    /// What the request's events carry, so that what is done for them belongs to this span.
    pub(crate) fn trace_parent(&self) -> Option<TraceParent> {
        parent::parent_of(&self.0)
    }

    /// Ends it.
    pub(crate) fn end(mut self, answered: &Answered<'_>) {
        let span = &mut self.0;
        let method = answered.method.as_str();
        span.update_name(match answered.route {
            Some(route) => format!("{method} {route}"),
            None => "HTTP".to_owned(),
        });
        span.set_attribute(KeyValue::new("http.request.method", method.to_owned()));
        if let Some(route) = answered.route {
            span.set_attribute(KeyValue::new("http.route", route));
        }
        span.set_attribute(KeyValue::new("url.path", answered.path.to_owned()));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(answered.status.as_u16())));
        span.set_attribute(KeyValue::new("wallex.correlation_id", answered.correlation_id.to_owned()));
        if answered.status.is_server_error() {
            span.set_status(Status::error(answered.status.as_str().to_owned()));
        }
        span.end();
    }
}
