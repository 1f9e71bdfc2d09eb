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

#[test]
fn damage_that_a_read_meets_is_shown_where_it_is_and_does_not_ask_to_try_again() {
    /// The first frame of a segment, behind its header.
    const FRAME: u64 = 64;
    let service = Service::start();
    service.create("w", "1");
    service.create("v", "1");
    assert_eq!(service.get("/health").json()["status"], "up");
    // From here on the place of each append is known, and only that is read.
    assert_eq!((service.versions("w"), service.versions("v")), (1, 1));
    let segment = std::fs::read_dir(wallex::layout::journal(&service.data_dir())).unwrap().map(|file| file.unwrap());
    let segment =
        segment.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    flip(&segment, FRAME + 100);

    let answer = service.get("/wallets/w/events");
    let problem = answer.expect_problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("damaged"), "{problem}");
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(service.get("/wallets/v/events").status, 200);

    let place = format!("{} is damaged at offset {FRAME}", segment.file_name().unwrap().to_string_lossy());
    let health = service.get("/health");
    let body = health.json();
    assert_eq!((health.status, &body["status"]), (200, &"degraded".into()), "{body}");
    let store = body["dependencies"].as_array().unwrap().iter().find(|one| one["name"] == "event-store").unwrap();
    assert!(store["reason"].as_str().unwrap().contains(&place), "{store}");

    let verify = std::process::Command::new(env!("CARGO_BIN_EXE_wallex"))
        .args(["verify", "--json", "--data-dir"])
        .arg(service.data_dir())
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(1));
    let error: serde_json::Value = serde_json::from_slice(&verify.stdout).unwrap();
    let error = &error["error"];
    assert!(error["detail"].as_str().unwrap().contains(&place), "{error}");
    assert_eq!((&error["code"], error["offset"].as_u64()), (&"damaged".into(), Some(FRAME)));
}

/// Changes one bit of a file.
fn flip(file: &std::path::Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}
