//! A collector of traces, as a service sends them to: in the test's own process, over OTLP.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// The name of a transfer's request.
pub const TRANSFER: &str = "POST /wallets/{id}/transfer";
/// What is done for an event that is accepted.
const STEPS: [&str; 4] = ["append", "publish", "apply read-model-projector", "apply ledger-projector"];

/// A collector on a port of its own; its thread ends with the test's process.
pub struct Collector {
    pub address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    connections: Arc<AtomicUsize>,
}

struct Receiver(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (spans, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (receiver, counted) = (Receiver(Arc::clone(&spans)), Arc::clone(&connections));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = TcpListenerStream::new(listener).map(move |stream| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    stream
                });
                let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(receiver));
                server.serve_with_incoming(incoming).await.unwrap();
            });
        });
        Self { address, spans, connections }
    }

    /// How often somebody has connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// All spans that have come so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Those with this name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }

    /// What was done for a trace, by step, when every step has been done for `events` events.
    pub fn steps_of(&self, trace: &[u8], events: i64) -> Option<BTreeMap<&'static str, Vec<Span>>> {
        let of_trace = |name| -> Vec<Span> { self.named(name).into_iter().filter(|s| s.trace_id == trace).collect() };
        let steps: BTreeMap<_, _> = STEPS.iter().map(|name| (*name, of_trace(name))).collect();
        // An append that met another instance's is a span of its own, which has failed.
        let done = |spans: &[Span]| spans.iter().filter(|span| !has_failed(span)).map(events_of).sum::<i64>();
        steps.values().all(|spans| done(spans) == events).then_some(steps)
    }
}

pub fn attribute(span: &Span, key: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|one| one.key == key)?;
    found.value.clone()?.value
}

fn events_of(span: &Span) -> i64 {
    match attribute(span, "wallex.events") {
        Some(Value::IntValue(events)) => events,
        other => panic!("{other:?} events in {span:?}"),
    }
}

pub fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}
