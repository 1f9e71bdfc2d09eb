use hyper::body::Body as _;
use serde_json::Value;
use wallex_core::currency::Currency;
use wallex_core::id::{Version, WalletId};
use wallex_core::money::{Amount, Money};

use super::*;

fn correlation() -> CorrelationId {
    CorrelationId::parse("c-1").unwrap()
}

fn body(response: &Response<Body>) -> Value {
    assert!(response.body().size_hint().exact().is_some());
    let Body::Whole(bytes) = response.body() else { panic!("a problem is in one piece") };
    serde_json::from_slice(bytes).unwrap()
}

fn refusals() -> Vec<(Rejection, u16, &'static str)> {
    let wallet_id = WalletId::parse("w").unwrap();
    let (usd, jpy) = (Currency::parse("USD").unwrap(), Currency::parse("JPY").unwrap());
    let (balance, requested) = (Money::zero(usd), Money::from_minor_units(150, usd));
    let id = || wallet_id.clone();
    let missing = Rejection::WalletNotFound { wallet_id: id() };
    vec![
        (missing.clone(), 404, "wallet-not-found"),
        (Rejection::WalletExists { wallet_id: id() }, 409, "wallet-exists"),
        (
            Rejection::InsufficientFunds { wallet_id: id(), balance, requested, currency: usd },
            422,
            "insufficient-funds",
        ),
        (Rejection::SameWallet { wallet_id: id() }, 422, "same-wallet"),
        (Rejection::CurrencyMismatch { from: usd, to: jpy }, 422, "currency-mismatch"),
        (Rejection::BalanceLimit { wallet_id: id() }, 422, "balance-limit"),
        (
            Rejection::VersionMismatch { wallet_id: id(), expected: Version(1), actual: Version(2) },
            412,
            "version-mismatch",
        ),
        (
            Rejection::AmountTooPrecise { amount: Amount::parse("0.5").unwrap(), currency: jpy },
            400,
            "validation-failed",
        ),
        (Rejection::RefusedEarlier { wallet_id: id() }, 422, "refused-earlier"),
        (Rejection::Batch { refused: vec![Refused { index: 3, rejection: missing }] }, 422, "batch-refused"),
    ]
}

#[test]
fn every_refusal_has_its_status_and_the_code_of_the_core() {
    for (rejection, status, code) in refusals() {
        assert_eq!(rejection.code(), code);
        let detail = rejection.to_string();
        let response = Problem::refused(rejection).response(&correlation());
        assert_eq!(response.status().as_u16(), status, "{code}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem = body(&response);
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
        assert_eq!((&problem["detail"], &problem["correlationId"]), (&detail.into(), &"c-1".into()));
    }
}

#[test]
fn refusals_carry_what_a_client_needs_to_go_on() {
    let of = |wanted: &str| {
        let (rejection, ..) = refusals().into_iter().find(|(_, _, code)| *code == wanted).unwrap();
        body(&Problem::refused(rejection).response(&correlation()))
    };
    assert_eq!(of("version-mismatch")["currentVersion"], 2);
    assert_eq!(of("validation-failed")["errors"][0]["field"], "amount");
    assert_eq!(of("batch-refused")["errors"][0]["index"], 3);
    assert_eq!(of("batch-refused")["errors"][0]["code"], "wallet-not-found");
}

#[test]
fn what_may_be_tried_again_says_when() {
    let retry_after = |problem: Problem| problem.response(&correlation()).headers().get(RETRY_AFTER).is_some();
    assert!(retry_after(Problem::unavailable(Unavailable::Overloaded)));
    assert!(retry_after(Problem::new(Code::IdempotencyKeyInFlight, "x")));
    assert!(!retry_after(Problem::new(Code::WalletExists, "x")));
    let unknown = Problem::outcome_unknown().response(&correlation());
    assert_eq!(unknown.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[test]
fn text_of_clients_cannot_break_the_json() {
    let errors = vec![FieldError::new("a\"b\\\n", "unknown", "is \"odd\"")];
    let problem = body(&Problem::validation(errors).response(&correlation()));
    assert_eq!(problem["errors"][0]["field"], "a\"b\\\n");
    assert_eq!(problem["detail"], "a\"b\\\n is \"odd\"");
}

#[test]
fn a_thousand_mistakes_are_counted_and_a_hundred_are_named() {
    let errors = (0..1_000).map(|number| FieldError::new(format!("m{number}"), "unknown", "x")).collect();
    let problem = body(&Problem::validation(errors).response(&correlation()));
    assert_eq!(problem["errors"].as_array().unwrap().len(), FIELD_ERRORS_MAX);
    assert!(problem["detail"].as_str().unwrap().starts_with("1000 mistakes"));
}
