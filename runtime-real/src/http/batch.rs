//! `POST /batch`: many operations in one request.
//!
//! | `Idempotency-Key` header | `atomic` | what the core gets |
//! |---|---|---|
//! | no | no | one command per operation, each with its own key if it has one |
//! | yes | no | one command, decided operation by operation |
//! | either | yes | one command, all or none |
//!
//! A key of a single operation stands for a command of its own, so it is refused where the operation is none. An
//! operation that is mistaken is not submitted: its result is its problem, and nothing is stored under its key.

use std::collections::BTreeSet;
use std::time::Instant;

use hyper::body::{Body as HttpBody, Bytes};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use wallex_core::command::{Answer, Request, Success, Work};
use wallex_core::id::{CommandId, CorrelationId, RequestId, WalletId};
use wallex_core::wallet::{Operation, Rejection};

use super::headers::{self, Correlation};
use super::metrics::elapsed_ms;
use super::operations::{self, BatchItem, Mistaken, ParsedBatch};
use super::problem::{FieldError, Problem};
use super::response::{Body, JSON, whole};
use super::state::Service;
use super::writes::Call;
use super::{batch_schema, problem_schema};
use super::{fingerprint, ids, render, writes};
use crate::config::MoneyFormat;

const ROUTE: &str = "/batch";
const KEY: &str = "idempotencyKey";

/// Performs many operations: independent ones with a result for each, or, with `atomic`, all or none.
#[utoipa::path(
    post,
    path = "/batch",
    operation_id = "performBatch",
    tag = "wallets",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Covers the whole request"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events"),
    ),
    request_body = batch_schema::Batch,
    responses(
        (status = 200, description = "A result for each operation; all are successes when the batch is atomic",
            body = batch_schema::BatchResults, headers(
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
    let Prepared { submission, places } = prepare(service, head, &body, correlation)?;
    drop(body);
    let results = || Results::new(&places, service.config.money_format);
    let response = match submission {
        Submission::Nothing => Ok(results().finish(&correlation.id)),
        Submission::Whole(request) => {
            let answer = service.submit(*request).await;
            whole_answer(answer, results(), &correlation.id)
        }
        Submission::Each(requests) => {
            let answers = service.submit_all(requests).await;
            Ok(each_answer(answers, results(), &correlation.id))
        }
    };
    service.metrics.batch_duration_ms.record(elapsed_ms(started));
    response
}

/// A batch on its way to the core.
struct Prepared {
    submission: Submission,
    /// What stands at each place of the request.
    places: Vec<Place>,
}

enum Submission {
    /// Every operation is mistaken.
    Nothing,
    Whole(Box<Request>),
    Each(Vec<Request>),
}

/// What becomes of an operation.
enum Place {
    /// The core decides it.
    Submitted { creates: bool },
    /// Nobody is asked.
    Mistaken(Problem),
}

fn prepare(service: &Service, head: &Parts, body: &[u8], correlation: &Correlation) -> Result<Prepared, Problem> {
    let command_id = ids::command_id(correlation.received_at);
    let limit = service.config.http.batch_operations_max;
    let parsed = operations::batch(body, limit, service.config.default_currency, |index| made_id(command_id, index))?;
    writes::refuse_if_match(&head.headers, "a batch has no single version to match")?;
    let key = headers::idempotency_key(&head.headers)?;
    let ParsedBatch { atomic, mut items } = parsed;
    if key.is_some() || atomic {
        refuse_item_keys(&items, atomic)?;
    } else {
        refuse_repeated_keys(&mut items);
    }
    let idempotency = key.as_deref().map(|key| {
        let operations = items.iter().map(|item| item.as_ref().map(|item| &item.parsed));
        fingerprint::of_batch(key, ROUTE, atomic, operations)
    });
    let mut places = Vec::with_capacity(items.len());
    let mut submitted = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(item) => {
                let creates = matches!(item.parsed.operation, Operation::Create(_));
                places.push(Place::Submitted { creates });
                submitted.push(item);
            }
            Err(mistaken) => places.push(Place::Mistaken(Problem::validation(mistaken.errors))),
        }
    }
    let request = |command_id, idempotency, work| Request {
        id: RequestId(0),
        command_id,
        correlation_id: correlation.id.clone(),
        trace_parent: correlation.trace_parent.clone(),
        idempotency,
        if_match: None,
        work,
    };
    let submission = if submitted.is_empty() {
        Submission::Nothing
    } else if idempotency.is_none() && !atomic {
        let requests = submitted.into_iter().map(|BatchItem { parsed, key }| {
            let idempotency = key.map(|key| fingerprint::of(&key, ROUTE, &parsed));
            request(ids::command_id(correlation.received_at), idempotency, Work::One(parsed.operation))
        });
        Submission::Each(requests.collect())
    } else {
        let operations = submitted.into_iter().map(|item| item.parsed.operation).collect();
        Submission::Whole(Box::new(request(command_id, idempotency, Work::Batch { operations, atomic })))
    };
    Ok(Prepared { submission, places })
}

