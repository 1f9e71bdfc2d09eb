//! Whether the service runs, whether it can take requests, and its figures.

use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};

use super::metrics::{PipelineLook, elapsed_ms};
use super::response::{Body, JSON, json, whole};
use super::state::Service;
use super::{render, schema};
use crate::driver;
use crate::production::Servers;

const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// A dependency that has not answered by then is down.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How one dependency was found.
struct Check {
    name: &'static str,
    /// Whether no command can be answered without it.
    needed: bool,
    latency_ms: f64,
    /// Why it is down.
    reason: Option<String>,
}

/// Each dependency, with its latency and, when it is down, the reason.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "service",
    responses(
        (status = 200, description = "Everything that is needed is up", body = schema::Health),
        (status = 503, description = "Something is down, or the service is stopping", body = schema::Health)
    )
)]
pub(super) async fn everything(service: &Service) -> Response<Body> {
    report(service).await
}

/// Whether the process runs.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "getLiveness",
    tag = "service",
    responses((status = 200, description = "It does", body = schema::Alive))
)]
pub(super) fn live(service: &Service) -> Response<Body> {
    let mut out = b"{\"status\":\"up\",\"uptimeSeconds\":".to_vec();
    render::number(service.uptime_seconds(), &mut out);
    out.push(b'}');
    json(out)
}

/// Whether the service takes requests: everything that it needs for them is up, and it is not stopping.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "getReadiness",
    tag = "service",
    responses(
        (status = 200, description = "It does", body = schema::Health),
        (status = 503, description = "It does not", body = schema::Health)
    )
)]
pub(super) async fn ready(service: &Service) -> Response<Body> {
    report(service).await
}

/// The figures of the service, for Prometheus. While the database or the log is away, those of the pipeline stay as they
/// were, and `dependency_up` says why.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "service",
    responses(
        (status = 200, description = "Prometheus' text format", content_type = "text/plain", body = String)
    )
)]
pub(super) async fn metrics(service: &Service) -> Response<Body> {
    service.observe();
    let look = tokio::time::timeout(CHECK_TIMEOUT, pipeline_look(service));
    let (_noted, look) = tokio::join!(checks(service), look);
    match look {
        Ok(Some(look)) => service.metrics.observe_lag(&look),
        Ok(None) | Err(_) => {
            tracing::debug!("the lag of the pipeline is not known: the database or the log does not answer")
        }
    }
    if let Some(servers) = &service.servers {
        service.metrics.observe_leases(servers.leases.failures());
    }
    whole(StatusCode::OK, PROMETHEUS_TEXT, service.metrics.render())
}

/// Where log and tables stand; nothing when one of them does not answer.
async fn pipeline_look(service: &Service) -> Option<PipelineLook> {
    let statistics = service.queries.statistics().await.ok()?;
    let oldest_unfed = service.log.time_of_next(statistics.outbox_filled).await.ok()?;
    let (unfed, now) = (service.log.count_after(statistics.outbox_filled), driver::now());
    Some(PipelineLook { unfed, oldest_unfed, statistics, now })
}

async fn report(service: &Service) -> Response<Body> {
    let checks = checks(service).await;
    let down = checks.iter().any(|check| check.needed && check.reason.is_some());
    let degraded = checks.iter().any(|check| check.reason.is_some());
    let status = match (service.is_draining(), down, degraded) {
        (true, _, _) => "draining",
        (false, true, _) => "down",
        (false, false, true) => "degraded",
        (false, false, false) => "up",
    };
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"status\":\"");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\",\"uptimeSeconds\":");
    render::number(service.uptime_seconds(), &mut out);
    out.extend_from_slice(b",\"dependencies\":[");
    for (at, check) in checks.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_check(check, &mut out);
    }
    out.extend_from_slice(b"]}");
    let takes_requests = matches!(status, "up" | "degraded");
    let status = if takes_requests { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(status, JSON, out)
}

fn write_check(check: &Check, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":\"");
    out.extend_from_slice(check.name.as_bytes());
    out.extend_from_slice(b"\",\"status\":\"");
    out.extend_from_slice(if check.reason.is_some() { b"down" } else { b"up" });
    out.extend_from_slice(format!("\",\"latencyMs\":{:.3},\"reason\":", check.latency_ms).as_bytes());
    match &check.reason {
        Some(reason) => render::string(reason, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// Looks at everything, and notes it among the figures.
async fn checks(service: &Service) -> Vec<Check> {
    let commands = async { service.gauges.trouble().map_or(Ok(()), |trouble| Err(trouble.to_owned())) };
    let appends = async { service.gauges.append_failure().map_or(Ok(()), Err) };
    let store = async { service.log.ping().await.map_err(|error| error.to_string()) };
    let database = async { service.queries.ping().await.map_err(|error| error.to_string()) };
    let needed = tokio::join!(check("commands", commands), check("event-store", store), check("database", database));
    let store = match (needed.1, service.log.damage()) {
        // Only what lies in the damaged bytes cannot be read: commands are answered.
        (store @ Check { reason: None, .. }, Some(damage)) => Check { reason: Some(damage), ..store }.optional(),
        (store, _) => store,
    };
    let mut checks = vec![needed.0, store, needed.2, check("appends", appends).await.optional()];
    if let Some(Servers { broker, leases, .. }) = &service.servers {
        let broker = async { broker.health().await.reason.map_or(Ok(()), Err) };
        let leases = async { leases.health().await.reason.map_or(Ok(()), Err) };
        let (broker, leases) = tokio::join!(check("kafka", broker), check("redis", leases));
        checks.extend([broker.optional(), leases.optional()]);
    }
    for check in &checks {
        service.metrics.observe_dependency(check.name, check.reason.is_none());
    }
    checks
}

impl Check {
    /// Without it the service is slower or behind, and not wrong.
    fn optional(self) -> Self {
        Self { needed: false, ..self }
    }
}

async fn check(name: &'static str, answers: impl Future<Output = Result<(), String>>) -> Check {
    let started = Instant::now();
    let answered = tokio::time::timeout(CHECK_TIMEOUT, answers).await;
    let reason = match answered {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(reason),
        Err(_) => Some("it does not answer".to_owned()),
    };
    Check { name, needed: true, latency_ms: elapsed_ms(started), reason }
}
