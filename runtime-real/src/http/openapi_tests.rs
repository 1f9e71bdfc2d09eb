use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::http::problem::Code;
use crate::http::router;

/// Every route with its method, its statuses, and parameters that must be described.
const ROUTES: &[(&str, &str, &[u16], &[&str])] = &[
    ("post", "/wallets", &[201, 400, 408, 409, 413, 415, 422, 500, 503, 504], &["Idempotency-Key", "X-Correlation-Id"]),
    ("get", "/wallets", &[200, 400, 500, 503], &["ownerId", "minBalance", "maxBalance", "limit", "cursor"]),
    ("get", "/wallets/{id}", &[200, 304, 400, 404, 500, 503], &["id", "minVersion", "version", "at"]),
    ("post", "/wallets/{id}/credit", MOVES, &["id", "Idempotency-Key", "If-Match", "X-Correlation-Id", "traceparent"]),
    ("post", "/wallets/{id}/debit", MOVES, &["id", "Idempotency-Key", "If-Match", "X-Correlation-Id", "traceparent"]),
    ("post", "/wallets/{id}/transfer", MOVES, &["id", "Idempotency-Key", "If-Match", "X-Correlation-Id"]),
    (
        "get",
        "/wallets/{id}/transactions",
        &[200, 400, 404, 500, 503],
        &["id", "type", "from", "to", "order", "limit", "cursor", "Accept"],
    ),
    ("get", "/wallets/{id}/events", &[200, 400, 404, 500, 503], &["id", "fromVersion", "limit", "cursor"]),
    ("post", "/batch", &[200, 400, 408, 409, 413, 415, 422, 500, 503, 504], &["Idempotency-Key"]),
    ("get", "/health", &[200, 503], &[]),
    ("get", "/health/live", &[200], &[]),
    ("get", "/health/kafka", &[200, 503], &[]),
    ("get", "/health/kafka/stats", &[200, 500, 503], &[]),
    ("get", "/health/ready", &[200, 503], &[]),
    ("get", "/metrics", &[200], &[]),
    ("get", "/dashboard", &[200], &[]),
    ("get", "/", &[200], &[]),
    ("get", "/openapi.json", &[200], &[]),
    ("get", "/docs", &[307], &[]),
    ("get", "/problems/{code}", &[200, 404], &["code"]),
];

const MOVES: &[u16] = &[200, 400, 404, 408, 409, 412, 413, 415, 422, 500, 503, 504];

fn document() -> Value {
    serde_json::from_str(&json()).unwrap()
}

#[test]
fn the_document_is_openapi_3_1() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_route_is_described_with_its_statuses_and_parameters() {
    let document = document();
    for (method, path, statuses, parameters) in ROUTES {
        let operation = &document["paths"][path][method];
        let described: BTreeSet<u16> = operation["responses"]
            .as_object()
            .unwrap_or_else(|| panic!("{method} {path} is not described"))
            .keys()
            .map(|status| status.parse().unwrap())
            .collect();
        assert_eq!(described, statuses.iter().copied().collect(), "{method} {path}");
        let named: Vec<&str> = operation["parameters"]
            .as_array()
            .map(|all| all.iter().map(|one| one["name"].as_str().unwrap()).collect())
            .unwrap_or_default();
        for parameter in *parameters {
            assert!(named.contains(parameter), "{method} {path} does not describe {parameter}, only {named:?}");
        }
    }
}

#[test]
fn every_operation_has_an_id_of_its_own() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (method, path, _, _) in ROUTES {
        let id = document["paths"][path][method]["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && ids.insert(id.to_owned()), "{method} {path} has the id {id:?}");
    }
}

#[test]
fn every_answer_is_described_with_a_correlation_id_and_every_success_with_its_content() {
    let document = document();
    for (method, path, _, _) in ROUTES {
        for (status, response) in document["paths"][path][method]["responses"].as_object().unwrap() {
            assert!(response["headers"]["X-Correlation-Id"].is_object(), "{method} {path} {status}");
            let content = response["content"].as_object().map_or(0, serde_json::Map::len);
            assert_eq!(content == 0, ["304", "307"].contains(&status.as_str()), "{method} {path} {status}");
        }
    }
}

#[test]
fn shapes_of_requests_take_no_other_members() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for name in STRICT {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
    let operations = schemas["BatchOperation"]["oneOf"].as_array().unwrap();
    let kinds = [
        ("Create", &["create"][..], &["type", "ownerId"][..]),
        ("Movement", &["credit", "debit"], &["type", "walletId", "amount"]),
        ("Transfer", &["transfer"], &["type", "walletId", "toWalletId", "amount"]),
    ];
    assert_eq!(operations.len(), kinds.len());
    for (shape, types, required) in kinds {
        let schema = &schemas[format!("Batch{shape}")];
        assert_eq!(schema["required"], serde_json::json!(required), "{shape}");
        assert_eq!(schema["properties"]["type"]["enum"], serde_json::json!(types));
        for kind in types {
            let mapped = &schemas["BatchOperation"]["discriminator"]["mapping"][kind];
            assert_eq!(*mapped, format!("#/components/schemas/Batch{shape}"));
        }
    }
}

#[test]
fn what_is_described_is_what_is_routed() {
    let document = document();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{id}", "w").replace("{code}", "not-found");
        let resource = router::find(&concrete).unwrap_or_else(|| panic!("{path} is described and not routed"));
        assert_eq!(resource.route(), path);
        for method in operations.as_object().unwrap().keys() {
            assert!(resource.allow().to_ascii_lowercase().contains(method.as_str()), "{method} {path}");
            assert!(
                ROUTES.iter().any(|route| route.0 == method && route.1 == path),
                "{method} {path} is not in the table"
            );
        }
    }
}

#[test]
fn every_code_is_named_where_its_status_is_described() {
    let text = json();
    for code in Code::ALL {
        assert!(text.contains(&format!("`{}`", code.name())), "{} is not described", code.name());
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = json();
    for reference in text.split("\"$ref\":\"#/").skip(1) {
        let pointer = format!("/{}", reference.split('"').next().unwrap());
        assert!(document.pointer(&pointer).is_some(), "{pointer} leads nowhere");
    }
}

#[test]
fn requests_in_the_examples_are_accepted() {
    use crate::http::operations::{self, Movement};
    use wallex_core::{currency::Currency, id::WalletId};

    let document = document();
    let example = |schema: &str| {
        let example = &document["components"]["schemas"][schema]["example"];
        assert!(!example.is_null(), "{schema} has no example");
        example.to_string().into_bytes()
    };
    let (usd, wallet) = (Currency::parse("USD").unwrap(), || WalletId::parse("w").unwrap());
    assert!(operations::create(&example("CreateWallet"), usd, wallet).is_ok());
    assert!(operations::movement(&example("MoveMoney"), Movement::Debit, wallet()).is_ok());
    assert!(operations::movement(&example("TransferMoney"), Movement::Transfer, wallet()).is_ok());
    assert!(operations::batch(&example("Batch"), 10, usd, |_| wallet()).is_ok());
}

#[test]
fn the_written_documentation_names_every_route_and_code() {
    const WRITTEN: &str = include_str!("../../../docs/API.md");
    for (_, path, _, _) in ROUTES {
        assert!(WRITTEN.contains(path), "{path} is not in docs/API.md");
    }
    for code in Code::ALL {
        let row = format!("| {} | `{}` |", code.status().as_u16(), code.name());
        assert!(WRITTEN.contains(&row), "{row} is not in docs/API.md");
    }
}
