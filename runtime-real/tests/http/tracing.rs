//! Traces: one from the request through append, relay and both projectors, as a collector receives it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::collector::{Collector, TRANSFER, attribute, has_failed};
use crate::harness::{Service, eventually};

const CLIENTS_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENTS_SPAN: &str = "b7ad6b7169203331";

fn traced_service(collector: &Collector, ratio: &str) -> Service {
    let endpoint = format!("http://{}", collector.address);
    Service::start_with(&[("WALLEX_OTLP_ENDPOINT", &endpoint), ("WALLEX_OTLP_SAMPLE_RATIO", ratio)])
}

/// The span of the only request with this name, once it is there.
fn request(collector: &Collector, name: &str) -> Span {
    eventually(name, || collector.named(name).pop())
}

/// What was done for a trace, by step, once every step has been done for `events` events.
fn steps_of(collector: &Collector, trace: &[u8], events: i64) -> BTreeMap<&'static str, Vec<Span>> {
    eventually("every step of the trace", || collector.steps_of(trace, events))
}

fn wallets_of(span: &Span) -> Vec<String> {
    let Some(Value::ArrayValue(array)) = attribute(span, "wallex.wallets") else { panic!("no wallets in {span:?}") };
    let texts = array.values.into_iter().map(|one| match one.value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?} is no wallet"),
    });
    texts.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

fn trace_parent_of(service: &Service, wallet: &str, version: usize) -> serde_json::Value {
    let events = service.get(&format!("/wallets/{wallet}/events")).json();
    events["items"][version - 1]["metadata"]["traceparent"].clone()
}

