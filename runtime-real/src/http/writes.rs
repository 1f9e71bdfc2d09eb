//! The four operations: `POST /wallets`, and `credit`, `debit` and `transfer` of a wallet.
//!
//! Reads the request, submits it to the core, writes the answer. The order of checks is that of the interface: body and
//! media type, JSON and members, idempotency key, then the domain. Whether something is done at all, done once, or
//! refused, is decided in the core (INV-01, 02, 05).

use std::time::Instant;

use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use wallex_core::command::{Answer, Request, Success, Work};
use wallex_core::id::{CommandId, RequestId, WalletId};
use wallex_core::wallet::Wallet;

use super::body::Upload;
use super::headers::{self, Correlation};
use super::metrics::elapsed_ms;
use super::operations::{self, Movement};
use super::problem::{Code, FieldError, Problem};
use super::response::{Body, IDEMPOTENT_REPLAYED, JSON, set_etag, whole};
use super::state::Service;
use super::{fingerprint, ids, render};
use super::{problem_schema, schema};
use crate::config::MoneyFormat;

/// What a single write is.
#[derive(Clone, Debug)]
enum Write {
    /// `POST /wallets`
    Create,
    /// `POST /wallets/{id}/…`
    Move(Movement, WalletId),
}

impl Write {
    /// The template of the path, which keys are scoped by.
    fn template(&self) -> &'static str {
        match self {
            Self::Create => "/wallets",
            Self::Move(Movement::Credit, _) => "/wallets/{id}/credit",
            Self::Move(Movement::Debit, _) => "/wallets/{id}/debit",
            Self::Move(Movement::Transfer, _) => "/wallets/{id}/transfer",
        }
    }
}

/// A request on its way to a resource that takes a body.
pub(super) struct Call<'a, B> {
    pub service: &'a Service,
    pub head: &'a Parts,
    pub body: &'a mut Upload<B>,
    pub correlation: &'a Correlation,
}

/// Creates a wallet.
#[utoipa::path(
    post,
    path = "/wallets",
    operation_id = "createWallet",
    tag = "wallets",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; a repeat gets the \
            stored answer", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events"),
    ),
    request_body = schema::CreateWallet,
    responses(
        (status = 201, description = "Created", body = schema::Snapshot, headers(
            ("Idempotent-Replayed" = bool, description = "true when this is a stored answer"),
            ("ETag" = String, description = "The version, in quotes"),
            ("Location" = String, description = "The new wallet"),
        )),
        problem_schema::WriteProblems
    )
)]
pub(super) async fn create<B>(call: Call<'_, B>) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    write(call, Write::Create).await
}

/// Puts money into a wallet.
#[utoipa::path(
    post,
    path = "/wallets/{id}/credit",
    operation_id = "creditWallet",
    tag = "wallets",
    params(
        ("id" = String, Path, description = "The wallet", example = "alice"),
        ("If-Match" = Option<String>, Header, description = "The version that the wallet must have", example = "\"3\""),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; a repeat gets the \
            stored answer", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events"),
    ),
    request_body = schema::MoveMoney,
    responses(
        (status = 200, description = "Credited", body = schema::Snapshot, headers(
            ("Idempotent-Replayed" = bool, description = "true when this is a stored answer"),
            ("ETag" = String, description = "The version, in quotes"),
        )),
        problem_schema::WriteProblems,
        problem_schema::ExistingWalletProblems
    )
)]
pub(super) async fn credit<B>(call: Call<'_, B>, id: WalletId) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    write(call, Write::Move(Movement::Credit, id)).await
}

/// Takes money out of a wallet, never more than there is.
#[utoipa::path(
    post,
    path = "/wallets/{id}/debit",
    operation_id = "debitWallet",
    tag = "wallets",
    params(
        ("id" = String, Path, description = "The wallet", example = "alice"),
        ("If-Match" = Option<String>, Header, description = "The version that the wallet must have", example = "\"3\""),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; a repeat gets the \
            stored answer", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events"),
    ),
    request_body = schema::MoveMoney,
    responses(
        (status = 200, description = "Debited", body = schema::Snapshot, headers(
            ("Idempotent-Replayed" = bool, description = "true when this is a stored answer"),
            ("ETag" = String, description = "The version, in quotes"),
        )),
        problem_schema::WriteProblems,
        problem_schema::ExistingWalletProblems
    )
)]
pub(super) async fn debit<B>(call: Call<'_, B>, id: WalletId) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    write(call, Write::Move(Movement::Debit, id)).await
}

/// Moves money between two wallets of one currency: both sides, or none.
#[utoipa::path(
    post,
    path = "/wallets/{id}/transfer",
    operation_id = "transferMoney",
    tag = "wallets",
    params(
        ("id" = String, Path, description = "The wallet", example = "alice"),
        ("If-Match" = Option<String>, Header, description = "The version that the wallet must have", example = "\"3\""),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; a repeat gets the \
            stored answer", example = "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events"),
    ),
    request_body = schema::TransferMoney,
    responses(
        (status = 200, description = "Transferred; the `ETag` is that of the source", body = schema::Transferred, headers(
            ("Idempotent-Replayed" = bool, description = "true when this is a stored answer"),
            ("ETag" = String, description = "The version, in quotes"),
        )),
        problem_schema::WriteProblems,
        problem_schema::ExistingWalletProblems
    )
)]
pub(super) async fn transfer<B>(call: Call<'_, B>, id: WalletId) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    write(call, Write::Move(Movement::Transfer, id)).await
}

