//! Pages of made-up runs, small and large.

use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

use super::{KINDS, Page};
use crate::check::{Invariant, Violation};
use crate::trace::{Kind, Note, Record, WalletState};

const LANES: [&str; 9] =
    ["client-0", "client-1", "client-2", "instance-0", "instance-1", "event-store", "database", "broker", "leases"];

fn record(step: u64, at_us: i64, lane: u16, kind: Kind) -> Record {
    Record { step, at_us, lane, kind, peer: None, message: 0, note: Note::default() }
}

/// So many messages between clients, instances and servers, with faults among them.
fn run(messages: u64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 0_i64;
    for message in 1..=messages {
        let wallet = WalletId::parse(&format!("w{}", message % 7)).unwrap();
        let (from, to) =
            if message % 3 == 0 { (message % 3, 3 + message % 2) } else { (3 + message % 2, 5 + message % 4) };
        at += 137 + ((message * 7_919) % 900) as i64;
        let name = ["submit", "append", "load", "publish"][(message % 4) as usize].to_owned();
        let note = |text: &str| Note {
            name: name.clone(),
            text: text.to_owned(),
            wallets: vec![wallet.clone()],
            states: vec![],
        };
        let step = records.len() as u64 + 1;
        let message_of = |kind, step, at_us, lane: u64, peer: u64| Record {
            peer: Some(peer as u16),
            message,
            note: note(&format!("{name} for {wallet}, </script> \"quoted\"")),
            ..record(step, at_us, lane as u16, kind)
        };
        records.push(message_of(Kind::Send, step, at, from, to));
        let arrived = at + 400 + ((message * 31) % 13) as i64 * 60;
        let kind = if message % 17 == 0 { Kind::Drop } else { Kind::Deliver };
        records.push(message_of(kind, step + 1, arrived, to, from));
        if name == "append" {
            let state = WalletState { wallet: wallet.clone(), version: message, balance: message as i64 * 150 };
            let note = Note { states: vec![state], ..note(&format!("version {message}")) };
            records.push(Record { note, ..record(step + 2, arrived + 10, 5, Kind::Append) });
        }
        if message % 40 == 20 {
            let note = Note { name: "crash".to_owned(), text: "instance-0 dies".to_owned(), ..Note::default() };
            records.push(Record { note, ..record(step + 3, arrived + 20, 3, Kind::Crash) });
        }
        if message % 40 == 30 {
            records.push(record(step + 3, arrived + 20, 3, Kind::Restart));
        }
        if message % 25 == 5 {
            let note =
                Note { name: "partition".to_owned(), text: "broker cannot be reached".to_owned(), ..Note::default() };
            records.push(Record { note, ..record(step + 3, arrived + 30, 7, Kind::Fault) });
        }
    }
    records.sort_by_key(|record| record.at_us);
    (1..).zip(&mut records).for_each(|(step, record)| record.step = step);
    records
}

fn page(records: &[Record], violations: &[Violation]) -> String {
    let page = Page {
        title: "seed 42 (storm, production)".to_owned(),
        facts: vec![("seed".to_owned(), "42".to_owned()), ("hash".to_owned(), "0123abcd".to_owned())],
        lanes: (0..).zip(LANES).map(|(number, name)| (number, name.to_owned())).collect(),
        records,
        began: Timestamp::from_micros(0),
        violations,
        panic: None,
    };
    page.html()
}

fn violation(records: &[Record]) -> Violation {
    let last = &records[records.len() * 2 / 3];
    Violation {
        invariant: Invariant(5),
        text: "command 01a3 took effect in a second append".to_owned(),
        at: Timestamp::from_micros(last.at_us),
        step: last.step,
        wallet: Some(WalletId::parse("w3").unwrap()),
    }
}

#[test]
fn the_data_survives_the_page_and_closes_no_tag() {
    let records = run(30);
    let html = page(&records, &[violation(&records)]);
    let begin = html.find("type=\"application/json\">").unwrap() + "type=\"application/json\">".len();
    let end = begin + html[begin..].find("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(&html[begin..end]).unwrap();
    assert_eq!(data["records"].as_array().unwrap().len(), records.len());
    assert_eq!(data["violations"][0]["invariant"], "INV-05");
    assert!(data["records"][0][7].as_str().unwrap().contains("</script> \"quoted\""));
}

#[test]
fn a_page_of_a_crash_holds_the_words_of_the_panic() {
    let page = Page {
        title: "crash".to_owned(),
        facts: vec![],
        lanes: vec![],
        records: &[],
        began: Timestamp::from_micros(0),
        violations: &[],
        panic: Some("index out of bounds <here>"),
    };
    assert!(page.html().contains("\"panic\":\"index out of bounds \\u003chere>\""));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let html = page(&run(3), &[]);
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn kinds_have_the_numbers_that_the_page_knows_them_by() {
    for (number, kind) in KINDS.iter().enumerate() {
        assert_eq!(*kind as usize, number);
    }
}

/// With `WALLEX_PAGE_DIR` the pages are left there, to be looked at.
#[test]
fn pages_of_ten_and_ten_thousand_messages_are_made() {
    for messages in [10, 10_000] {
        let records = run(messages);
        let html = page(&records, &[violation(&records)]);
        assert!(html.len() < 400 * records.len() + 60_000, "{} bytes for {} records", html.len(), records.len());
        if let Ok(dir) = std::env::var("WALLEX_PAGE_DIR") {
            std::fs::write(format!("{dir}/{messages}.html"), html).unwrap();
        }
    }
}
