//! The shapes of requests and answers as the OpenAPI document states them.
//!
//! These types are descriptions: requests are read by `operations` and answers are written by `render`, and a test holds
//! the descriptions against what these do.

#![allow(dead_code, reason = "the types are only described, never built")]

use serde_json::{Value, json};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A wallet as it stands.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "alice", "ownerId": "user-1", "currency": "USD", "balance": 150.00, "version": 2,
    "createdAt": "2026-11-21T06:17:07.123456Z", "updatedAt": "2026-11-21T06:18:09.000001Z"
}))]
#[schema(rename_all = "camelCase")]
pub(super) struct Snapshot {
    /// 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    id: String,
    /// Whose it is.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    owner_id: String,
    /// ISO 4217 code.
    currency: String,
    balance: Money,
    /// 1 after creation, one more per event.
    #[schema(minimum = 1)]
    version: u64,
    /// UTC, with microseconds.
    #[schema(format = DateTime)]
    created_at: String,
    /// UTC, with microseconds.
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Exact decimal digits, as a JSON string or a JSON number, which the derive has no words for.
pub(super) struct Money;

impl PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Number).examples([json!(150)]);
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^-?[0-9]+(\.[0-9]+)?$"))
            .examples([json!("150.00")]);
        let either = OneOfBuilder::new().item(number).item(text).description(Some(
            "Exact decimal digits. Requests take a JSON number without exponent, or a string; answers have a number, \
             or a string when the service is configured with `money_format = \"string\"`. Never a binary float.",
        ));
        Schema::OneOf(either.build()).into()
    }
}

impl ToSchema for Money {}

/// What a creation needs.
#[derive(ToSchema)]
#[schema(example = json!({"walletId": "alice", "ownerId": "user-1", "initialBalance": "100.00", "currency": "USD"}))]
#[schema(rename_all = "camelCase")]
pub(super) struct CreateWallet {
    /// Absent: the service makes a UUIDv7.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    wallet_id: Option<String>,
    /// Whose it will be.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    owner_id: String,
    /// Zero or more, at most 1,000,000,000,000; zero when absent.
    initial_balance: Option<Money>,
    /// ISO 4217 code; the service's default when absent.
    currency: Option<String>,
}

/// What a credit or debit needs.
#[derive(ToSchema)]
#[schema(example = json!({"amount": "25.00", "description": "order 42"}))]
pub(super) struct MoveMoney {
    /// More than zero, at most 1,000,000,000,000, with no more decimal places than the currency has.
    amount: Money,
    /// At most 500 characters, no control characters.
    #[schema(max_length = 500)]
    description: Option<String>,
}

/// What a transfer needs.
#[derive(ToSchema)]
#[schema(example = json!({"toWalletId": "bob", "amount": "25.00", "description": "rent"}))]
#[schema(rename_all = "camelCase")]
pub(super) struct TransferMoney {
    /// Where the money goes.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    to_wallet_id: String,
    /// More than zero, at most 1,000,000,000,000, with no more decimal places than the currency has.
    amount: Money,
    /// At most 500 characters, no control characters.
    #[schema(max_length = 500)]
    description: Option<String>,
}

/// A transfer that was done, and both wallets right after it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Transferred {
    /// On both ledger entries.
    #[schema(format = "uuid")]
    transfer_id: String,
    /// The source.
    from_wallet: Snapshot,
    /// The destination.
    to_wallet: Snapshot,
}

/// A page of wallets.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct WalletPage {
    items: Vec<Snapshot>,
    /// Opaque; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One row of a wallet's history.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct LedgerEntry {
    #[schema(format = "uuid")]
    event_id: String,
    wallet_id: String,
    #[schema(minimum = 1)]
    version: u64,
    r#type: EntryType,
    /// Signed: what went out is negative. A transfer's two entries add up to zero.
    amount: Money,
    /// The wallet's balance after it.
    balance: Money,
    currency: String,
    #[schema(required, format = "uuid")]
    transfer_id: Option<String>,
    #[schema(required)]
    counterparty_wallet_id: Option<String>,
    #[schema(required)]
    description: Option<String>,
    #[schema(format = DateTime)]
    occurred_at: String,
    #[schema(format = "uuid")]
    command_id: String,
    correlation_id: String,
}

