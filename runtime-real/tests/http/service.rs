//! Health, figures, and what the service says about itself.

use crate::harness::{Service, eventually};

#[test]
fn health_names_each_dependency_with_its_latency() {
    let service = Service::start();
    assert_eq!(service.get("/health/live").json()["status"], "up");
    let needed = ["commands", "event-store", "database"];
    let all = ["commands", "event-store", "database", "appends"];
    for (path, wanted) in [("/health", &all[..]), ("/health/ready", &needed[..])] {
        let answer = service.get(path);
        assert_eq!(answer.status, 200);
        let health = answer.json();
        assert_eq!(health["status"], "up");
        let names: Vec<_> = health["dependencies"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, wanted, "{path}");
        for dependency in health["dependencies"].as_array().unwrap() {
            assert_eq!(dependency["status"], "up");
            assert!(dependency["latencyMs"].as_f64().is_some() && dependency["reason"].is_null(), "{dependency}");
        }
    }
}

#[test]
fn figures_count_what_was_done() {
    let service = Service::start();
    service.create("a", "10");
    service.create("b", "0");
    for _ in 0..2 {
        let keyed = service.post_with("/wallets/a/credit", &[("Idempotency-Key", "k")], r#"{"amount":1}"#);
        assert_eq!(keyed.status, 200);
    }
    assert_eq!(service.post("/wallets/a/transfer", r#"{"toWalletId":"b","amount":1}"#).status, 200);
    service.get("/nowhere");
    // The core's thread shows its figures right after it has answered.
    let figures = eventually("four appended commands", || {
        let figures = service.get("/metrics");
        figures.text().contains("append_commands_total 4\n").then_some(figures)
    });
    assert!(figures.header("content-type").unwrap().starts_with("text/plain"));
    let text = figures.text();
    let value = |series: &str| -> f64 {
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().unwrap()
    };
    assert_eq!(value("wallet_create_duration_ms_count"), 2.0);
    assert_eq!(value("wallet_credit_duration_ms_count"), 2.0);
    assert_eq!(value("wallet_transfer_duration_ms_count"), 1.0);
    assert_eq!(value("http_responses_total{class=\"4xx\"}"), 1.0);
    assert_eq!(value("idempotency_cache_hit_rate"), 0.5);
    for dependency in ["commands", "event-store", "database", "appends"] {
        assert_eq!(value(&format!("dependency_up{{name=\"{dependency}\"}}")), 1.0);
    }
    for series in [
        "outbox_lag_events",
        "outbox_lag_seconds",
        "projector_lag_events{consumer=\"read-model-projector\"}",
        "projector_lag_events{consumer=\"ledger-projector\"}",
        "projector_error_rate{consumer=\"ledger-projector\"}",
        "dead_letters{consumer=\"kafka-publisher\"}",
        "conflicts_total",
        "lock_waits_total",
    ] {
        assert!(value(series) >= 0.0);
    }
}

#[test]
fn the_documentation_is_served() {
    let service = Service::start();
    let openapi = service.get("/openapi.json");
    assert_eq!(openapi.header("content-type"), Some("application/json"));
    assert!(openapi.json()["openapi"].as_str().unwrap().starts_with("3.1."));
    let redirect = service.get("/docs");
    assert_eq!((redirect.status, redirect.header("location")), (307, Some("/docs/index.html")));
    let page = service.get("/docs/index.html");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(service.get("/docs/swagger-initializer.js").text().contains("/openapi.json"));
    assert_eq!(service.get("/").json()["documentation"], "/docs");
}
