//! Finds what a request is for, runs it, and answers every problem in one form.
//!
//! A match over the path instead of a stack of layers: a request costs one future, and nothing on its way allocates but
//! ids and the answer. Rare resources are boxed, so that the future of a write stays small. A panic in a resource is a
//! 500 for this request and nobody else's trouble.

use std::any::Any;
use std::borrow::Cow;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use hyper::body::{Body as HttpBody, Bytes};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use wallex_core::id::WalletId;

use super::body::Upload;
use super::headers::Correlation;
use super::operations::Movement;
use super::problem::{Code, FieldError, Problem};
use super::query::percent_decoded;
use super::response::{Body, X_CORRELATION_ID};
use super::state::Service;
use super::writes::Call;
use super::{batch, dashboard, documentation, events, health, kafka, transactions, wallets, writes};
use crate::telemetry::{Answered, RequestSpan};

/// What stands at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Root,
    Wallets,
    Wallet(Cow<'a, str>),
    Move(Movement, Cow<'a, str>),
    Transactions(Cow<'a, str>),
    Events(Cow<'a, str>),
    Batch,
    Health,
    Live,
    Ready,
    Kafka,
    KafkaStatistics,
    Metrics,
    Dashboard,
    OpenApi,
    Docs(&'a str),
    ProblemPage(&'a str),
}

const READ: &str = "GET, HEAD";
const WRITE: &str = "POST";
const BOTH: &str = "GET, HEAD, POST";

/// The resource at `path`.
pub(super) fn find(path: &str) -> Option<Resource<'_>> {
    if let Some(rest) = path.strip_prefix("/wallets") {
        let Some(rest) = rest.strip_prefix('/') else { return rest.is_empty().then_some(Resource::Wallets) };
        let (id, tail) = rest.split_once('/').map_or((rest, None), |(id, tail)| (id, Some(tail)));
        if id.is_empty() {
            return None;
        }
        // What cannot be decoded stays as it is, and is refused as an id.
        let id = percent_decoded(id).unwrap_or(Cow::Borrowed(id));
        return Some(match tail {
            None => Resource::Wallet(id),
            Some("credit") => Resource::Move(Movement::Credit, id),
            Some("debit") => Resource::Move(Movement::Debit, id),
            Some("transfer") => Resource::Move(Movement::Transfer, id),
            Some("transactions") => Resource::Transactions(id),
            Some("events") => Resource::Events(id),
            Some(_) => return None,
        });
    }
    match path {
        "/" => Some(Resource::Root),
        "/batch" => Some(Resource::Batch),
        "/health" => Some(Resource::Health),
        "/health/live" => Some(Resource::Live),
        "/health/ready" => Some(Resource::Ready),
        "/health/kafka" => Some(Resource::Kafka),
        "/health/kafka/stats" => Some(Resource::KafkaStatistics),
        "/metrics" => Some(Resource::Metrics),
        "/dashboard" => Some(Resource::Dashboard),
        "/openapi.json" => Some(Resource::OpenApi),
        "/docs" => Some(Resource::Docs("")),
        _ => match path.strip_prefix("/docs/") {
            Some(file) => Some(Resource::Docs(file)),
            None => path.strip_prefix("/problems/").map(Resource::ProblemPage),
        },
    }
}

impl Resource<'_> {
    /// The route that leads here, as the interface describes it.
    pub(super) fn route(&self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Wallets => "/wallets",
            Self::Wallet(_) => "/wallets/{id}",
            Self::Move(Movement::Credit, _) => "/wallets/{id}/credit",
            Self::Move(Movement::Debit, _) => "/wallets/{id}/debit",
            Self::Move(Movement::Transfer, _) => "/wallets/{id}/transfer",
            Self::Transactions(_) => "/wallets/{id}/transactions",
            Self::Events(_) => "/wallets/{id}/events",
            Self::Batch => "/batch",
            Self::Health => "/health",
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::Kafka => "/health/kafka",
            Self::KafkaStatistics => "/health/kafka/stats",
            Self::Metrics => "/metrics",
            Self::Dashboard => "/dashboard",
            Self::OpenApi => "/openapi.json",
            Self::Docs(_) => "/docs",
            Self::ProblemPage(_) => "/problems/{code}",
        }
    }

    /// The methods it takes, as `Allow` has them.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Wallets => BOTH,
            Self::Move(..) | Self::Batch => WRITE,
            Self::Root
            | Self::Wallet(_)
            | Self::Transactions(_)
            | Self::Events(_)
            | Self::Health
            | Self::Live
            | Self::Ready
            | Self::Kafka
            | Self::KafkaStatistics
            | Self::Metrics
            | Self::Dashboard
            | Self::OpenApi
            | Self::Docs(_)
            | Self::ProblemPage(_) => READ,
        }
    }
}

