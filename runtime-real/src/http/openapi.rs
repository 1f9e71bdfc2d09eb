//! The OpenAPI 3.1 document, generated from the annotated routes and the described shapes.

use utoipa::OpenApi;

use super::{batch, dashboard, documentation, events, health, kafka, schema, transactions, wallets, writes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Wallex",
        description = "A wallet service: money in, money out, money between wallets, and a history nobody can lose or \
            reorder.\n\nEvery answer has `X-Correlation-Id`. Every problem is RFC 9457 `application/problem+json` with \
            a stable `code`. An unknown path is 404 `not-found`; a method that a path does not take is 405 \
            `method-not-allowed` with `Allow`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "wallets", description = "The four operations and the wallets themselves"),
        (name = "history", description = "What happened to a wallet"),
        (name = "service", description = "The service itself")
    ),
    paths(
        writes::create,
        writes::credit,
        writes::debit,
        writes::transfer,
        batch::batch,
        wallets::one,
        wallets::many,
        transactions::of_wallet,
        events::of_wallet,
        health::everything,
        health::live,
        health::ready,
        kafka::health,
        kafka::statistics,
        health::metrics,
        dashboard::page,
        documentation::root,
        documentation::openapi,
        documentation::page,
        documentation::problem,
    ),
    components(schemas(
        schema::Snapshot,
        schema::Money,
        schema::CreateWallet,
        schema::MoveMoney,
        schema::TransferMoney,
        schema::Transferred,
        schema::Batch,
        schema::BatchResults,
        schema::WalletPage,
        schema::LedgerPage,
        schema::EventPage,
        schema::Problem,
        schema::Health,
        schema::KafkaHealth,
        schema::KafkaStatistics,
        schema::Alive,
    ))
)]
struct Document;

/// The document as JSON.
pub(super) fn json() -> String {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.to_json().unwrap_or_else(|error| panic!("the OpenAPI document cannot be written: {error}"))
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
