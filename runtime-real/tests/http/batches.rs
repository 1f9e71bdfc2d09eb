//! `POST /batch`.

use serde_json::Value;

use crate::harness::{Service, mistakes};

const MIXED: &str = r#"{"operations":[
    {"type":"create","walletId":"a","ownerId":"o","initialBalance":"10"},
    {"type":"credit","walletId":"a","amount":5},
    {"type":"debit","walletId":"missing","amount":1},
    {"type":"create","walletId":"b","ownerId":"o"},
    {"type":"transfer","walletId":"a","toWalletId":"b","amount":"15"},
    {"type":"debit","walletId":"a","amount":1}
]}"#;

fn statuses(body: &Value) -> Vec<u64> {
    body["results"].as_array().unwrap().iter().map(|one| one["status"].as_u64().unwrap()).collect()
}

#[test]
fn independent_operations_have_a_result_each_in_request_order() {
    let service = Service::start();
    let answer = service.post("/batch", MIXED);
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(statuses(&body), [201, 200, 404, 201, 200, 422]);
    let results = &body["results"];
    assert_eq!(results[1]["body"]["version"], 2);
    assert_eq!(results[2]["body"]["code"], "wallet-not-found");
    assert_eq!(results[4]["body"]["toWallet"]["id"], "b");
    assert_eq!(results[5]["body"]["code"], "insufficient-funds");
    assert_eq!(results[5]["body"]["correlationId"], answer.header("x-correlation-id").unwrap());
    assert!(answer.text().contains("\"balance\":15.00"), "{}", answer.text());
}

#[test]
fn an_atomic_batch_sees_its_own_effects() {
    let service = Service::start();
    let atomic = MIXED.replacen("{\"operations\"", "{\"atomic\":true,\"operations\"", 1);
    let atomic = atomic.replace("\"missing\"", "\"a\"").replace("\"amount\":\"15\"", "\"amount\":\"13\"");
    let answer = service.post("/batch", &atomic);
    assert_eq!(statuses(&answer.json()), [201, 200, 200, 201, 200, 200], "{}", answer.text());
    assert_eq!((service.balance_at("a", 5), service.balance_at("b", 2)), ("0.00".into(), "13.00".into()));
}

#[test]
fn a_refused_atomic_batch_does_nothing_and_names_each_refusal() {
    let service = Service::start();
    let atomic = MIXED.replacen("{\"operations\"", "{\"atomic\":true,\"operations\"", 1);
    let problem = service.post("/batch", &atomic).expect_problem(422, "batch-refused");
    assert_eq!(problem["errors"][0]["index"], 2);
    assert_eq!(problem["errors"][0]["code"], "wallet-not-found");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("missing"));
    service.get("/wallets/a/events").expect_problem(404, "wallet-not-found");
}

#[test]
fn the_header_key_covers_the_whole_request() {
    let service = Service::start();
    let post = |body: &str| service.post_with("/batch", &[("Idempotency-Key", "k")], body);
    for body in [MIXED.to_owned(), MIXED.replacen('{', "{\"atomic\":false,", 1)] {
        let answer = post(&body);
        assert_eq!(statuses(&answer.json()), [201, 200, 404, 201, 200, 422]);
        assert_eq!(answer.replayed(), body != MIXED);
    }
    post(&MIXED.replacen('{', "{\"atomic\":true,", 1)).expect_problem(422, "idempotency-key-reused");
    assert_eq!(service.versions("a"), 3);
}

#[test]
fn each_independent_operation_may_have_its_own_key() {
    let service = Service::start();
    service.create("w", "0");
    let batch = r#"{"operations":[
        {"type":"credit","walletId":"w","amount":1,"idempotencyKey":"k1"},
        {"type":"credit","walletId":"w","amount":2,"idempotencyKey":"k2"}]}"#;
    let first = service.post("/batch", batch).json();
    let again = service.post("/batch", &batch.replace("k2", "k3")).json();
    assert_eq!(statuses(&first), [200, 200]);
    assert!(first["results"][0].get("replayed").is_none());
    assert_eq!(again["results"][0]["replayed"], true);
    assert_eq!(again["results"][0]["body"], first["results"][0]["body"]);
    assert!(again["results"][1].get("replayed").is_none());
    let other = service.post("/batch", &batch.replace("\"amount\":2", "\"amount\":3")).json();
    assert_eq!(other["results"][1]["body"]["code"], "idempotency-key-reused");
    assert_eq!(service.versions("w"), 4);
}

