//! Whether the service runs, whether it can take requests, and its figures.
//!
//! Each dependency is asked within a bounded time. Without one that commands need the service is down; without another
//! it is degraded and goes on taking requests. Figures are kept by `metrics`, what Kafka holds is shown by `kafka`.

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
/// The same for `/health/ready`: who asks it gives up after a second as a rule, and takes the instance out.
const READY_TIMEOUT: Duration = Duration::from_millis(800);

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
    report(service, &checks(service).await)
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

/// Whether the service takes requests: everything that it needs for them is up, and it is not stopping. Nothing else is
/// asked, and the answer comes within a second.
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
    report(service, &needed(service, READY_TIMEOUT).await)
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
    // Counted after the first of them was looked for: where there is a first one, the count is not 0.
    let unfed = service.log.count_after(statistics.outbox_filled).await.ok()?;
    Some(PipelineLook { unfed, oldest_unfed, statistics, now: driver::now() })
}

fn report(service: &Service, checks: &[Check]) -> Response<Body> {
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
    let (mut checks, servers) = tokio::join!(needed(service, CHECK_TIMEOUT), async {
        match &service.servers {
            Some(servers) => optional(servers).await,
            None => Vec::new(),
        }
    });
    checks.push(appends(service, &checks));
    checks.extend(servers);
    for check in &checks {
        service.metrics.observe_dependency(check.name, check.reason.is_none());
    }
    checks
}

/// Looks at what no command can be answered without.
async fn needed(service: &Service, patience: Duration) -> Vec<Check> {
    let commands = async { service.gauges.trouble().map_or(Ok(()), |trouble| Err(trouble.to_owned())) };
    let store = async { service.log.ping().await.map_err(|error| error.to_string()) };
    let database = async { service.queries.ping().await.map_err(|error| error.to_string()) };
    let (commands, store, database) = tokio::join!(
        check("commands", patience, commands, || None),
        check("event-store", patience, store, || service.log.trouble()),
        check("database", patience, database, || None),
    );
    let store = match (store, service.log.damage()) {
        // Only what lies in the damaged bytes cannot be read: commands are answered.
        (store @ Check { reason: None, .. }, Some(damage)) => Check { reason: Some(damage), ..store }.optional(),
        (store, _) => store,
    };
    vec![commands, store, database]
}

/// Looks at what the service is slower or behind without.
async fn optional(Servers { broker, leases, .. }: &Servers) -> Vec<Check> {
    let kafka = async { broker.health().await.reason.map_or(Ok(()), Err) };
    let redis = async { leases.health().await.reason.map_or(Ok(()), Err) };
    let (kafka, redis) = tokio::join!(
        check("kafka", CHECK_TIMEOUT, kafka, || broker.trouble()),
        check("redis", CHECK_TIMEOUT, redis, || None),
    );
    vec![kafka.optional(), redis.optional()]
}

/// How the newest append went. One that failed before an event store of others answered says nothing any more.
fn appends(service: &Service, needed: &[Check]) -> Check {
    let store_answers = needed.iter().any(|check| check.name == "event-store" && check.reason.is_none());
    if service.servers.is_some() && store_answers {
        service.gauges.event_store_answers();
    }
    Check { name: "appends", needed: false, latency_ms: 0.0, reason: service.gauges.append_failure() }
}

impl Check {
    /// Without it the service is slower or behind, and not wrong.
    fn optional(self) -> Self {
        Self { needed: false, ..self }
    }
}

/// `last_known` is what the dependency's client knows of it without asking, when it does not answer in time.
async fn check(
    name: &'static str,
    patience: Duration,
    answers: impl Future<Output = Result<(), String>>,
    last_known: impl FnOnce() -> Option<String>,
) -> Check {
    let started = Instant::now();
    let answered = tokio::time::timeout(patience, answers).await;
    let reason = match answered {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(reason),
        Err(_) => Some(match last_known() {
            Some(known) => format!("it does not answer; last: {known}"),
            None => "it does not answer".to_owned(),
        }),
    };
    Check { name, needed: true, latency_ms: elapsed_ms(started), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_does_not_answer_in_time_is_down_for_the_reason_that_its_client_knows() {
        let soon = Duration::from_millis(1);
        let silent = || std::future::pending::<Result<(), String>>();
        let known = check("kafka", soon, silent(), || Some("connection refused".to_owned())).await;
        assert_eq!(known.reason.as_deref(), Some("it does not answer; last: connection refused"));
        assert_eq!(check("kafka", soon, silent(), || None).await.reason.as_deref(), Some("it does not answer"));
        let up = check("kafka", READY_TIMEOUT, async { Ok(()) }, || Some("long ago".to_owned())).await;
        assert_eq!(up.reason, None);
    }
}
