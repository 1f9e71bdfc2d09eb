//! The four operations, their preconditions, and what they leave in the event store.

use crate::harness::Service;

#[test]
fn a_creation_answers_with_snapshot_location_and_version() {
    let service = Service::start();
    let answer = service.post("/wallets", r#"{"walletId":"w:1","ownerId":"o","initialBalance":150,"currency":"EUR"}"#);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), Some("/wallets/w:1"));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.text().contains("\"balance\":150.00,"), "{}", answer.text());
    let snapshot = answer.json();
    assert_eq!(
        (&snapshot["id"], &snapshot["ownerId"], &snapshot["currency"]),
        (&"w:1".into(), &"o".into(), &"EUR".into())
    );
    assert_eq!(snapshot["version"], 1);
    assert_eq!(snapshot["createdAt"], snapshot["updatedAt"]);
    assert_eq!(snapshot["createdAt"].as_str().unwrap().len(), "2026-11-21T06:17:07.123456Z".len());
}

#[test]
fn a_wallet_without_a_name_gets_a_uuid_of_version_7() {
    let service = Service::start();
    let answer = service.post("/wallets", r#"{"ownerId":"o"}"#);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "{id}");
    assert_eq!(answer.header("location"), Some(format!("/wallets/{id}").as_str()));
    assert_eq!(answer.json()["currency"], "USD");
    assert_eq!(service.balance_at(&id, 1), "0.00");
}

#[test]
fn credit_debit_and_transfer_answer_with_what_they_did() {
    let service = Service::start();
    service.create("a", "100");
    service.create("b", "0");
    let credited = service.post("/wallets/a/credit", r#"{"amount":0.1,"description":"tip"}"#);
    assert_eq!((credited.status, credited.header("etag")), (200, Some("\"2\"")));
    assert!(credited.text().contains("\"balance\":100.10,"), "{}", credited.text());
    let debited = service.post("/wallets/a/debit", r#"{"amount":"0.2"}"#);
    assert!(debited.text().contains("\"balance\":99.90,"), "{}", debited.text());
    let transferred = service.post("/wallets/a/transfer", r#"{"toWalletId":"b","amount":99.9}"#);
    assert_eq!(transferred.status, 200);
    let body = transferred.json();
    assert_eq!(body["transferId"].as_str().unwrap().len(), 36);
    assert_eq!((&body["fromWallet"]["id"], &body["toWallet"]["id"]), (&"a".into(), &"b".into()));
    assert_eq!((&body["fromWallet"]["version"], &body["toWallet"]["version"]), (&4.into(), &2.into()));
    assert_eq!((service.balance_at("a", 4), service.balance_at("b", 2)), ("0.00".into(), "99.90".into()));
}

#[test]
fn money_is_a_string_when_configured_so() {
    let service = Service::start_with(&[("WALLEX_MONEY_FORMAT", "string"), ("WALLEX_DEFAULT_CURRENCY", "BHD")]);
    let answer = service.post("/wallets", r#"{"walletId":"w","ownerId":"o","initialBalance":"1.5"}"#);
    assert!(answer.text().contains("\"currency\":\"BHD\",\"balance\":\"1.500\","), "{}", answer.text());
}

#[test]
fn the_domain_refuses_with_its_codes_and_nothing_happens() {
    let service = Service::start();
    service.create("a", "10");
    service.create("rich", "1000000000000");
    assert_eq!(service.post("/wallets", r#"{"walletId":"y","ownerId":"o","currency":"JPY"}"#).status, 201);
    for (path, body, status, code) in [
        ("/wallets", r#"{"walletId":"a","ownerId":"o"}"#, 409, "wallet-exists"),
        ("/wallets/none/credit", r#"{"amount":1}"#, 404, "wallet-not-found"),
        ("/wallets/none/debit", r#"{"amount":1}"#, 404, "wallet-not-found"),
        ("/wallets/none/transfer", r#"{"toWalletId":"a","amount":1}"#, 404, "wallet-not-found"),
        ("/wallets/a/transfer", r#"{"toWalletId":"none","amount":1}"#, 404, "wallet-not-found"),
        ("/wallets/a/debit", r#"{"amount":10.01}"#, 422, "insufficient-funds"),
        ("/wallets/a/transfer", r#"{"toWalletId":"rich","amount":11}"#, 422, "insufficient-funds"),
        ("/wallets/a/transfer", r#"{"toWalletId":"a","amount":1}"#, 422, "same-wallet"),
        ("/wallets/a/transfer", r#"{"toWalletId":"y","amount":1}"#, 422, "currency-mismatch"),
    ] {
        let problem = service.post(path, body).expect_problem(status, code);
        assert!(problem.get("errors").is_none(), "{problem}");
    }
    assert_eq!((service.versions("a"), service.versions("rich")), (1, 1));
}

#[test]
fn a_balance_stops_at_its_limit() {
    let service = Service::start();
    service.create("w", "0");
    let operation = r#"{"type":"credit","walletId":"w","amount":1000000000000}"#;
    let full = format!("{{\"operations\":[{}],\"atomic\":true}}", vec![operation; 900].join(","));
    assert_eq!(service.post("/batch", &full).status, 200);
    assert_eq!(service.balance_at("w", 901), "900000000000000.00");
    service.post("/wallets/w/credit", r#"{"amount":0.01}"#).expect_problem(422, "balance-limit");
}

#[test]
fn an_amount_finer_than_the_currency_is_a_mistake_of_the_request() {
    let service = Service::start();
    service.create("w", "10");
    let problem = service.post("/wallets/w/credit", r#"{"amount":"0.001"}"#).expect_problem(400, "validation-failed");
    assert_eq!(crate::harness::mistakes(&problem), ["amount too-precise"]);
}

#[test]
fn if_match_makes_a_write_conditional() {
    let service = Service::start();
    service.create("a", "10");
    service.create("b", "10");
    let credit = |tag: &str| service.post_with("/wallets/a/credit", &[("If-Match", tag)], r#"{"amount":1}"#);
    assert_eq!(credit("\"1\"").status, 200);
    assert_eq!(credit("\"1\"").expect_problem(412, "version-mismatch")["currentVersion"], 2);
    // A weak tag does not say that the state is exactly this one (RFC 9110, section 13.1.1).
    assert_eq!(credit("W/\"2\"").expect_problem(412, "version-mismatch")["currentVersion"], 2);
    assert_eq!(credit("\"1\", \"2\"").status, 200);
    credit("\"1\", W/\"3\" ,\"9\"").expect_problem(412, "version-mismatch");
    assert_eq!(credit("*").status, 200);
    assert_eq!(service.versions("a"), 4);
    let transfer =
        service.post_with("/wallets/a/transfer", &[("If-Match", "\"3\"")], r#"{"toWalletId":"b","amount":1}"#);
    transfer.expect_problem(412, "version-mismatch");
    for tag in ["\"x\"", "\"1\", x", "*, \"1\"", "1.5", ""] {
        assert_eq!(
            crate::harness::mistakes(&credit(tag).expect_problem(400, "validation-failed")),
            ["If-Match not-a-version"]
        );
    }
    let create = service.post_with("/wallets", &[("If-Match", "*")], r#"{"ownerId":"o"}"#);
    assert_eq!(crate::harness::mistakes(&create.expect_problem(400, "validation-failed")), ["If-Match not-applicable"]);
}

#[test]
fn correlation_and_trace_go_into_the_events() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let service = Service::start();
    let headers = [("X-Correlation-Id", "order-42"), ("traceparent", TRACE)];
    let answer = service.post_with("/wallets", &headers, r#"{"walletId":"w","ownerId":"o"}"#);
    assert_eq!(answer.header("x-correlation-id"), Some("order-42"));
    let made = service.post("/wallets/w/credit", r#"{"amount":1}"#);
    let made_id = made.header("x-correlation-id").unwrap().to_owned();
    assert_eq!(made_id.len(), 36);
    let replaced = service.post_with("/wallets/w/credit", &[("X-Correlation-Id", "a b")], r#"{"amount":1}"#);
    assert_eq!(replaced.header("x-correlation-id").unwrap().len(), 36);
    let events = service.get("/wallets/w/events").json();
    assert_eq!(events["items"][0]["metadata"]["correlationId"], "order-42");
    assert_eq!(events["items"][0]["metadata"]["traceparent"], TRACE);
    assert_eq!(events["items"][1]["metadata"]["correlationId"], made_id);
    assert!(events["items"][1]["metadata"].get("traceparent").is_none());
}
