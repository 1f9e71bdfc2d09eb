//! Traces over several processes: whoever appends, publishes or applies, it is the trace of the request.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::collector::{Collector, TRANSFER, attribute};

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A transfer that was carried out is one trace from the request to both projections, through Kafka. Its replay is a
/// request with nothing behind it.
pub(crate) fn lead_from_a_request_to_both_projections(collector: &Collector, deadline: Instant) {
    loop {
        let requests = collector.named(TRANSFER);
        let traced = requests.iter().find_map(|request| Some((request, collector.steps_of(&request.trace_id, 2)?)));
        if let Some((request, steps)) = traced {
            let correlation = attribute(request, "wallex.correlation_id");
            assert_eq!(correlation, Some(Value::StringValue("contract".to_owned())));
            for span in steps.values().flatten() {
                assert_eq!(span.parent_span_id, request.span_id, "{span:?}");
                assert_eq!(attribute(span, "wallex.correlation_id"), correlation, "{span:?}");
            }
            return;
        }
        assert!(Instant::now() < deadline, "no transfer has all of its steps: {:?}", collector.spans());
        std::thread::sleep(LOOK_EVERY);
    }
}