/// Performs one write.
async fn write<B>(call: Call<'_, B>, write: Write) -> Result<Response<Body>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let Call { service, head, body, correlation } = call;
    let started = Instant::now();
    let limit = service.config.http.body_limit_bytes;
    let body = body.read(&head.headers, limit, service.request_timeout()).await?;
    headers::require_json(&head.headers)?;
    let duration = match &write {
        Write::Create => &service.metrics.operations.create,
        Write::Move(Movement::Credit, _) => &service.metrics.operations.credit,
        Write::Move(Movement::Debit, _) => &service.metrics.operations.debit,
        Write::Move(Movement::Transfer, _) => &service.metrics.operations.transfer,
    };
    let status = if matches!(write, Write::Create) { StatusCode::CREATED } else { StatusCode::OK };
    let request = request_of(service, head, body, correlation, write)?;
    let answer = service.submit(request).await;
    duration.record(elapsed_ms(started));
    let format = service.config.money_format;
    answered(answer, |success| match success {
        Success::Wallet(wallet) => snapshot(&wallet, status, format),
        Success::Transfer { transfer_id, from, to } => {
            let mut body = Vec::with_capacity(2 * render::SNAPSHOT_BYTES + 80);
            render::transfer(transfer_id, &from, &to, format, &mut body);
            let mut response = whole(status, JSON, body);
            set_etag(&mut response, from.version);
            response
        }
        // The core answers a single operation with its own success; a list of them is no answer to one.
        Success::Batch(_) => {
            Problem::new(Code::InternalError, "the answer does not fit the request").response(&correlation.id)
        }
    })
}

/// Everything that can be wrong before the core is asked.
fn request_of(
    service: &Service,
    head: &Parts,
    body: Bytes,
    correlation: &Correlation,
    write: Write,
) -> Result<Request, Problem> {
    let command_id = ids::command_id(correlation.received_at);
    let template = write.template();
    let (parsed, if_match) = match write {
        Write::Create => {
            refuse_if_match(&head.headers, "a wallet that is created has no version to match")?;
            (operations::create(&body, service.config.default_currency, || made_id(command_id))?, None)
        }
        Write::Move(movement, id) => (operations::movement(&body, movement, id)?, headers::if_match(&head.headers)?),
    };
    let key = headers::idempotency_key(&head.headers)?;
    let idempotency = key.map(|key| fingerprint::of(&key, template, &parsed));
    Ok(Request {
        id: RequestId(0),
        command_id,
        correlation_id: correlation.id.clone(),
        trace_parent: correlation.trace_parent.clone(),
        idempotency,
        if_match,
        work: Work::One(parsed.operation),
    })
}

/// The id of a wallet that the client did not name: that of the command that creates it, a UUIDv7, so that whoever
/// knows the command knows the wallet.
fn made_id(command_id: CommandId) -> WalletId {
    WalletId::parse(&command_id.to_string()).expect("the text of a UUID is in the alphabet of ids")
}

/// A precondition where none can hold is a mistake.
pub(super) fn refuse_if_match(headers: &HeaderMap, reason: &'static str) -> Result<(), Problem> {
    if headers.contains_key(hyper::header::IF_MATCH) {
        return Err(Problem::validation(vec![FieldError::new("If-Match", "not-applicable", reason)]));
    }
    Ok(())
}

/// Turns the core's answer into that of the interface; `succeed` writes what was done.
pub(super) fn answered(
    answer: Answer,
    succeed: impl FnOnce(Success) -> Response<Body>,
) -> Result<Response<Body>, Problem> {
    let (answer, replayed) = match answer {
        Answer::Final { answer, replayed } => (answer, replayed),
        Answer::InFlight | Answer::KeyReused | Answer::Unavailable(_) | Answer::OutcomeUnknown => {
            return Err(not_final(&answer));
        }
    };
    let mut response = match answer.outcome {
        Ok(success) => succeed(success),
        Err(rejection) => Problem::refused(rejection).response(&answer.correlation_id),
    };
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The problem in an answer that is not final.
pub(super) fn not_final(answer: &Answer) -> Problem {
    match answer {
        Answer::InFlight => {
            Problem::new(Code::IdempotencyKeyInFlight, "another request with this Idempotency-Key is running")
        }
        Answer::KeyReused => {
            Problem::new(Code::IdempotencyKeyReused, "this Idempotency-Key came with another payload before")
        }
        Answer::Unavailable(reason) => Problem::unavailable(*reason),
        Answer::Final { .. } | Answer::OutcomeUnknown => Problem::outcome_unknown(),
    }
}

/// A snapshot with its `ETag`, and its `Location` when it is new.
fn snapshot(wallet: &Wallet, status: StatusCode, format: MoneyFormat) -> Response<Body> {
    let mut body = Vec::with_capacity(render::SNAPSHOT_BYTES);
    render::wallet(wallet, format, &mut body);
    let mut response = whole(status, JSON, body);
    set_etag(&mut response, wallet.version);
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(format!("/wallets/{}", wallet.id))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
