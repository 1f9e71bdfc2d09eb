use std::sync::Arc;

use wallex_core::currency::Currency;
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Version, WalletId};
use wallex_core::projector::EntryKind;
use wallex_core::time::Timestamp;

use super::*;

fn rendered(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn usd(digits: &str) -> Money {
    Money::parse(digits, Currency::parse("USD").unwrap()).unwrap()
}

fn example() -> Wallet {
    Wallet {
        id: WalletId::parse("w:1").unwrap(),
        owner_id: OwnerId::parse("o-1").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        balance: usd("150"),
        version: Version(2),
        created_at: Timestamp::parse("2026-11-21T06:17:07.123456Z").unwrap(),
        updated_at: Timestamp::parse("2026-11-21T06:17:08Z").unwrap(),
    }
}

#[test]
fn a_snapshot_has_exact_digits_as_number_or_string() {
    let number = r#"{"id":"w:1","ownerId":"o-1","currency":"USD","balance":150.00,"version":2,"createdAt":"2026-11-21T06:17:07.123456Z","updatedAt":"2026-11-21T06:17:08.000000Z"}"#;
    assert_eq!(rendered(|out| wallet(&example(), MoneyFormat::Number, out)), number);
    let string = number.replace("150.00", "\"150.00\"");
    assert_eq!(rendered(|out| wallet(&example(), MoneyFormat::String, out)), string);
}

#[test]
fn a_ledger_entry_has_every_member_and_null_for_what_it_has_not() {
    let command_id = CommandId::new(Timestamp::from_micros(1_000_000), 7);
    let mut entry = LedgerEntry {
        event_id: command_id.event_id(0),
        wallet_id: WalletId::parse("a").unwrap(),
        version: Version(3),
        kind: EntryKind::TransferOut,
        amount: usd("-0.05"),
        balance: usd("1"),
        currency: Currency::parse("USD").unwrap(),
        transfer_id: Some(command_id.event_id(0).into()),
        counterparty: Some(WalletId::parse("b").unwrap()),
        description: Some(Arc::from("a \"quoted\"\nline")),
        occurred_at: Timestamp::from_micros(0),
        command_id,
        correlation_id: CorrelationId::parse("c").unwrap(),
    };
    let full: serde_json::Value =
        serde_json::from_str(&rendered(|out| ledger_entry(&entry, MoneyFormat::String, out))).unwrap();
    let members: Vec<_> = full.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "eventId",
        "walletId",
        "version",
        "type",
        "amount",
        "balance",
        "currency",
        "transferId",
        "counterpartyWalletId",
        "description",
        "occurredAt",
        "commandId",
        "correlationId",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(full["amount"], "-0.05");
    assert_eq!(full["type"], "transfer_out");
    assert_eq!(full["description"], "a \"quoted\"\nline");
    entry.transfer_id = None;
    entry.counterparty = None;
    entry.description = None;
    let bare: serde_json::Value =
        serde_json::from_str(&rendered(|out| ledger_entry(&entry, MoneyFormat::Number, out))).unwrap();
    assert!(bare["transferId"].is_null() && bare["counterpartyWalletId"].is_null() && bare["description"].is_null());
    assert!(bare["amount"].is_number());
}

#[test]
fn a_list_says_where_it_goes_on() {
    let write = |number: &u64, out: &mut Vec<u8>| super::number(*number, out);
    assert_eq!(rendered(|out| list(&[1, 2], Some("c"), write, out)), r#"{"items":[1,2],"nextCursor":"c"}"#);
    assert_eq!(rendered(|out| list(&[], None, write, out)), r#"{"items":[],"nextCursor":null}"#);
}

#[test]
fn every_text_survives_as_a_json_string() {
    for text in ["", "plain", "\"\\\n\r\t\u{0}\u{1f}\u{7f}", "ä€𝄞"] {
        let json = rendered(|out| string(text, out));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
