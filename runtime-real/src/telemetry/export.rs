//! The bounded queue to the collector. A request never waits for it: what it cannot take is lost, and counted.
//!
//! OpenTelemetry's batch processor sends from a thread of its own. It would drop silently what is too much; the bound
//! stands before it, so that every loss has its place in the count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use tonic::transport::{ClientTlsConfig, Endpoint};

/// Spans that wait for the collector, at most.
const QUEUED_MAX: usize = 8_192;
/// Spans in one message.
const BATCH_MAX: usize = 512;
/// How often what is there is sent.
const SEND_INTERVAL: Duration = Duration::from_millis(500);
/// What the collector has to take a message in.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Why spans cannot be sent to an address.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The address is none.
    #[error("it is no address of a collector: {0}")]
    Address(#[from] tonic::transport::Error),
    /// The exporter refuses what it found.
    #[error(transparent)]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Spans on their way, and spans that did not arrive.
#[derive(Debug, Default)]
pub(super) struct Losses {
    queued: AtomicUsize,
    lost: AtomicU64,
    troubled: AtomicBool,
}

impl Losses {
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether there is room for one more.
    fn enter(&self) -> bool {
        let room = self.queued.fetch_add(1, Ordering::Relaxed) < QUEUED_MAX;
        if !room {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    fn leave(&self, spans: usize) {
        self.queued.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Said when it begins and when it ends, not with every message.
    fn sent(&self, spans: usize, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                if self.troubled.swap(false, Ordering::Relaxed) {
                    tracing::info!(lost = self.lost(), "the collector takes spans again");
                }
            }
            Err(error) => {
                self.lost.fetch_add(spans as u64, Ordering::Relaxed);
                if !self.troubled.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the collector takes no spans; they are lost and counted");
                }
            }
        }
    }
}

/// The way of spans to the collector at `endpoint`. Connects when there is something to send.
pub(super) fn processor(endpoint: &str, losses: &Arc<Losses>) -> Result<impl SpanProcessor + 'static, ExportError> {
    let mut address = Endpoint::from_shared(endpoint.to_owned())?.connect_timeout(SEND_TIMEOUT);
    if endpoint.starts_with("https://") {
        address = address.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    let exporter =
        OtlpExporter::builder().with_tonic().with_channel(address.connect_lazy()).with_timeout(SEND_TIMEOUT).build()?;
    let exporter = Counted { exporter, losses: Arc::clone(losses) };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUED_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(SEND_INTERVAL)
        .build();
    let batch = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Ok(Bounded { batch, losses: Arc::clone(losses) })
}

/// Lets no more spans in than the queue holds.
#[derive(Debug)]
struct Bounded {
    batch: BatchSpanProcessor,
    losses: Arc<Losses>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batch.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.losses.enter() {
            self.batch.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batch.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batch.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batch.set_resource(resource);
    }
}

/// Counts what leaves the queue, and what does not arrive.
#[derive(Debug)]
struct Counted {
    exporter: OtlpExporter,
    losses: Arc<Losses>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.losses.leave(spans);
        let result = self.exporter.export(batch).await;
        self.losses.sent(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::error::OTelSdkError;

    #[test]
    fn what_the_queue_cannot_take_and_what_does_not_arrive_is_counted() {
        let losses = Losses::default();
        assert!((0..QUEUED_MAX).all(|_| losses.enter()));
        assert!(!losses.enter() && !losses.enter());
        assert_eq!(losses.lost(), 2);
        losses.leave(BATCH_MAX);
        losses.sent(BATCH_MAX, &Err(OTelSdkError::Timeout(SEND_TIMEOUT)));
        assert_eq!(losses.lost(), 2 + BATCH_MAX as u64);
        assert!(losses.enter());
        losses.sent(1, &Ok(()));
        assert_eq!(losses.lost(), 2 + BATCH_MAX as u64);
    }
}
