use super::*;
use crate::http::problem::Code;

fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

fn wallet(id: &str) -> WalletId {
    WalletId::parse(id).unwrap()
}

fn created(body: &str) -> Result<Parsed, Problem> {
    create(body.as_bytes(), usd(), || wallet("made"))
}

fn credited(body: &str) -> Result<Parsed, Problem> {
    movement(body.as_bytes(), Movement::Credit, wallet("w"))
}

/// The mistakes of a problem as `field code`.
fn mistakes(problem: &Problem) -> Vec<String> {
    problem.errors().iter().map(|error| format!("{} {}", error.field, error.code)).collect()
}

fn amount_of(parsed: &Parsed) -> Amount {
    let Operation::Credit(credit) = &parsed.operation else { panic!("{:?} is no credit", parsed.operation) };
    credit.amount
}

#[test]
fn money_is_read_from_its_digits_in_a_string_or_a_number() {
    for (json, digits) in [
        ("100", "100"),
        ("0.1", "0.1"),
        ("\"0.10\"", "0.1"),
        ("999999999999.99", "999999999999.99"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("\"\\u0031\\u0030\"", "10"),
    ] {
        let parsed = credited(&format!("{{\"amount\":{json}}}")).unwrap();
        assert_eq!(amount_of(&parsed), Amount::parse(digits).unwrap(), "{json}");
    }
}

#[test]
fn what_is_no_amount_is_refused_with_its_field() {
    for (json, code) in [
        ("1e2", "not-a-number"),
        ("1E+2", "not-a-number"),
        ("\"1e2\"", "not-a-number"),
        ("\"\"", "not-a-number"),
        ("\" 1\"", "not-a-number"),
        ("\"+1\"", "not-a-number"),
        ("\"NaN\"", "not-a-number"),
        ("0", "not-positive"),
        ("-0.00", "not-positive"),
        ("-5", "not-positive"),
        ("1000000000000.01", "too-large"),
        ("99999999999999999999999999999999999999", "too-large"),
        ("true", "type"),
        ("[1]", "type"),
        ("{}", "type"),
        ("null", "required"),
    ] {
        let problem = credited(&format!("{{\"amount\":{json}}}")).unwrap_err();
        assert_eq!(mistakes(&problem), [format!("amount {code}")], "{json}");
    }
}

#[test]
fn several_mistakes_are_reported_together() {
    let problem =
        created(r#"{"walletId":"a b","initialBalance":"1.001","currency":"USD","x":1,"initialBalance":"1.001"}"#);
    assert_eq!(
        mistakes(&problem.unwrap_err()),
        ["x unknown", "initialBalance duplicate", "walletId format", "ownerId required", "initialBalance too-precise"]
    );
    let problem = movement(br#"{"description":7,"ownerId":"o","atomic":true}"#, Movement::Transfer, wallet("w"));
    assert_eq!(
        mistakes(&problem.unwrap_err()),
        ["atomic unknown", "ownerId unknown", "toWalletId required", "amount required", "description type"]
    );
}

#[test]
fn a_creation_takes_its_defaults() {
    let parsed = created(r#"{"ownerId":"o"}"#).unwrap();
    let expected = Create {
        wallet_id: wallet("made"),
        owner_id: OwnerId::parse("o").unwrap(),
        currency: usd(),
        initial_balance: Money::zero(usd()),
    };
    assert_eq!(parsed, Parsed { operation: Operation::Create(expected), wallet_id_made: true });
    let explicit = created(r#"{"ownerId":"o","walletId":null,"currency":null,"initialBalance":null}"#).unwrap();
    assert_eq!(explicit, parsed);
}

#[test]
fn an_opening_balance_is_zero_or_more_in_the_currency_asked_for() {
    for (members, code) in [
        (r#""initialBalance":-0.01"#, "initialBalance negative"),
        (r#""initialBalance":"1000000000000.01""#, "initialBalance too-large"),
        (r#""initialBalance":0.5,"currency":"JPY""#, "initialBalance too-precise"),
        (r#""initialBalance":1,"currency":"XXX""#, "currency format"),
        (r#""currency":5"#, "currency type"),
    ] {
        assert_eq!(mistakes(&created(&format!("{{\"ownerId\":\"o\",{members}}}")).unwrap_err()), [code], "{members}");
    }
    assert!(created(r#"{"ownerId":"o","initialBalance":0,"currency":"BHD"}"#).is_ok());
}

#[test]
fn a_wrong_currency_does_not_hide_what_is_wrong_with_the_opening_balance() {
    for (balance, code) in [
        ("\"x\"", Some("not-a-number")),
        ("-1", Some("negative")),
        ("true", Some("type")),
        ("1000000000001", Some("too-large")),
        // Too precise for some currencies: that cannot be said without one.
        ("0.001", None),
        ("0.00001", None),
    ] {
        let problem = created(&format!("{{\"ownerId\":\"o\",\"currency\":\"XXX\",\"initialBalance\":{balance}}}"));
        let mut expected = vec!["currency format".to_owned()];
        expected.extend(code.map(|code| format!("initialBalance {code}")));
        assert_eq!(mistakes(&problem.unwrap_err()), expected, "{balance}");
    }
}

#[test]
fn what_is_no_json_object_is_told_apart() {
    for body in [
        "",
        "  ",
        "{",
        "{\"amount\":1}x",
        "{\"amount\":1,}",
        "{'amount':1}",
        "{\"amount\":01}",
        "nul",
        "{\"a\":\"\u{1}\"}",
    ] {
        assert_eq!(credited(body).unwrap_err().code(), Code::MalformedJson, "{body:?}");
    }
    assert_eq!(
        movement(b"{\"amount\":\"\xff\"}", Movement::Debit, wallet("w")).unwrap_err().code(),
        Code::MalformedJson
    );
    for body in ["1", "\"x\"", "null", "true", "[1,{\"amount\":1}]", "1.5", "-3"] {
        assert_eq!(mistakes(&credited(body).unwrap_err()), ["(body) type"], "{body:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(credited(&format!("{{\"amount\":{deep}}}")).is_err());
    assert!(credited(&deep).is_err());
}

#[test]
fn a_description_is_bounded_in_characters_and_has_no_control_characters() {
    let with = |description: &str| {
        credited(&format!("{{\"amount\":1,\"description\":{}}}", serde_json::to_string(description).unwrap()))
    };
    assert!(with(&"ä".repeat(500)).is_ok());
    assert!(with("").is_ok());
    assert_eq!(mistakes(&with(&"x".repeat(501)).unwrap_err()), ["description too-long"]);
    for text in ["a\nb", "a\u{7f}b", "\u{0}", "\u{85}"] {
        assert_eq!(mistakes(&with(text).unwrap_err()), ["description format"], "{text:?}");
    }
    assert_eq!(mistakes(&credited(r#"{"amount":1,"description":"\ud800"}"#).unwrap_err()), ["description format"]);
}

fn batched(body: &str) -> Result<ParsedBatch, Problem> {
    batch(body.as_bytes(), 3, usd(), |index| wallet(&format!("made-{index}")))
}

#[test]
fn a_batch_reads_every_kind_of_operation() {
    let parsed = batched(
        r#"{"operations":[
            {"type":"create","ownerId":"o"},
            {"type":"transfer","walletId":"a","toWalletId":"b","amount":1,"idempotencyKey":"k"},
            {"walletId":"a","amount":"2","description":"d","type":"debit"}
        ],"atomic":false}"#,
    )
    .unwrap();
    assert!(!parsed.atomic);
    let items: Vec<_> = parsed.items.into_iter().map(|item| item.ok().unwrap()).collect();
    assert_eq!(items.len(), 3);
    assert_eq!(items[0].parsed.operation.subject().as_str(), "made-0");
    assert_eq!(items[1].key.as_deref(), Some("k"));
    assert!(matches!(items[2].parsed.operation, Operation::Debit(_)));
}

#[test]
fn a_malformed_batch_is_refused_with_all_its_mistakes() {
    for (body, expected) in [
        (r#"{}"#, vec!["operations required"]),
        (r#"[]"#, vec!["(body) type", "operations required"]),
        (r#"{"operations":[]}"#, vec!["operations required"]),
        (r#"{"operations":{}}"#, vec!["operations type"]),
        (r#"{"operations":null}"#, vec!["operations type"]),
        (r#"{"operations":[1]}"#, vec!["operations[0] type"]),
        (r#"{"operations":[1,{}]}"#, vec!["operations[0] type", "operations[1].type required"]),
        (
            r#"{"operations":[{"type":"credit","walletId":"a","amount":1},{"type":"debit","ownerId":"o","amount":0}],"x":1}"#,
            vec![
                "x unknown",
                "operations[1].ownerId unknown",
                "operations[1].walletId required",
                "operations[1].amount not-positive",
            ],
        ),
        (r#"{"atomic":"yes","operations":[{"type":"create","ownerId":"o"}]}"#, vec!["atomic type"]),
        (
            r#"{"operations":[{"type":"create","ownerId":"o"},{"type":"create","ownerId":"o"},{"type":"create","ownerId":"o"},{}]}"#,
            vec!["operations too-many"],
        ),
    ] {
        assert_eq!(mistakes(&batched(body).err().unwrap()), expected, "{body}");
    }
}

#[test]
fn a_mistake_in_an_operation_is_its_own_unless_the_batch_is_atomic() {
    for (operation, expected) in [
        (r#"{}"#, vec!["type required"]),
        (r#"{"type":"refund"}"#, vec!["type format"]),
        (
            r#"{"type":"debit","ownerId":"o","amount":0}"#,
            vec!["ownerId unknown", "walletId required", "amount not-positive"],
        ),
        (r#"{"type":"create","ownerId":"o","idempotencyKey":"a b"}"#, vec!["idempotencyKey format"]),
        (r#"{"type":"create","ownerId":"o","x":1,"ownerId":"o"}"#, vec!["x unknown", "ownerId duplicate"]),
    ] {
        let body = format!(r#"{{"operations":[{{"type":"create","ownerId":"o"}},{operation}]}}"#);
        let items = batched(&body).ok().unwrap().items;
        assert!(items[0].is_ok(), "{body}");
        let mistaken = items[1].as_ref().err().unwrap();
        assert_eq!(mistakes(&Problem::validation(mistaken.errors.clone())), expected, "{body}");
        let expected: Vec<_> = expected.iter().map(|mistake| format!("operations[1].{mistake}")).collect();
        let atomic = body.replacen('{', "{\"atomic\":true,", 1);
        assert_eq!(mistakes(&batched(&atomic).err().unwrap()), expected, "{body}");
    }
}
