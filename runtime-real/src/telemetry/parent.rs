//! `traceparent` as OpenTelemetry has it, and back.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, trace::Span};
use wallex_core::event::TraceParent;

/// The last hexadecimal digit of the flags; its lowest bit says that the trace is recorded.
const FLAG_DIGIT: usize = 54;

/// Whether whoever began the trace records it.
pub(super) fn is_sampled(parent: &TraceParent) -> bool {
    let digit = parent.as_str().as_bytes().get(FLAG_DIGIT).copied();
    digit.and_then(|digit| char::from(digit).to_digit(16)).is_some_and(|flags| flags & 1 == 1)
}

/// What a span needs to become a child. Ids of zeros are no parent: the span begins a trace of its own then.
pub(super) fn context_of(parent: &TraceParent) -> Context {
    let text = parent.as_str();
    let trace = text.get(3..35).and_then(|digits| TraceId::from_hex(digits).ok()).unwrap_or(TraceId::INVALID);
    let span = text.get(36..52).and_then(|digits| SpanId::from_hex(digits).ok()).unwrap_or(SpanId::INVALID);
    let flags = if is_sampled(parent) { TraceFlags::SAMPLED } else { TraceFlags::default() };
    Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

/// What makes others children of a span.
pub(super) fn parent_of(span: &impl Span) -> Option<TraceParent> {
    let context = span.span_context();
    let flags = context.trace_flags().to_u8();
    TraceParent::parse(&format!("00-{:032x}-{:016x}-{flags:02x}", context.trace_id(), context.span_id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> TraceParent {
        TraceParent::parse(text).unwrap()
    }

    #[test]
    fn the_sampled_flag_is_the_lowest_bit() {
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true), ("fe", false), ("ff", true)]
        {
            let parent = parsed(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"));
            assert_eq!(is_sampled(&parent), sampled, "{flags}");
            assert_eq!(context_of(&parent).span().span_context().is_sampled(), sampled, "{flags}");
        }
    }

    #[test]
    fn ids_arrive_as_they_were_sent_and_zeros_are_no_parent() {
        let context = context_of(&parsed("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        let span = context.span();
        assert_eq!(span.span_context().trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.span_context().span_id().to_string(), "b7ad6b7169203331");
        for none in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert!(!context_of(&parsed(none)).span().span_context().is_valid(), "{none}");
        }
    }
}