#[test]
fn a_transfer_is_one_trace_from_the_request_to_both_projections() {
    let collector = Collector::start();
    let service = traced_service(&collector, "1");
    service.create("a", "10");
    service.create("b", "0");
    let headers = [("X-Correlation-Id", "rent-42")];
    let answer = service.post_with("/wallets/a/transfer", &headers, r#"{"toWalletId":"b","amount":4}"#);
    assert_eq!(answer.status, 200);

    let request = request(&collector, TRANSFER);
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert!(request.parent_span_id.is_empty(), "{request:?}");
    assert_eq!(attribute(&request, "http.request.method"), text("POST"));
    assert_eq!(attribute(&request, "http.route"), text("/wallets/{id}/transfer"));
    assert_eq!(attribute(&request, "url.path"), text("/wallets/a/transfer"));
    assert_eq!(attribute(&request, "http.response.status_code"), Some(Value::IntValue(200)));
    assert_eq!(attribute(&request, "wallex.correlation_id"), text("rent-42"));

    let carried = format!("00-{}-{}-01", hex(&request.trace_id), hex(&request.span_id));
    assert_eq!(trace_parent_of(&service, "a", 2), carried);
    assert_eq!(trace_parent_of(&service, "b", 2), carried);

    let steps = steps_of(&collector, &request.trace_id, 2);
    for (step, spans) in &steps {
        let wallets: BTreeSet<String> = spans.iter().flat_map(wallets_of).collect();
        assert_eq!(wallets, BTreeSet::from(["a".to_owned(), "b".to_owned()]), "{step}");
        for span in spans {
            assert_eq!(span.parent_span_id, request.span_id, "{span:?}");
            assert_eq!(attribute(span, "wallex.correlation_id"), text("rent-42"));
            assert!(!has_failed(span), "{span:?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        }
    }
    assert_eq!(steps["append"].len(), 1);
    let (append, publish) = (&steps["append"][0], &steps["publish"][0]);
    assert!(request.start_time_unix_nano <= append.start_time_unix_nano);
    assert!(append.end_time_unix_nano <= publish.end_time_unix_nano);
    assert_eq!(publish.kind, SpanKind::Producer as i32);
    assert_eq!(steps["apply ledger-projector"][0].kind, SpanKind::Consumer as i32);
}

#[test]
fn the_clients_flag_decides_over_the_ratio() {
    let collector = Collector::start();
    let service = traced_service(&collector, "0");
    let sampled = format!("00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-01");
    let unsampled = format!("00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-00");
    service.create("a", "10");
    let credit = |header: &str| {
        service.post_with("/wallets/a/credit", &[("traceparent", header)], r#"{"amount":1}"#);
    };
    credit(&unsampled);
    assert_eq!(service.post("/wallets/a/debit", r#"{"amount":1}"#).status, 200);
    assert_eq!(service.get("/wallets/a?minVersion=3").status, 200);
    // Nothing of these is sampled, so nobody has been connected to.
    assert_eq!(collector.connections(), 0);
    assert_eq!(trace_parent_of(&service, "a", 2), unsampled);
    assert!(trace_parent_of(&service, "a", 3).is_null());

    credit(&sampled);
    let request = request(&collector, "POST /wallets/{id}/credit");
    assert_eq!((hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()), (CLIENTS_TRACE, CLIENTS_SPAN));
    for spans in steps_of(&collector, &request.trace_id, 1).values() {
        assert!(spans.iter().all(|span| span.parent_span_id == request.span_id), "{spans:?}");
    }
    let own = format!("00-{CLIENTS_TRACE}-{}-01", hex(&request.span_id));
    assert_eq!(trace_parent_of(&service, "a", 4), own);
    assert!(collector.named("POST /wallets/{id}/debit").is_empty());
}

#[test]
fn a_refused_request_is_a_span_without_steps() {
    let collector = Collector::start();
    let mut service = traced_service(&collector, "1");
    service.create("a", "1");
    assert_eq!(service.post("/wallets/a/debit", r#"{"amount":2}"#).status, 422);
    service.post("/wallets/a/nothing", "{}").expect_problem(404, "not-found");
    service.get("/health");
    // The end of the service sends what is on its way.
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));
    let debit = request(&collector, "POST /wallets/{id}/debit");
    assert_eq!(attribute(&debit, "http.response.status_code"), Some(Value::IntValue(422)));
    let spans = collector.spans();
    assert_eq!(spans.iter().filter(|span| span.trace_id == debit.trace_id).count(), 1);
    let lost = spans.iter().find(|span| span.name == "HTTP").unwrap();
    assert_eq!(attribute(lost, "http.response.status_code"), Some(Value::IntValue(404)));
    assert!(!spans.iter().any(|span| attribute(span, "url.path") == text("/health")));
}

#[test]
fn without_an_endpoint_nobody_is_connected_to_and_the_clients_context_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}", listener.local_addr().unwrap());
    let mut service = Service::start_with(&[
        ("WALLEX_OTLP_SAMPLE_RATIO", "1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &elsewhere),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &elsewhere),
    ]);
    service.create("a", "10");
    let sampled = format!("00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-01");
    service.post_with("/wallets/a/credit", &[("traceparent", &sampled)], r#"{"amount":1}"#);
    assert_eq!(service.get("/wallets/a?minVersion=2").status, 200);
    assert_eq!(trace_parent_of(&service, "a", 2), sampled);
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_collector_that_is_away_costs_spans_and_no_request() {
    // The port is nobody's once the listener is gone.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{address}");
    let mut service = Service::start_with(&[("WALLEX_OTLP_ENDPOINT", &endpoint), ("WALLEX_OTLP_SAMPLE_RATIO", "1")]);
    service.create("a", "10");
    for _ in 0..20 {
        assert_eq!(service.post("/wallets/a/credit", r#"{"amount":1}"#).status, 200);
    }
    let lost = eventually("a count of what was lost", || {
        std::thread::sleep(Duration::from_millis(100));
        let figures = service.get("/metrics").text();
        let line = figures.lines().find_map(|line| line.strip_prefix("trace_spans_lost_total "));
        line.and_then(|count| count.parse::<u64>().ok()).filter(|lost| *lost > 0)
    });
    assert!(lost >= 1, "{lost}");
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));
}
