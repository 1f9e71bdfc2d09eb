//! The OpenAPI 3.1 document, generated from the annotated routes and the described shapes.
//!
//! Owns what holds for all routes: headers, answers that every one may give, names of operations. A route is described
//! where it is served, a shape in `schema`.

use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use super::{
    batch, batch_schema, dashboard, documentation, events, health, kafka, schema, transactions, wallets, writes,
};

const CORRELATION: &str = "X-Correlation-Id";

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
        batch_schema::Batch,
        batch_schema::BatchOperation,
        batch_schema::BatchCreate,
        batch_schema::BatchMovement,
        batch_schema::BatchTransfer,
        batch_schema::BatchResults,
        schema::WalletPage,
        schema::LedgerPage,
        schema::EventPage,
        schema::Problem,
        schema::Health,
        schema::KafkaHealth,
        schema::KafkaStatistics,
        schema::Alive,
        schema::About,
    ))
)]
struct Document;

/// Shapes of requests, in which a member that is not described is a mistake.
const STRICT: &[&str] =
    &["CreateWallet", "MoveMoney", "TransferMoney", "Batch", "BatchCreate", "BatchMovement", "BatchTransfer"];

/// The document as JSON.
pub(super) fn json() -> String {
    let mut document = Document::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    forbid_unknown_members(&mut document);
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            describe_correlation(operation);
        }
    }
    document.to_json().unwrap_or_else(|error| panic!("the OpenAPI document cannot be written: {error}"))
}

fn forbid_unknown_members(document: &mut utoipa::openapi::OpenApi) {
    let Some(components) = &mut document.components else { return };
    for name in STRICT {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(*name) {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Every request may have a correlation id, and every answer has one.
fn describe_correlation(operation: &mut Operation) {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    let parameter = ParameterBuilder::new()
        .name(CORRELATION)
        .parameter_in(ParameterIn::Header)
        .description(Some("Echoed, stored and logged; made when absent or unusable"))
        .schema(Some(text()));
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let header = HeaderBuilder::new().schema(Some(text())).description(Some("As sent, or made here"));
            response.headers.insert(CORRELATION.to_owned(), RefOr::T(header.build()));
        }
    }
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