#[test]
fn a_mistaken_operation_of_an_independent_batch_fails_alone() {
    let service = Service::start();
    service.create("w", "0");
    let batch = r#"{"operations":[
        {"type":"debit","walletId":"w","amount":"x","note":1},
        {"type":"credit","walletId":"w","amount":2,"idempotencyKey":"k"},
        {"type":"credit","walletId":"w","amount":"0.001"},
        {"type":"credit","walletId":"w","amount":3,"idempotencyKey":"k"},
        {"type":"create","walletId":"v","ownerId":"o"},
        {}]}"#;
    let answer = service.post("/batch", batch);
    let body = answer.json();
    assert_eq!(statuses(&body), [400, 200, 400, 400, 201, 400], "{}", answer.text());
    for (index, expected) in [
        (0, vec!["note unknown", "amount not-a-number"]),
        (2, vec!["amount too-precise"]),
        (3, vec!["idempotencyKey duplicate"]),
        (5, vec!["type required"]),
    ] {
        let problem = &body["results"][index]["body"];
        assert_eq!((&problem["code"], &problem["status"]), (&"validation-failed".into(), &400.into()), "{problem}");
        assert_eq!(problem["correlationId"], answer.header("x-correlation-id").unwrap());
        assert_eq!(mistakes(problem), expected);
        assert!(problem["errors"].as_array().unwrap().iter().all(|error| error["index"] == index), "{problem}");
    }
    assert_eq!(service.versions("w"), 2);
}

#[test]
fn the_key_of_a_mistaken_operation_stays_free() {
    let service = Service::start();
    service.create("w", "0");
    let batch = |amount: &str| {
        let body =
            format!(r#"{{"operations":[{{"type":"credit","walletId":"w","amount":{amount},"idempotencyKey":"k"}}]}}"#);
        service.post("/batch", &body).json()
    };
    assert_eq!(statuses(&batch("0")), [400]);
    assert_eq!(statuses(&batch("\"0.001\"")), [400]);
    let corrected = batch("1");
    assert_eq!((statuses(&corrected), corrected["results"][0].get("replayed")), (vec![200], None));
}

#[test]
fn the_header_key_covers_mistaken_operations_too() {
    let service = Service::start();
    service.create("w", "0");
    let post = |amount: &str| {
        let body = format!(
            r#"{{"operations":[{{"type":"debit","walletId":"w","amount":{amount}}},{{"type":"credit","walletId":"w","amount":1}}]}}"#
        );
        service.post_with("/batch", &[("Idempotency-Key", "k")], &body)
    };
    let first = post("0");
    assert_eq!(statuses(&first.json()), [400, 200]);
    let again = post("0");
    assert_eq!((again.replayed(), again.body), (true, first.body));
    // The other operation was carried out under this key.
    post("1").expect_problem(422, "idempotency-key-reused");
    assert_eq!(service.versions("w"), 2);

    // Where none was, nothing is stored.
    let nothing = r#"{"operations":[{"type":"debit","walletId":"w","amount":0}]}"#;
    let with_key = |body: &str| service.post_with("/batch", &[("Idempotency-Key", "free")], body).json();
    assert_eq!(statuses(&with_key(nothing)), [400]);
    assert_eq!(statuses(&with_key(&nothing.replace(":0", ":1"))), [200]);
}

#[test]
fn mistakes_in_the_request_itself_or_in_an_atomic_one_refuse_the_whole() {
    let service = Service::start();
    service.create("w", "0");
    let keyed = r#"{"operations":[{"type":"credit","walletId":"w","amount":1,"idempotencyKey":"k"}]}"#;
    let beside_header = service.post_with("/batch", &[("Idempotency-Key", "h")], keyed);
    let problem = beside_header.expect_problem(400, "validation-failed");
    assert_eq!(mistakes(&problem), ["operations[0].idempotencyKey not-applicable"]);
    let too_many = vec![r#"{"type":"credit","walletId":"w","amount":1}"#; 1_001].join(",");
    let mistaken = r#"{"operations":[{"type":"credit","walletId":"w","amount":1},{"type":"debit","walletId":"w"}]}"#;
    for (body, expected) in [
        (keyed.replacen('{', "{\"atomic\":true,", 1), vec!["operations[0].idempotencyKey not-applicable"]),
        (format!("{{\"operations\":[{too_many}]}}"), vec!["operations too-many"]),
        (r#"{"operations":[]}"#.to_owned(), vec!["operations required"]),
        (mistaken.replacen('{', "{\"atomic\":true,", 1), vec!["operations[1].amount required"]),
        (mistaken.replacen('{', "{\"x\":1,", 1), vec!["x unknown", "operations[1].amount required"]),
        (mistaken.replace("}]", "},7]"), vec!["operations[2] type", "operations[1].amount required"]),
    ] {
        let problem = service.post("/batch", &body).expect_problem(400, "validation-failed");
        assert_eq!(mistakes(&problem), expected);
    }
    assert_eq!(service.versions("w"), 1);
    let conditional = service.post_with("/batch", &[("If-Match", "\"1\"")], MIXED);
    assert_eq!(mistakes(&conditional.expect_problem(400, "validation-failed")), ["If-Match not-applicable"]);
}