/// Answers one request.
pub async fn handle<B>(service: &Service, request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
{
    let (head, body) = request.into_parts();
    let mut body = Upload::new(body);
    let mut correlation = Correlation::of(&head.headers);
    let span = traced(service, &head, &mut correlation);
    let answered = caught(answer(service, &head, &mut body, &correlation), &correlation).await;
    let mut response = answered.unwrap_or_else(|problem| {
        log_cause(&problem, &correlation);
        problem.response(&correlation.id)
    });
    body.discard_rest(&head.headers, service.request_timeout());
    log(&head, &response, &correlation);
    service.metrics.responded(response.status());
    if let Some(span) = span {
        span.end(&Answered {
            method: &head.method,
            route: find(head.uri.path()).map(|resource| resource.route()),
            path: head.uri.path(),
            correlation_id: correlation.id.as_str(),
            status: response.status(),
        });
    }
    response.headers_mut().insert(X_CORRELATION_ID, correlation.header);
    response
}

/// Begins the span of a request for wallets, when it is traced; its events then carry that span. What is asked of the
/// service itself, by probes every few seconds, is not traced.
fn traced(service: &Service, head: &Parts, correlation: &mut Correlation) -> Option<RequestSpan> {
    let path = head.uri.path();
    if !path.starts_with("/wallets") && path != "/batch" {
        return None;
    }
    let span = service.telemetry.request(correlation.trace_parent.as_ref())?;
    correlation.trace_parent = span.trace_parent().or(correlation.trace_parent.take());
    Some(span)
}

async fn answer<B>(
    service: &Service,
    head: &Parts,
    body: &mut Upload<B>,
    correlation: &Correlation,
) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let path = head.uri.path();
    let Some(resource) = find(path) else {
        return Err(Problem::new(Code::NotFound, format!("there is nothing at {path}")));
    };
    let verb = Verb::of(&head.method);
    if !verb.is_taken_by(&resource) {
        return Err(Problem::method_not_allowed(resource.allow()));
    }
    let call = Call { service, head, body, correlation };
    match resource {
        Resource::Move(Movement::Credit, id) => writes::credit(call, wallet_id(&id)?).await,
        Resource::Move(Movement::Debit, id) => writes::debit(call, wallet_id(&id)?).await,
        Resource::Move(Movement::Transfer, id) => writes::transfer(call, wallet_id(&id)?).await,
        Resource::Wallets if verb == Verb::Write => writes::create(call).await,
        Resource::Batch => Box::pin(batch::batch(call)).await,
        Resource::Wallets => Box::pin(wallets::many(service, head)).await,
        Resource::Wallet(id) => Box::pin(wallets::one(service, head, wallet_id(&id)?)).await,
        Resource::Transactions(id) => {
            Box::pin(transactions::of_wallet(service, head, wallet_id(&id)?, correlation)).await
        }
        Resource::Events(id) => Box::pin(events::of_wallet(service, head, wallet_id(&id)?)).await,
        Resource::Health => Ok(Box::pin(health::everything(service)).await),
        Resource::Live => Ok(health::live(service)),
        Resource::Ready => Ok(Box::pin(health::ready(service)).await),
        Resource::Kafka => Ok(Box::pin(kafka::health(service)).await),
        Resource::KafkaStatistics => Box::pin(kafka::statistics(service)).await,
        Resource::Metrics => Ok(Box::pin(health::metrics(service)).await),
        Resource::Dashboard => Ok(dashboard::page()),
        Resource::Root => Ok(documentation::root()),
        Resource::OpenApi => Ok(documentation::openapi()),
        Resource::Docs(file) => documentation::page(file),
        Resource::ProblemPage(code) => documentation::problem(code),
    }
}