/// The kind of a ledger entry.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum EntryType {
    Create,
    Credit,
    Debit,
    TransferIn,
    TransferOut,
}

/// A page of a wallet's history.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct LedgerPage {
    items: Vec<LedgerEntry>,
    /// Opaque; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An event as the event store has it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct StoredEvent {
    #[schema(format = "uuid")]
    event_id: String,
    /// `wallet-{id}`
    stream: String,
    #[schema(minimum = 1)]
    version: u64,
    r#type: EventType,
    /// Of `data`.
    schema_version: u32,
    #[schema(format = DateTime)]
    occurred_at: String,
    /// The fact; money is a string of exact digits.
    #[schema(value_type = Object)]
    data: Value,
    /// Who caused it: command, correlation id, trace context.
    #[schema(value_type = Object)]
    metadata: Value,
}

/// The kind of an event.
#[derive(ToSchema)]
#[allow(clippy::enum_variant_names, reason = "these are the names in the event store")]
pub(super) enum EventType {
    WalletCreated,
    WalletCredited,
    WalletDebited,
}

/// A page of a wallet's events.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct EventPage {
    items: Vec<StoredEvent>,
    /// Opaque; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// RFC 9457, `application/problem+json`.
#[derive(ToSchema)]
#[schema(example = json!({
    "type": "/problems/insufficient-funds", "title": "The wallet does not hold that much", "status": 422,
    "detail": "wallet alice holds 10.00 USD, which is less than the 25.00 USD asked for",
    "code": "insufficient-funds", "correlationId": "order-42"
}))]
#[schema(rename_all = "camelCase")]
pub(super) struct Problem {
    /// Leads to an explanation.
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// The stable name of the kind of problem.
    code: String,
    /// Of the attempt that was decided.
    correlation_id: String,
    /// With `validation-failed` and `batch-refused`.
    errors: Option<Vec<ProblemError>>,
    /// With `version-mismatch`.
    current_version: Option<u64>,
}

/// One mistake of a request, or one refused operation of an atomic batch.
#[derive(ToSchema)]
pub(super) struct ProblemError {
    /// Member, parameter or header, with `validation-failed`.
    field: Option<String>,
    /// Place in the batch, from 0: with `batch-refused`, and with `validation-failed` of one operation of a batch.
    index: Option<u64>,
    code: String,
    detail: String,
}

/// What the service is, and where to read on.
#[derive(ToSchema)]
pub(super) struct About {
    /// `wallex`
    name: String,
    version: String,
    documentation: String,
    openapi: String,
    health: String,
    metrics: String,
    dashboard: String,
}

/// How the service and what it depends on are.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Health {
    /// `up`, `degraded` (something is away that is not needed to answer), `down` or `draining`.
    status: String,
    uptime_seconds: u64,
    dependencies: Vec<DependencyHealth>,
}

/// How one dependency is.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct DependencyHealth {
    name: String,
    /// `up` or `down`.
    status: String,
    latency_ms: f64,
    /// Null when it is up.
    #[schema(required)]
    reason: Option<String>,
}

/// That the process runs.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Alive {
    /// `up`
    status: String,
    uptime_seconds: u64,
}

/// How the way to the topic is.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct KafkaHealth {
    /// `up` or `down`.
    status: String,
    producer: KafkaProducer,
    kafka: KafkaServer,
}

/// The producer.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct KafkaProducer {
    connected: bool,
}

/// The server.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct KafkaServer {
    /// `up`, `down`, or `embedded` when the partitions are in this process.
    status: String,
    /// Null when it is up.
    #[schema(required)]
    reason: Option<String>,
}

/// Topics and groups.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct KafkaStatistics {
    topics: Vec<KafkaTopic>,
    groups: Vec<KafkaGroup>,
    /// Messages in the topic of dead letters; embedded, rows in their table.
    dead_letters: u64,
}

/// One topic.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct KafkaTopic {
    name: String,
    partitions: u16,
    /// Messages that are in it now; null when the partitions are in this process.
    #[schema(required)]
    messages: Option<u64>,
}

/// One consumer group.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct KafkaGroup {
    name: String,
    /// Messages that it has not taken.
    lag: u64,
}
