//! Contract, section 2: what repeats of a request get.

use crate::harness::{Answer, Service, mistakes};

fn keyed(service: &Service, path: &str, key: &str, body: &str) -> Answer {
    service.post_with(path, &[("Idempotency-Key", key)], body)
}

#[test]
fn a_repeat_gets_the_same_bytes_and_takes_no_effect() {
    let service = Service::start();
    service.create("a", "100");
    service.create("b", "0");
    for (path, body) in [
        ("/wallets", r#"{"ownerId":"o"}"#),
        ("/wallets/a/credit", r#"{"amount":1}"#),
        ("/wallets/a/debit", r#"{"amount":1}"#),
        ("/wallets/a/transfer", r#"{"toWalletId":"b","amount":1}"#),
    ] {
        let first = keyed(&service, path, "key-1", body);
        let again = keyed(&service, path, "key-1", body);
        assert!(first.status < 300 && !first.replayed(), "{path}");
        assert!(again.replayed(), "{path}");
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert_eq!(again.header("etag"), first.header("etag"));
        assert_eq!(again.header("location"), first.header("location"));
    }
    assert_eq!((service.versions("a"), service.versions("b")), (4, 2));
}

#[test]
fn refusals_are_replayed_with_the_correlation_of_the_first_attempt() {
    let service = Service::start();
    service.create("a", "1");
    let debit = |correlation| {
        let headers = [("Idempotency-Key", "k"), ("X-Correlation-Id", correlation)];
        service.post_with("/wallets/a/debit", &headers, r#"{"amount":2}"#)
    };
    let first = debit("first");
    first.expect_problem(422, "insufficient-funds");
    // The money is there now, and still the answer is the first one.
    assert_eq!(service.post("/wallets/a/credit", r#"{"amount":5}"#).status, 200);
    let again = debit("second");
    assert!(again.replayed());
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("x-correlation-id"), Some("second"));
    assert_eq!(again.json()["correlationId"], "first");
}

#[test]
fn the_meaning_of_the_payload_counts_and_not_its_bytes() {
    let service = Service::start();
    service.create("a", "0");
    assert_eq!(keyed(&service, "/wallets/a/credit", "k", r#"{"amount":1.5,"description":"d"}"#).status, 200);
    let same = keyed(&service, "/wallets/a/credit", "\"k\"", r#" { "description":"d", "amount":"1.50" } "#);
    assert!(same.replayed());
    for other in [r#"{"amount":1.51,"description":"d"}"#, r#"{"amount":1.5}"#] {
        keyed(&service, "/wallets/a/credit", "k", other).expect_problem(422, "idempotency-key-reused");
    }
    service.create("b", "0");
    keyed(&service, "/wallets/b/credit", "k", r#"{"amount":1.5,"description":"d"}"#)
        .expect_problem(422, "idempotency-key-reused");
    assert!(!keyed(&service, "/wallets/a/debit", "k", r#"{"amount":1.5,"description":"d"}"#).replayed());
    assert_eq!(service.versions("a"), 3);
}

#[test]
fn a_request_that_fails_validation_leaves_its_key_free() {
    let service = Service::start();
    service.create("a", "0");
    for wrong in [r#"{"amount":0}"#, r#"{"amount":"x"}"#, "{", r#"{"amount":"0.001"}"#] {
        assert_eq!(keyed(&service, "/wallets/a/credit", "k", wrong).status, 400, "{wrong}");
    }
    let corrected = keyed(&service, "/wallets/a/credit", "k", r#"{"amount":1}"#);
    assert_eq!((corrected.status, corrected.replayed()), (200, false));
}

#[test]
fn keys_that_are_none_are_refused() {
    let service = Service::start();
    service.create("a", "0");
    let too_long = "k".repeat(256);
    for key in ["", "\"\"", "two words", "\"open", &too_long] {
        keyed(&service, "/wallets/a/credit", key, r#"{"amount":1}"#).expect_problem(400, "idempotency-key-invalid");
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    service.post_with("/wallets/a/credit", &twice, r#"{"amount":1}"#).expect_problem(400, "idempotency-key-invalid");
    // Members are checked before the key.
    let both = keyed(&service, "/wallets/a/credit", "", r#"{}"#).expect_problem(400, "validation-failed");
    assert_eq!(mistakes(&both), ["amount required"]);
    assert_eq!(keyed(&service, "/wallets/a/credit", &"k".repeat(255), r#"{"amount":1}"#).status, 200);
}

#[test]
fn answers_are_replayed_after_a_restart() {
    let mut service = Service::start();
    service.create("a", "10");
    let first = keyed(&service, "/wallets/a/debit", "k", r#"{"amount":4}"#);
    let refused = keyed(&service, "/wallets/a/debit", "r", r#"{"amount":40}"#);
    service.restart();
    let again = keyed(&service, "/wallets/a/debit", "k", r#"{"amount":4}"#);
    assert!(again.replayed());
    assert_eq!(again.body, first.body);
    let refused_again = keyed(&service, "/wallets/a/debit", "r", r#"{"amount":40}"#);
    assert!(refused_again.replayed());
    assert_eq!(refused_again.body, refused.body);
    keyed(&service, "/wallets/a/debit", "k", r#"{"amount":5}"#).expect_problem(422, "idempotency-key-reused");
    assert_eq!(service.balance_at("a", 2), "6.00");
}

#[test]
fn many_at_once_under_one_key_take_effect_once() {
    let service = Service::start();
    service.create("a", "0");
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let attempts: Vec<_> =
            (0..16).map(|_| scope.spawn(|| keyed(&service, "/wallets/a/credit", "k", r#"{"amount":1}"#))).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
    });
    let executed: Vec<_> = answers.iter().filter(|answer| answer.status == 200 && !answer.replayed()).collect();
    assert_eq!(executed.len(), 1);
    for answer in &answers {
        if answer.status == 200 {
            assert_eq!(answer.body, executed[0].body);
        } else {
            answer.expect_problem(409, "idempotency-key-in-flight");
            assert!(answer.header("retry-after").is_some());
        }
    }
    assert_eq!(service.versions("a"), 2);
}
