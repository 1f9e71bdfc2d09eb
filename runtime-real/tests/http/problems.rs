//! Everything that is wrong with a request before the domain is asked, as one table per kind.

use crate::harness::{Service, mistakes};

#[test]
fn every_wrong_address_and_method_is_a_problem() {
    let service = Service::start();
    for (method, path) in [
        ("GET", "/nowhere"),
        ("GET", "/wallets/"),
        ("POST", "/wallets/w/refund"),
        ("GET", "/wallets/w/credit/x"),
        ("GET", "/docs/nothing.js"),
        ("GET", "/problems/unheard-of"),
        ("DELETE", "/nowhere"),
    ] {
        service.request(method, path, &[], None).expect_problem(404, "not-found");
    }
    for (method, path, allow) in [
        ("DELETE", "/wallets", "GET, HEAD, POST"),
        ("PUT", "/wallets/w", "GET, HEAD"),
        ("POST", "/wallets/w", "GET, HEAD"),
        ("GET", "/wallets/w/credit", "POST"),
        ("PATCH", "/wallets/w/transfer", "POST"),
        ("GET", "/batch", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/wallets", "GET, HEAD, POST"),
    ] {
        let answer = service.request(method, path, &[], None);
        answer.expect_problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn every_problem_leads_to_its_explanation() {
    let service = Service::start();
    let problem = service.get("/nowhere").expect_problem(404, "not-found");
    let page = service.get(problem["type"].as_str().unwrap());
    assert_eq!(page.status, 200);
    assert!(page.text().contains("not-found"), "{}", page.text());
}

#[test]
fn bodies_that_are_no_json_are_told_apart() {
    let service = Service::start();
    service.create("w", "1");
    let json = ("Content-Type", "application/json");
    for (headers, body, status, code) in [
        (vec![], r#"{"amount":1}"#, 415, "unsupported-media-type"),
        (vec![("Content-Type", "text/plain")], r#"{"amount":1}"#, 415, "unsupported-media-type"),
        (vec![json, ("Content-Encoding", "gzip")], r#"{"amount":1}"#, 415, "unsupported-media-type"),
        (vec![json], "", 400, "malformed-json"),
        (vec![json], "{\"amount\":1", 400, "malformed-json"),
        (vec![json], "{\"amount\":1}}", 400, "malformed-json"),
        (vec![json], "amount=1", 400, "malformed-json"),
    ] {
        let answer = service.request("POST", "/wallets/w/credit", &headers, Some(body));
        answer.expect_problem(status, code);
    }
    assert_eq!(service.versions("w"), 1);
}

#[test]
fn every_mistake_is_named_with_its_field() {
    let service = Service::start();
    service.create("w", "1");
    for (path, body, expected) in [
        ("/wallets", r#"{}"#, vec!["ownerId required"]),
        ("/wallets", r#"{"ownerId":"","walletId":"a b"}"#, vec!["walletId format", "ownerId format"]),
        ("/wallets", r#"{"ownerId":"o","owner":"o"}"#, vec!["owner unknown"]),
        ("/wallets", r#"{"ownerId":"o","ownerId":"o"}"#, vec!["ownerId duplicate"]),
        ("/wallets", r#"{"ownerId":"o","initialBalance":-1}"#, vec!["initialBalance negative"]),
        ("/wallets", r#"{"ownerId":"o","initialBalance":1.001}"#, vec!["initialBalance too-precise"]),
        ("/wallets", r#"{"ownerId":"o","currency":"usd"}"#, vec!["currency format"]),
        ("/wallets/w/credit", r#"{"amount":0}"#, vec!["amount not-positive"]),
        ("/wallets/w/credit", r#"{"amount":-1}"#, vec!["amount not-positive"]),
        ("/wallets/w/credit", r#"{"amount":1e2}"#, vec!["amount not-a-number"]),
        ("/wallets/w/credit", r#"{"amount":"12,50"}"#, vec!["amount not-a-number"]),
        ("/wallets/w/credit", r#"{"amount":1000000000001}"#, vec!["amount too-large"]),
        ("/wallets/w/credit", r#"{"amount":null}"#, vec!["amount required"]),
        ("/wallets/w/credit", r#"{"amount":1,"ammount":2}"#, vec!["ammount unknown"]),
        ("/wallets/w/credit", r#"{"amount":1,"description":"a\nb"}"#, vec!["description format"]),
        ("/wallets/w/credit", r#"[]"#, vec!["(body) type"]),
        ("/wallets/w/debit", r#"{"amount":true,"description":1}"#, vec!["amount type", "description type"]),
        ("/wallets/w/transfer", r#"{}"#, vec!["toWalletId required", "amount required"]),
        ("/wallets/a%20b/credit", r#"{"amount":1}"#, vec!["walletId format"]),
        ("/wallets/%ff/credit", r#"{"amount":1}"#, vec!["walletId format"]),
    ] {
        let problem = service.post(path, body).expect_problem(400, "validation-failed");
        assert_eq!(mistakes(&problem), expected, "{path} {body}");
    }
    assert_eq!(service.versions("w"), 1);
}

#[test]
fn wrong_parameters_are_named_too() {
    let service = Service::start();
    service.create("w", "1");
    for (path, expected) in [
        ("/wallets?limit=0", vec!["limit format"]),
        ("/wallets?limit=501&minBalance=x", vec!["minBalance format", "limit format"]),
        ("/wallets?owner=o", vec!["owner unknown"]),
        ("/wallets?ownerId=a%20b", vec!["ownerId format"]),
        ("/wallets/w?version=0", vec!["version format"]),
        ("/wallets/w?version=1&at=2026-01-01T00:00:00Z", vec!["at format"]),
        ("/wallets/w?version=1&minVersion=1", vec!["minVersion format"]),
        ("/wallets/w?at=yesterday", vec!["at format"]),
        ("/wallets/a%20b", vec!["walletId format"]),
        ("/wallets/w/transactions?type=refund&order=up", vec!["type format", "order format"]),
        ("/wallets/w/transactions?from=1&to=2", vec!["from format", "to format"]),
        ("/wallets/w/events?fromVersion=x", vec!["fromVersion format"]),
    ] {
        let problem = service.get(path).expect_problem(400, "validation-failed");
        assert_eq!(mistakes(&problem), expected, "{path}");
    }
    for path in ["/wallets?cursor=x", "/wallets/w/transactions?cursor=eHg", "/wallets/w/events?cursor=5"] {
        service.get(path).expect_problem(400, "cursor-invalid");
    }
}

#[test]
fn a_body_above_the_limit_is_refused_however_it_comes() {
    let service =
        Service::start_with(&[("WALLEX_HTTP_BODY_LIMIT_BYTES", "1024"), ("WALLEX_HTTP_BATCH_OPERATIONS_MAX", "10")]);
    service.create("w", "1");
    let large = format!("{{\"amount\":1,\"description\":\"{}\"}}", "x".repeat(1_024));
    service.post("/wallets/w/credit", &large).expect_problem(413, "body-too-large");
    let mut connection = service.connect();
    connection.write(
        b"POST /wallets/w/credit HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..3 {
        connection.write(format!("200\r\n{}\r\n", " ".repeat(512)).as_bytes());
    }
    connection.receive("POST").expect_problem(413, "body-too-large");
    let exact = format!("{{\"amount\":1{}}}", " ".repeat(1_024 - r#"{"amount":1}"#.len()));
    assert_eq!(service.post("/wallets/w/credit", &exact).status, 200);
}
