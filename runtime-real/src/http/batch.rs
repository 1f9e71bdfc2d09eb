//! `POST /batch`: many operations in one request.
//!
//! | `Idempotency-Key` header | `atomic` | what the core gets |
//! |---|---|---|
//! | no | no | one command per operation, each with its own key if it has one |
//! | yes | no | one command, decided operation by operation |
//! | either | yes | one command, all or none |
//!
//! A key of a single operation stands for a command of its own, so it is refused where the operation is none.

use std::collections::BTreeSet;
use std::time::Instant;

use hyper::body::{Body as HttpBody, Bytes};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use wallex_core::command::{Answer, Idempotency, Request, Success, Work};
use wallex_core::id::{CommandId, CorrelationId, RequestId, WalletId};
use wallex_core::wallet::{Operation, Rejection};

use super::headers::{self, Correlation};
use super::metrics::elapsed_ms;
use super::operations::{self, BatchItem, ParsedBatch};
use super::problem::{FieldError, Problem};
use super::response::{Body, JSON, whole};
use super::state::Service;
use super::writes::Call;
use super::{fingerprint, ids, render, writes};
use super::{problem_schema, schema};
use crate::config::MoneyFormat;

const ROUTE: &str = "/batch";

/// Performs many operations: independent ones with a result for each, or, with `atomic`, all or none.
#[utoipa::path(
    post,
    path = "/batch",
    tag = "wallets",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Covers the whole request"),
        ("X-Correlation-Id" = Option<String>, Header, description = "Echoed, stored and logged; made when absent"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events"),
    ),
    request_body = schema::Batch,
    responses(
        (status = 200, description = "A result for each operation; all are successes when the batch is atomic",
            body = schema::BatchResults, headers(
            ("X-Correlation-Id" = String, description = "As sent, or made here"),
            ("Idempotent-Replayed" = bool, description = "true when this is a stored answer"),
        )),
        problem_schema::WriteProblems
    )
)]
pub(super) async fn batch<B>(call: Call<'_, B>) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let Call { service, head, body, correlation } = call;
    let started = Instant::now();
    let limit = service.config.http.body_limit_bytes;
    let body = body.read(&head.headers, limit, service.request_timeout()).await?;
    headers::require_json(&head.headers)?;
    let prepared = prepare(service, head, &body, correlation)?;
    drop(body);
    let format = service.config.money_format;
    let response = match prepared {
        Prepared::Whole { request, created } => {
            let answer = service.submit(*request).await;
            whole_answer(answer, &created, format)
        }
        Prepared::Each { requests, created } => {
            let answers = service.submit_all(requests).await;
            Ok(each_answer(answers, &created, &correlation.id, format))
        }
    };
    service.metrics.batch_duration_ms.record(elapsed_ms(started));
    response
}

/// What is submitted, and which operations are creations.
enum Prepared {
    Whole { request: Box<Request>, created: Vec<bool> },
    Each { requests: Vec<Request>, created: Vec<bool> },
}

fn prepare(service: &Service, head: &Parts, body: &[u8], correlation: &Correlation) -> Result<Prepared, Problem> {
    let command_id = ids::command_id(correlation.received_at);
    let limit = service.config.http.batch_operations_max;
    let parsed = operations::batch(body, limit, service.config.default_currency, |index| made_id(command_id, index))?;
    writes::refuse_if_match(&head.headers, "a batch has no single version to match")?;
    let key = headers::idempotency_key(&head.headers)?;
    check_item_keys(&parsed, key.is_some())?;
    let created = parsed.items.iter().map(|item| matches!(item.parsed.operation, Operation::Create(_))).collect();
    let request = |command_id, idempotency, work| Request {
        id: RequestId(0),
        command_id,
        correlation_id: correlation.id.clone(),
        trace_parent: correlation.trace_parent.clone(),
        idempotency,
        if_match: None,
        work,
    };
    if key.is_none() && !parsed.atomic {
        let requests = parsed.items.into_iter().map(|item| {
            let idempotency = key_of(&item);
            request(ids::command_id(correlation.received_at), idempotency, Work::One(item.parsed.operation))
        });
        return Ok(Prepared::Each { requests: requests.collect(), created });
    }
    let atomic = parsed.atomic;
    let operations: Vec<_> = parsed.items.into_iter().map(|item| item.parsed).collect();
    let idempotency = key.map(|key| fingerprint::of(&key, ROUTE, &operations, Some(atomic)));
    let operations = operations.into_iter().map(|parsed| parsed.operation).collect();
    let request = Box::new(request(command_id, idempotency, Work::Batch { operations, atomic }));
    Ok(Prepared::Whole { request, created })
}

