//! The shapes of a batch and of its results as the OpenAPI document states them.
//!
//! Descriptions like those in `schema`. Each kind of operation is a shape of its own, so that the document says which
//! members each of them requires and takes.

#![allow(dead_code, reason = "the types are only described, never built")]

use utoipa::openapi::schema::{Discriminator, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::schema::Money;

/// Up to 1,000 operations.
#[derive(ToSchema)]
#[schema(example = json!({"atomic": true, "operations": [
    {"type": "create", "walletId": "carol", "ownerId": "user-3"},
    {"type": "transfer", "walletId": "alice", "toWalletId": "carol", "amount": "5.00"}
]}))]
pub(super) struct Batch {
    /// Whether one refusal refuses them all; no when absent.
    atomic: Option<bool>,
    /// In order; those of an atomic batch see the effects of the earlier ones.
    #[schema(min_items = 1, max_items = 1000)]
    operations: Vec<BatchOperation>,
}

/// One operation of a batch: its type, its wallet, and the members that the single operation has.
pub(super) struct BatchOperation;

impl PartialSchema for BatchOperation {
    fn schema() -> RefOr<Schema> {
        const KINDS: [(&str, &str); 4] = [
            ("create", "BatchCreate"),
            ("credit", "BatchMovement"),
            ("debit", "BatchMovement"),
            ("transfer", "BatchTransfer"),
        ];
        let kinds = ["BatchCreate", "BatchMovement", "BatchTransfer"].map(Ref::from_schema_name);
        let mapping = KINDS.map(|(kind, schema)| (kind, format!("#/components/schemas/{schema}")));
        let either = kinds.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item);
        Schema::OneOf(either.discriminator(Some(Discriminator::with_mapping("type", mapping))).build()).into()
    }
}

impl ToSchema for BatchOperation {}

/// Creates a wallet.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct BatchCreate {
    #[schema(inline)]
    r#type: CreateType,
    /// Absent: the service makes one.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    wallet_id: Option<String>,
    /// Whose it will be.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    owner_id: String,
    /// Zero or more, at most 1,000,000,000,000; zero when absent.
    initial_balance: Option<Money>,
    /// ISO 4217 code; the service's default when absent.
    currency: Option<String>,
    /// Only in an independent batch without an `Idempotency-Key` header, where each operation is a command of its own.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Puts money into a wallet, or takes it out.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct BatchMovement {
    #[schema(inline)]
    r#type: MovementType,
    /// The wallet.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    wallet_id: String,
    /// More than zero, at most 1,000,000,000,000, with no more decimal places than the currency has.
    amount: Money,
    /// At most 500 characters, no control characters.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Only in an independent batch without an `Idempotency-Key` header, where each operation is a command of its own.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Moves money between two wallets.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct BatchTransfer {
    #[schema(inline)]
    r#type: TransferType,
    /// Where the money comes from.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    wallet_id: String,
    /// Where the money goes.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$")]
    to_wallet_id: String,
    /// More than zero, at most 1,000,000,000,000, with no more decimal places than the currency has.
    amount: Money,
    /// At most 500 characters, no control characters.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// Only in an independent batch without an `Idempotency-Key` header, where each operation is a command of its own.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// The kind of [`BatchCreate`].
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum CreateType {
    Create,
}

/// The kind of [`BatchMovement`].
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum MovementType {
    Credit,
    Debit,
}

/// The kind of [`BatchTransfer`].
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum TransferType {
    Transfer,
}

/// What became of each operation, in request order.
#[derive(ToSchema)]
pub(super) struct BatchResults {
    results: Vec<BatchResult>,
}

/// What became of one operation.
#[derive(ToSchema)]
pub(super) struct BatchResult {
    /// The status that the single operation would have had.
    status: u16,
    /// There and true when this is the stored answer of an earlier attempt.
    replayed: Option<bool>,
    body: BatchResultBody,
}

/// A snapshot, a transfer, or a problem.
pub(super) struct BatchResultBody;

impl PartialSchema for BatchResultBody {
    fn schema() -> RefOr<Schema> {
        let one_of = ["Snapshot", "Transferred", "Problem"].map(Ref::from_schema_name);
        let either = one_of.into_iter().fold(OneOfBuilder::new(), OneOfBuilder::item);
        Schema::OneOf(either.build()).into()
    }
}

impl ToSchema for BatchResultBody {}
