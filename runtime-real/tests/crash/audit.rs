//! The audit: what clients were told, against what the service shows.
//!
//! Folds the events itself, with cents. Every difference is collected, so that a failure shows all of them; the first
//! ones are in the message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Client, Reply, Trouble};
use crate::history::{History, Operation, Outcome, Record, Shape};
use crate::view::{self, Event, Snapshot};
use crate::whereabouts::Whereabouts;
use crate::workload;

/// Differences in the message of a failure.
const SHOWN_MAX: usize = 25;

/// Audits a history against a running service.
pub(crate) fn audit(history: &mut History, whereabouts: &Whereabouts, deadline: Instant) {
    let mut findings = history.broken();
    let mut client = Client::new(whereabouts.clone(), deadline);
    resolve(history, &mut client, deadline, &mut findings);
    let history = &*history;
    let events = read_events(history, &mut client, deadline);
    check_streams(&events, &mut findings);
    check_transfers(&events, &mut findings);
    check_effects(history, &events, &mut findings);
    check_order(history, &mut findings);
    check_projections(&events, &mut client, deadline, &mut findings);
    check_money(history, &events, &mut findings);
    check_replays(history, &mut client, deadline, &mut findings);
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("\n")
    );
    let count: usize = events.values().map(Vec::len).sum();
    assert!(count > 100, "there is something to audit: {count} events");
    println!("audited {count} events of {} wallets", events.len());
}

/// Asks again for every other request that was abandoned: the service finds out whether it took effect, and the rest
/// of the audit proves that it did so once (INV-05). The others stay as they are.
fn resolve(history: &mut History, client: &mut Client, deadline: Instant, findings: &mut Vec<String>) {
    let abandoned = history
        .clients
        .iter_mut()
        .flat_map(|client| &mut client.records)
        .filter(|record| matches!(record.outcome, Outcome::Abandoned { .. }));
    for record in abandoned.step_by(2) {
        let (path, body) = workload::wire(&record.request);
        match ask_again(client, &path, &record.request.key, &record.request.correlation, &body, deadline) {
            Ok(reply) if reply.status < 500 => {
                record.outcome = Outcome::Answered { status: reply.status, body: reply.body };
                record.resolved_late = true;
            }
            other => {
                findings.push(format!("{:?} has no final answer when it is asked for again: {other:?}", record.request))
            }
        }
    }
}