/// What a method asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Read,
    Write,
    Other,
}

impl Verb {
    fn of(method: &Method) -> Self {
        match *method {
            Method::POST => Self::Write,
            Method::GET | Method::HEAD => Self::Read,
            _ => Self::Other,
        }
    }

    fn is_taken_by(self, resource: &Resource<'_>) -> bool {
        match self {
            Self::Read => resource.allow() != WRITE,
            Self::Write => resource.allow() != READ,
            Self::Other => false,
        }
    }
}

fn wallet_id(text: &str) -> Result<WalletId, Problem> {
    WalletId::parse(text)
        .map_err(|error| Problem::validation(vec![FieldError::new("walletId", "format", error.to_string())]))
}

/// Turns a panic into a problem of this request.
async fn caught<T>(
    answering: impl Future<Output = Result<T, Problem>>,
    correlation: &Correlation,
) -> Result<T, Problem> {
    let mut answering = std::pin::pin!(answering);
    let polled = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))) {
        Ok(polled) => polled,
        Err(panic) => Poll::Ready(Err(panicked(panic.as_ref(), correlation))),
    });
    polled.await
}

fn panicked(panic: &(dyn Any + Send), correlation: &Correlation) -> Problem {
    let reason = panic.downcast_ref::<&str>().copied();
    let reason = reason.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown");
    tracing::error!(correlation_id = correlation.id.as_str(), reason, "a request panicked");
    Problem::new(Code::InternalError, "a defect of the service; its log has the correlation id")
}

/// Says what stands behind a problem: nobody who reads or asks on the way has the request's correlation id.
fn log_cause(problem: &Problem, correlation: &Correlation) {
    if let Some(cause) = problem.cause() {
        tracing::error!(correlation_id = correlation.id.as_str(), error = cause.error, "{}", cause.trouble);
    }
}

fn log(head: &Parts, response: &Response<Body>, correlation: &Correlation) {
    let (status, correlation_id) = (response.status().as_u16(), correlation.id.as_str());
    if status >= 500 {
        tracing::warn!(correlation_id, method = %head.method, path = head.uri.path(), status, "request failed");
    } else {
        tracing::debug!(correlation_id, method = %head.method, path = head.uri.path(), status, "request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_problem_of_its_own_request() {
        let correlation = Correlation::of(&hyper::HeaderMap::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let problem = runtime.block_on(caught::<()>(async { panic!("a defect") }, &correlation)).unwrap_err();
        assert_eq!(problem.code(), Code::InternalError);
        assert_eq!(runtime.block_on(caught(async { Ok(7) }, &correlation)), Ok(7));
    }

    #[test]
    fn paths_lead_to_their_resources() {
        let id = || Cow::Borrowed("w:1");
        for (path, resource) in [
            ("/", Some(Resource::Root)),
            ("/wallets", Some(Resource::Wallets)),
            ("/wallets/w:1", Some(Resource::Wallet(id()))),
            ("/wallets/w%3A1", Some(Resource::Wallet(id()))),
            ("/wallets/%zz", Some(Resource::Wallet(Cow::Borrowed("%zz")))),
            ("/wallets/w:1/credit", Some(Resource::Move(Movement::Credit, id()))),
            ("/wallets/w:1/debit", Some(Resource::Move(Movement::Debit, id()))),
            ("/wallets/w:1/transfer", Some(Resource::Move(Movement::Transfer, id()))),
            ("/wallets/w:1/transactions", Some(Resource::Transactions(id()))),
            ("/wallets/w:1/events", Some(Resource::Events(id()))),
            ("/dashboard", Some(Resource::Dashboard)),
            ("/docs/index.css", Some(Resource::Docs("index.css"))),
            ("/problems/not-found", Some(Resource::ProblemPage("not-found"))),
            ("/wallets/", None),
            ("/wallets//credit", None),
            ("/wallets/w:1/", None),
            ("/wallets/w:1/credit/", None),
            ("/walletsx", None),
            ("/Wallets", None),
            ("/health/", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(find(path), resource, "{path}");
        }
    }
}