/// Keys of operations have a meaning only where each operation is a command of its own, and there each has another.
fn check_item_keys(parsed: &ParsedBatch, header: bool) -> Result<(), Problem> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, item) in parsed.items.iter().enumerate() {
        let Some(key) = &item.key else { continue };
        let field = format!("operations[{index}].idempotencyKey");
        if header {
            let detail = "is not allowed beside an Idempotency-Key header, which covers the whole request";
            errors.push(FieldError::new(field, "not-applicable", detail));
        } else if parsed.atomic {
            let detail = "is not allowed in an atomic batch: give the whole request an Idempotency-Key header";
            errors.push(FieldError::new(field, "not-applicable", detail));
        } else if !seen.insert(key) {
            errors.push(FieldError::new(field, "duplicate", "is the key of an earlier operation"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::validation(errors)) }
}

fn key_of(item: &BatchItem) -> Option<Idempotency> {
    let parsed = std::slice::from_ref(&item.parsed);
    item.key.as_deref().map(|key| fingerprint::of(key, ROUTE, parsed, None))
}

/// The id of a wallet that operation `index` creates without naming it. A batch has fewer operations than a command
/// has event ids.
fn made_id(command_id: CommandId, index: usize) -> WalletId {
    let text = command_id.event_id(index).to_string();
    WalletId::parse(&text).expect("the text of a UUID is in the alphabet of ids")
}

fn whole_answer(answer: Answer, created: &[bool], format: MoneyFormat) -> Result<Response<Body>, Problem> {
    let decided_as = match &answer {
        Answer::Final { answer, .. } => Some(answer.correlation_id.clone()),
        Answer::InFlight | Answer::KeyReused | Answer::Unavailable(_) | Answer::OutcomeUnknown => None,
    };
    writes::answered(answer, |success| {
        let mut results = Results::new(created, format);
        // Only a final answer has a success, and every final answer has its correlation id.
        if let (Success::Batch(outcomes), Some(correlation)) = (&success, &decided_as) {
            for outcome in outcomes {
                results.outcome(outcome, correlation, false);
            }
        }
        results.finish()
    })
}

fn each_answer(
    answers: Vec<Answer>,
    created: &[bool],
    correlation: &CorrelationId,
    format: MoneyFormat,
) -> Response<Body> {
    let mut results = Results::new(created, format);
    for answer in answers {
        match &answer {
            Answer::Final { answer, replayed } => {
                results.outcome(&answer.outcome, &answer.correlation_id, *replayed);
            }
            Answer::InFlight | Answer::KeyReused | Answer::Unavailable(_) | Answer::OutcomeUnknown => {
                results.problem(&writes::not_final(&answer), correlation, false);
            }
        }
    }
    results.finish()
}

/// Writes `{"results":[{"status":…,"body":…},…]}`.
struct Results<'a> {
    out: Vec<u8>,
    created: &'a [bool],
    written: usize,
    format: MoneyFormat,
}

impl<'a> Results<'a> {
    fn new(created: &'a [bool], format: MoneyFormat) -> Self {
        let mut out = Vec::with_capacity(64 + created.len() * 2 * (render::SNAPSHOT_BYTES + 64));
        out.extend_from_slice(b"{\"results\":[");
        Self { out, created, written: 0, format }
    }

    fn outcome(&mut self, outcome: &Result<Success, Rejection>, correlation: &CorrelationId, replayed: bool) {
        match outcome {
            Ok(success) => {
                let created = self.created.get(self.written).copied().unwrap_or(false);
                self.head(if created { StatusCode::CREATED } else { StatusCode::OK }, replayed);
                match success {
                    Success::Wallet(wallet) => render::wallet(wallet, self.format, &mut self.out),
                    Success::Transfer { transfer_id, from, to } => {
                        render::transfer(*transfer_id, from, to, self.format, &mut self.out);
                    }
                    // Batches do not nest.
                    Success::Batch(_) => self.out.extend_from_slice(b"null"),
                }
                self.out.push(b'}');
            }
            Err(rejection) => self.problem(&Problem::refused(rejection.clone()), correlation, replayed),
        }
    }

    fn problem(&mut self, problem: &Problem, correlation: &CorrelationId, replayed: bool) {
        self.head(problem.code().status(), replayed);
        problem.write(correlation, &mut self.out);
        self.out.push(b'}');
    }

    fn head(&mut self, status: StatusCode, replayed: bool) {
        if self.written > 0 {
            self.out.push(b',');
        }
        self.written += 1;
        self.out.extend_from_slice(b"{\"status\":");
        self.out.extend_from_slice(status.as_str().as_bytes());
        if replayed {
            self.out.extend_from_slice(b",\"replayed\":true");
        }
        self.out.extend_from_slice(b",\"body\":");
    }

    fn finish(mut self) -> Response<Body> {
        self.out.extend_from_slice(b"]}");
        whole(StatusCode::OK, JSON, self.out)
    }
}