/// Asks for an answer that may still be in flight: an instance that died between answering and storing the answer leaves
/// the key reserved until its attempt counts as dead.
fn ask_again(
    client: &mut Client,
    path: &str,
    key: &str,
    correlation: &str,
    body: &[u8],
    deadline: Instant,
) -> Result<Reply, Trouble> {
    loop {
        let reply = client.post(path, key, correlation, body)?;
        let in_flight = reply.status == 409 && reply.json()["code"] == "idempotency-key-in-flight";
        if !in_flight || Instant::now() >= deadline {
            return Ok(reply);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The events of every wallet that anybody spoke of.
fn read_events(history: &History, client: &mut Client, deadline: Instant) -> BTreeMap<String, Vec<Event>> {
    let names: BTreeSet<&String> =
        history.records().flat_map(|record| &record.request.operations).flat_map(wallets_of).collect();
    names.into_iter().map(|name| (name.clone(), view::events(client, name, deadline))).collect()
}

fn wallets_of(operation: &Operation) -> Vec<&String> {
    match operation {
        Operation::Create { wallet, .. } | Operation::Credit { wallet, .. } | Operation::Debit { wallet, .. } => {
            vec![wallet]
        }
        Operation::Transfer { from, to, .. } => vec![from, to],
    }
}

/// INV-01, INV-02, INV-03 within each wallet, and no event id twice anywhere.
fn check_streams(events: &BTreeMap<String, Vec<Event>>, findings: &mut Vec<String>) {
    let mut ids = BTreeSet::new();
    for (wallet, stream) in events {
        let mut balance = 0;
        for (at, event) in stream.iter().enumerate() {
            balance += event.change;
            let sound = event.wallet == *wallet
                && event.version == at as u64 + 1
                && event.balance == balance
                && balance >= 0
                && (event.kind == "WalletCreated") == (at == 0)
                && ids.insert(&event.id);
            if !sound {
                findings.push(format!("{wallet}: event {} does not follow: {event:?}", at + 1));
            }
        }
    }
}

/// INV-01: every transfer has exactly its two legs.
fn check_transfers(events: &BTreeMap<String, Vec<Event>>, findings: &mut Vec<String>) {
    let mut transfers: BTreeMap<&String, Vec<&Event>> = BTreeMap::new();
    for event in events.values().flatten() {
        if let Some((id, _)) = &event.transfer {
            transfers.entry(id).or_default().push(event);
        }
    }
    for (id, legs) in transfers {
        let names_other = |one: &Event, other: &Event| one.transfer.as_ref().is_some_and(|leg| leg.1 == other.wallet);
        let whole = matches!(legs[..], [one, other]
            if one.change == -other.change && names_other(one, other) && names_other(other, one));
        if !whole {
            findings.push(format!("transfer {id} is not a debit and a credit: {legs:?}"));
        }
    }
}

/// The change that an operation makes to each wallet.
fn changes_of(operation: &Operation) -> Vec<(&String, i64)> {
    match operation {
        Operation::Create { wallet, opening } => vec![(wallet, *opening)],
        Operation::Credit { wallet, cents } => vec![(wallet, *cents)],
        Operation::Debit { wallet, cents } => vec![(wallet, -cents)],
        Operation::Transfer { from, to, cents } => vec![(from, -cents), (to, *cents)],
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransferAnswer<'a> {
    #[serde(borrow)]
    from_wallet: &'a RawValue,
    #[serde(borrow)]
    to_wallet: &'a RawValue,
}

#[derive(Deserialize)]
struct BatchAnswer<'a> {
    #[serde(borrow)]
    results: Vec<BatchResult<'a>>,
}

#[derive(Deserialize)]
struct BatchResult<'a> {
    status: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The snapshots in the answer to one accepted operation, in the order of its changes.
fn snapshots_in(operation: &Operation, body: &[u8]) -> Vec<Snapshot> {
    match operation {
        Operation::Create { .. } | Operation::Credit { .. } | Operation::Debit { .. } => vec![view::snapshot(body)],
        Operation::Transfer { .. } => {
            let answer: TransferAnswer<'_> = serde_json::from_slice(body).expect("a transfer's answer");
            [answer.from_wallet, answer.to_wallet].map(|wallet| view::snapshot(wallet.get().as_bytes())).to_vec()
        }
    }
}

/// For each operation of an answered request the snapshots of its answer; nothing for a refused one.
fn told(record: &Record, status: u16, body: &[u8]) -> Vec<Option<Vec<Snapshot>>> {
    let operations = &record.request.operations;
    let accepted = status / 100 == 2;
    if record.request.shape == Shape::Single {
        return vec![accepted.then(|| snapshots_in(&operations[0], body))];
    }
    if !accepted {
        return vec![None; operations.len()];
    }
    let answer: BatchAnswer<'_> = serde_json::from_slice(body).expect("a batch's answer");
    assert_eq!(answer.results.len(), operations.len(), "a result for each operation");
    let results = operations.iter().zip(answer.results);
    results
        .map(|(operation, result)| {
            (result.status / 100 == 2).then(|| snapshots_in(operation, result.body.get().as_bytes()))
        })
        .collect()
}

/// All changes of some operations, sorted.
fn changes_of_all<'a>(operations: impl Iterator<Item = &'a Operation>) -> Vec<(&'a String, i64)> {
    let mut changes: Vec<_> = operations.flat_map(changes_of).collect();
    changes.sort();
    changes
}

/// INV-04, INV-05: what was acknowledged is there exactly once, as it was told; what was refused left nothing; what
/// was abandoned is there once or not at all.
fn check_effects(history: &History, events: &BTreeMap<String, Vec<Event>>, findings: &mut Vec<String>) {
    let mut caused: BTreeMap<&String, Vec<&Event>> = BTreeMap::new();
    for event in events.values().flatten() {
        caused.entry(&event.correlation).or_default().push(event);
    }
    for record in history.records() {
        let mut found: Vec<(&String, i64)> = Vec::new();
        let effects = caused.remove(&record.request.correlation).unwrap_or_default();
        found.extend(effects.iter().map(|event| (&event.wallet, event.change)));
        found.sort();
        match &record.outcome {
            Outcome::Answered { status, body } => {
                let told = told(record, *status, body);
                let accepted = record.request.operations.iter().zip(&told).filter(|(_, answer)| answer.is_some());
                if changes_of_all(accepted.map(|(operation, _)| operation)) != found {
                    findings.push(format!("{:?} answered {status} left {effects:?}", record.request));
                }
                for snapshot in told.iter().flatten().flatten() {
                    let shown = effects.iter().any(|event| {
                        (&event.wallet, event.version, event.balance)
                            == (&snapshot.wallet, snapshot.version, snapshot.balance)
                    });
                    if !shown {
                        findings.push(format!("{:?} was told {snapshot:?}, the log has {effects:?}", record.request));
                    }
                }
            }
            Outcome::Abandoned { maybe_done } => {
                let whole = found == changes_of_all(record.request.operations.iter());
                let partly = record.request.shape == Shape::IndependentBatch && is_subset(&found, record);
                if !(found.is_empty() || (*maybe_done && (whole || partly))) {
                    findings.push(format!("{:?} was abandoned and left {effects:?}", record.request));
                }
            }
        }
    }
    findings.extend(caused.into_iter().map(|(name, events)| format!("nobody asked for {name}: {events:?}")));
}

/// Whether some of the record's operations, each whole and at most once, make exactly these changes.
fn is_subset(found: &[(&String, i64)], record: &Record) -> bool {
    let mut left = found.to_vec();
    for operation in &record.request.operations {
        let changes = changes_of(operation);
        let places: Vec<_> = changes.iter().map(|change| left.iter().position(|other| other == change)).collect();
        if places.iter().all(Option::is_some) {
            for change in changes {
                let at = left.iter().position(|other| *other == change).expect("it was just seen");
                left.swap_remove(at);
            }
        }
    }
    left.is_empty()
}

/// A client that got an answer and asks again sees a later version of the same wallet (a part of INV-09).
fn check_order(history: &History, findings: &mut Vec<String>) {
    for client in &history.clients {
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for record in &client.records {
            // What was resolved late may have happened at any time since.
            let (Outcome::Answered { status, body }, false) = (&record.outcome, record.resolved_late) else { continue };
            for snapshot in told(record, *status, body).into_iter().flatten().flatten() {
                let before = seen.insert(snapshot.wallet.clone(), snapshot.version);
                if before.is_some_and(|before| before >= snapshot.version) {
                    findings.push(format!("{snapshot:?} was told after version {before:?}"));
                }
            }
        }
    }
}

/// INV-06, INV-08, INV-12: read model and ledger equal the fold of the events.
fn check_projections(
    events: &BTreeMap<String, Vec<Event>>,
    client: &mut Client,
    deadline: Instant,
    findings: &mut Vec<String>,
) {
    for (wallet, stream) in events {
        let Some(last) = stream.last() else {
            if let Some(shown) = view::wallet(client, wallet, 0, deadline) {
                findings.push(format!("the read model has {shown:?}, which has no events"));
            }
            continue;
        };
        let expected = Snapshot { wallet: wallet.clone(), version: last.version, balance: last.balance };
        let shown = view::wallet(client, wallet, last.version, deadline);
        if shown.as_ref() != Some(&expected) {
            findings.push(format!("the read model shows {shown:?} for {expected:?}"));
        }
        let entries = view::ledger(client, wallet, stream.len(), deadline);
        for (at, event) in stream.iter().enumerate() {
            let kind = match (event.kind.as_str(), &event.transfer) {
                ("WalletCreated", _) => "create",
                ("WalletCredited", None) => "credit",
                ("WalletCredited", Some(_)) => "transfer_in",
                ("WalletDebited", None) => "debit",
                ("WalletDebited", Some(_)) => "transfer_out",
                _ => "unknown",
            };
            let agrees = entries.get(at).is_some_and(|entry| {
                (&entry.event, entry.version, entry.kind.as_str(), entry.change, entry.balance)
                    == (&event.id, event.version, kind, event.change, event.balance)
            });
            if !agrees {
                findings.push(format!("the ledger shows {:?} for {event:?}", entries.get(at)));
            }
        }
        if entries.len() > stream.len() {
            findings.push(format!("the ledger of {wallet} has {} entries for {} events", entries.len(), stream.len()));
        }
    }
}

/// INV-01: all balances together are what acknowledged operations brought in and took out, give or take those whose
/// outcome nobody was told.
fn check_money(history: &History, events: &BTreeMap<String, Vec<Event>>, findings: &mut Vec<String>) {
    let balances: i64 = events.values().filter_map(|stream| stream.last()).map(|event| event.balance).sum();
    let mut expected = 0;
    let mut unknown: BTreeSet<&String> = BTreeSet::new();
    for record in history.records() {
        match &record.outcome {
            Outcome::Answered { status, body } => {
                for (operation, answer) in record.request.operations.iter().zip(told(record, *status, body)) {
                    if answer.is_some() {
                        expected += changes_of(operation).into_iter().map(|(_, change)| change).sum::<i64>();
                    }
                }
            }
            Outcome::Abandoned { .. } => {
                unknown.insert(&record.request.correlation);
            }
        }
    }
    let found_later: i64 =
        events.values().flatten().filter(|event| unknown.contains(&event.correlation)).map(|event| event.change).sum();
    if balances != expected + found_later {
        findings.push(format!("balances add up to {balances}, {expected} + {found_later} was brought in (cents)"));
    }
}

/// INV-05: every answer is given again, byte for byte.
fn check_replays(history: &History, client: &mut Client, deadline: Instant, findings: &mut Vec<String>) {
    for record in history.records() {
        let Outcome::Answered { status, body } = &record.outcome else { continue };
        let (path, request) = workload::wire(&record.request);
        match ask_again(client, &path, &record.request.key, "audit", &request, deadline) {
            Ok(reply) if (reply.status, &reply.body, reply.replayed) == (*status, body, true) => {}
            other => findings.push(format!(
                "{:?} was answered {status} {:?}; its replay is {other:?}",
                record.request,
                String::from_utf8_lossy(body)
            )),
        }
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