/// A key of an operation contradicts what the request says of itself when the operation is no command of its own.
fn refuse_item_keys(items: &[Result<BatchItem, Mistaken>], atomic: bool) -> Result<(), Problem> {
    let detail = if atomic {
        "is not allowed in an atomic batch, which is one command: give the request an Idempotency-Key header"
    } else {
        "is not allowed beside an Idempotency-Key header, which covers the whole request"
    };
    let keyed = items.iter().enumerate().filter(|(_, item)| match item {
        Ok(item) => item.key.is_some(),
        Err(mistaken) => mistaken.members.iter().any(|(name, _)| *name == KEY),
    });
    let errors: Vec<_> =
        keyed.map(|(index, _)| FieldError::new(KEY, "not-applicable", detail).of_operation(index)).collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::validation(errors)) }
}

/// Each command has another key: what has that of an earlier operation is mistaken.
fn refuse_repeated_keys(items: &mut [Result<BatchItem, Mistaken>]) {
    let mut seen = BTreeSet::new();
    for item in items {
        let Ok(BatchItem { key: Some(key), .. }) = item else { continue };
        if !seen.insert(key.clone()) {
            let error = FieldError::new(KEY, "duplicate", "is the key of an earlier operation");
            *item = Err(Mistaken { errors: vec![error], members: Vec::new() });
        }
    }
}

/// The id of a wallet that operation `index` creates without naming it. A batch has fewer operations than a command
/// has event ids.
fn made_id(command_id: CommandId, index: usize) -> WalletId {
    let text = command_id.event_id(index).to_string();
    WalletId::parse(&text).expect("the text of a UUID is in the alphabet of ids")
}

fn whole_answer(answer: Answer, mut results: Results<'_>, own: &CorrelationId) -> Result<Response<Body>, Problem> {
    let decided_as = match &answer {
        Answer::Final { answer, .. } => answer.correlation_id.clone(),
        Answer::InFlight | Answer::KeyReused | Answer::Unavailable(_) | Answer::OutcomeUnknown => own.clone(),
    };
    writes::answered(answer, |success| {
        // The core answers a batch with the outcomes of a batch.
        if let Success::Batch(outcomes) = &success {
            for outcome in outcomes {
                results.outcome(outcome, &decided_as, false);
            }
        }
        results.finish(&decided_as)
    })
}

fn each_answer(answers: Vec<Answer>, mut results: Results<'_>, correlation: &CorrelationId) -> Response<Body> {
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
    results.finish(correlation)
}

/// Writes `{"results":[{"status":…,"body":…},…]}`: outcomes in the order of what was submitted, and in between the
/// problems of what was not.
struct Results<'a> {
    out: Vec<u8>,
    places: &'a [Place],
    written: usize,
    format: MoneyFormat,
}

impl<'a> Results<'a> {
    fn new(places: &'a [Place], format: MoneyFormat) -> Self {
        let mut out = Vec::with_capacity(64 + places.len() * 2 * (render::SNAPSHOT_BYTES + 64));
        out.extend_from_slice(b"{\"results\":[");
        Self { out, places, written: 0, format }
    }

    fn outcome(&mut self, outcome: &Result<Success, Rejection>, correlation: &CorrelationId, replayed: bool) {
        self.mistaken(correlation);
        match outcome {
            Ok(success) => {
                let created = matches!(self.places.get(self.written), Some(Place::Submitted { creates: true }));
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
            Err(rejection) => self.write(&Problem::refused(rejection.clone()), correlation, replayed),
        }
    }

    fn problem(&mut self, problem: &Problem, correlation: &CorrelationId, replayed: bool) {
        self.mistaken(correlation);
        self.write(problem, correlation, replayed);
    }

    /// Writes what is mistaken from here on up to the next operation that was submitted.
    fn mistaken(&mut self, correlation: &CorrelationId) {
        while let Some(Place::Mistaken(problem)) = self.places.get(self.written) {
            self.write(problem, correlation, false);
        }
    }

    fn write(&mut self, problem: &Problem, correlation: &CorrelationId, replayed: bool) {
        let index = self.written;
        self.head(problem.code().status(), replayed);
        problem.write_at(index, correlation, &mut self.out);
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

    fn finish(mut self, correlation: &CorrelationId) -> Response<Body> {
        self.mistaken(correlation);
        self.out.extend_from_slice(b"]}");
        whole(StatusCode::OK, JSON, self.out)
    }
}
