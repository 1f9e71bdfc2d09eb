//! What the service shows: events, read model and ledger of a wallet, read over HTTP into plain numbers.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Client, Reply};

/// One event, money in cents. Outgoing money is negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) wallet: String,
    pub(crate) version: u64,
    pub(crate) kind: String,
    pub(crate) change: i64,
    pub(crate) balance: i64,
    pub(crate) transfer: Option<(String, String)>,
    pub(crate) correlation: String,
}

/// A wallet as an answer or the read model shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) wallet: String,
    pub(crate) version: u64,
    pub(crate) balance: i64,
}

/// One ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) event: String,
    pub(crate) version: u64,
    pub(crate) kind: String,
    pub(crate) change: i64,
    pub(crate) balance: i64,
}

/// Whole cents of a JSON number or string of digits.
pub(crate) fn cents(json: &RawValue) -> i64 {
    let text = json.get().trim_matches('"');
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').expect("money has its decimal places");
    assert_eq!(fraction.len(), 2, "money has two decimal places: {text}");
    sign * format!("{whole}{fraction}").parse::<i64>().expect("money is digits")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEvent<'a> {
    event_id: String,
    stream: String,
    version: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: RawData<'a>,
    metadata: RawMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawData<'a> {
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    balance: &'a RawValue,
    transfer_id: Option<String>,
    counterparty_wallet_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    correlation_id: String,
}

#[derive(Deserialize)]
struct RawSnapshot<'a> {
    id: String,
    version: u64,
    #[serde(borrow)]
    balance: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry<'a> {
    event_id: String,
    version: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    amount: &'a RawValue,
    #[serde(borrow)]
    balance: &'a RawValue,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> T {
    serde_json::from_slice(json).unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(json)))
}

/// A snapshot from an answer's body.
pub(crate) fn snapshot(json: &[u8]) -> Snapshot {
    let raw: RawSnapshot<'_> = parse(json);
    Snapshot { wallet: raw.id, version: raw.version, balance: cents(raw.balance) }
}

/// Reads until there is a 200 or a 404; anything else is tried again until the deadline.
fn read(client: &mut Client, path: &str, deadline: Instant) -> Option<Reply> {
    loop {
        match client.get(path) {
            Ok(reply) if reply.status == 200 => return Some(reply),
            Ok(reply) if reply.status == 404 => return None,
            other => assert!(Instant::now() < deadline, "GET {path}: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All items of a list, page by page.
fn pages(client: &mut Client, path: &str, deadline: Instant, mut each: impl FnMut(&[u8])) {
    let mut cursor = String::new();
    while let Some(reply) = read(client, &format!("{path}{cursor}"), deadline) {
        let page: Page<'_> = parse(&reply.body);
        page.items.iter().for_each(|item| each(item.get().as_bytes()));
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return,
        }
    }
}

/// A wallet's events from the event store; none when it does not exist.
pub(crate) fn events(client: &mut Client, wallet: &str, deadline: Instant) -> Vec<Event> {
    let mut events = Vec::new();
    pages(client, &format!("/wallets/{wallet}/events?limit=500"), deadline, |item| {
        let raw: RawEvent<'_> = parse(item);
        let amount = cents(raw.data.amount);
        events.push(Event {
            id: raw.event_id,
            wallet: raw.stream.strip_prefix("wallet-").expect("a wallet's stream").to_owned(),
            version: raw.version,
            change: if raw.kind == "WalletDebited" { -amount } else { amount },
            kind: raw.kind,
            balance: cents(raw.data.balance),
            transfer: raw.data.transfer_id.zip(raw.data.counterparty_wallet_id),
            correlation: raw.metadata.correlation_id,
        });
    });
    events
}

/// A wallet of the read model, once it has reached a version; as it is when the version is 0.
pub(crate) fn wallet(client: &mut Client, wallet: &str, version: u64, deadline: Instant) -> Option<Snapshot> {
    // The service waits a while for a version of a wallet that it does not know yet.
    let wait = if version > 0 { format!("?minVersion={version}") } else { String::new() };
    read(client, &format!("/wallets/{wallet}{wait}"), deadline).map(|reply| snapshot(&reply.body))
}

/// A wallet's ledger, oldest first, once it has so many entries.
pub(crate) fn ledger(client: &mut Client, wallet: &str, count: usize, deadline: Instant) -> Vec<Entry> {
    loop {
        let mut entries = Vec::new();
        pages(client, &format!("/wallets/{wallet}/transactions?order=asc&limit=500"), deadline, |item| {
            let raw: RawEntry<'_> = parse(item);
            entries.push(Entry {
                event: raw.event_id,
                version: raw.version,
                kind: raw.kind,
                change: cents(raw.amount),
                balance: cents(raw.balance),
            });
        });
        if entries.len() >= count {
            return entries;
        }
        assert!(Instant::now() < deadline, "the ledger of {wallet} has {} of {count} entries", entries.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}
