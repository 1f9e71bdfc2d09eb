//! Traces over OTLP: one from the HTTP request through append, relay and both projectors.
//!
//! Events carry the `traceparent` of their request, so what is done for them, wherever and whenever, is a span of its
//! trace. Spans are made around the core's effects: the core knows nothing of them, and neither waits for the other.
//!
//! | module | owns |
//! |---|---|
//! | `parent` | `traceparent` as OpenTelemetry has it, and back |
//! | `request` | the span of an HTTP request |
//! | `effects` | the spans of appends, publishing and projections |
//! | `pending` | the traces of events on their way through a projector |
//! | `export` | the bounded queue to the collector, and the count of what it lost |

mod effects;
mod export;
mod parent;
mod pending;
mod request;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

pub(crate) use effects::{EffectSpans, Outcome};
pub use export::ExportError;
pub(crate) use request::{Answered, RequestSpan};

use crate::config::OtlpConfig;
use export::Losses;

/// How long the end of the service waits for spans on their way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes spans, or does nothing; cheap to clone. Without `otlp.endpoint` there is no tracer, and every question ends at
/// its first line.
#[derive(Clone, Default)]
pub struct Telemetry(Option<Arc<Tracing>>);

struct Tracing {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    losses: Arc<Losses>,
}

impl Telemetry {
    /// Starts what the settings say; nothing when they name no collector. The first spans make the connection. Must be
    /// called inside the runtime that lives as long as the service.
    ///
    /// # Errors
    /// [`ExportError`] when the address cannot be used. A collector that is away is no error.
    pub fn start(config: &OtlpConfig) -> Result<Self, ExportError> {
        let Some(endpoint) = config.endpoint.url() else { return Ok(Self::default()) };
        let losses = Arc::new(Losses::default());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(export::processor(endpoint.reveal(), &losses)?)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio.as_share()))))
            .with_resource(Resource::builder_empty().with_service_name("wallex").build())
            .build();
        let tracer = provider.tracer("wallex");
        Ok(Self(Some(Arc::new(Tracing { tracer, provider, losses }))))
    }

    /// How many spans were made and did not reach the collector.
    #[must_use]
    pub fn spans_lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |tracing| tracing.losses.lost())
    }

    /// Sends what is on its way, for a bounded time. Blocks.
    pub fn stop(&self) {
        if let Some(tracing) = &self.0
            && let Err(error) = tracing.provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }

    fn tracer(&self) -> Option<&SdkTracer> {
        self.0.as_ref().map(|tracing| &tracing.tracer)
    }
}
