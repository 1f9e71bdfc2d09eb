//! Wallets, time travel, lists, histories, statements and events.

use serde_json::Value;

use crate::harness::{Service, eventually, mistakes};

/// All items of a list, page by page, and how many pages it took.
fn all_pages(service: &Service, path: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = service.get(&format!("{path}{cursor}")).json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (items, pages),
        }
    }
}

/// A wallet's history, once the ledger has it up to a version.
fn history(service: &Service, id: &str, version: u64) -> Value {
    eventually(&format!("version {version} of {id} in the ledger"), || {
        let page = service.get(&format!("/wallets/{id}/transactions")).json();
        (page["items"][0]["version"].as_u64() >= Some(version)).then_some(page)
    })
}

#[test]
fn a_reader_who_asks_for_a_version_gets_at_least_that() {
    let service = Service::start();
    service.create("w", "10");
    for version in 2..30 {
        assert_eq!(service.post("/wallets/w/credit", r#"{"amount":1}"#).status, 200);
        let answer = service.get(&format!("/wallets/w?minVersion={version}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["version"], version);
    }
}

#[test]
fn the_read_model_answers_like_the_writer() {
    let service = Service::start();
    service.create("w", "10");
    let written = service.post("/wallets/w/debit", r#"{"amount":"0.5"}"#);
    let read = service.get("/wallets/w?minVersion=2");
    assert_eq!(read.body, written.body);
    assert_eq!(read.header("etag"), Some("\"2\""));
    let unchanged = service.request("GET", "/wallets/w", &[("If-None-Match", "\"2\"")], None);
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some("\"2\"")));
    assert_eq!(service.request("GET", "/wallets/w", &[("If-None-Match", "\"1\"")], None).status, 200);
    let head = service.request("HEAD", "/wallets/w", &[], None);
    assert_eq!((head.status, head.header("content-length")), (200, Some(read.body.len().to_string().as_str())));
}

#[test]
fn a_version_that_does_not_come_is_503_and_a_wallet_that_is_not_there_404() {
    let service = Service::start_with(&[("WALLEX_HTTP_MIN_VERSION_WAIT_MS", "50")]);
    service.create("w", "10");
    let late = service.get("/wallets/w?minVersion=9");
    late.expect_problem(503, "unavailable");
    assert!(late.header("retry-after").is_some());
    for path in [
        "/wallets/none",
        "/wallets/none?minVersion=1",
        "/wallets/none?version=1",
        "/wallets/w?version=2",
        "/wallets/none/transactions",
        "/wallets/none/events",
        "/wallets/w?at=2000-01-01T00:00:00Z",
        "/wallets/none?at=2100-01-01T00:00:00Z",
    ] {
        service.get(path).expect_problem(404, "wallet-not-found");
    }
}

#[test]
fn a_service_without_projectors_still_travels_in_time() {
    let service = Service::start_with(&[("PROJECTORS_AUTO_START", "false"), ("WALLEX_HTTP_MIN_VERSION_WAIT_MS", "50")]);
    service.create("w", "10");
    service.get("/wallets/w?minVersion=1").expect_problem(503, "unavailable");
    assert_eq!(service.balance_at("w", 1), "10.00");
}

#[test]
fn time_travel_goes_to_versions_and_moments() {
    let service = Service::start();
    service.create("w", "10");
    let mut states = vec![service.get("/wallets/w?version=1").json()];
    for amount in 1..=5 {
        states.push(service.post("/wallets/w/credit", &format!("{{\"amount\":{amount}}}")).json());
    }
    for (at, state) in states.iter().enumerate() {
        assert_eq!(&service.get(&format!("/wallets/w?version={}", at + 1)).json(), state);
    }
    let moment = states[3]["updatedAt"].as_str().unwrap();
    let then = service.get(&format!("/wallets/w?at={moment}"));
    // Events of one microsecond cannot be told apart by time: the latest of them is the answer.
    assert_eq!(then.json()["updatedAt"], states[3]["updatedAt"]);
    assert!(then.json()["version"].as_u64() >= Some(4));
    assert_eq!(service.get("/wallets/w?at=2100-01-01T00:00:00%2B01:00").json(), states[5]);
}

#[test]
fn lists_are_filtered_and_no_insert_disturbs_their_pages() {
    let service = Service::start();
    for number in 0..25 {
        let owner = if number % 2 == 0 { "even" } else { "odd" };
        let body = format!(r#"{{"walletId":"w-{number:02}","ownerId":"{owner}","initialBalance":{number}}}"#);
        assert_eq!(service.post("/wallets", &body).status, 201);
        if number < 20 {
            assert_eq!(service.get(&format!("/wallets/w-{number:02}?minVersion=1")).status, 200);
        }
    }
    assert_eq!(service.get("/wallets/w-24?minVersion=1").status, 200);
    let (all, pages) = all_pages(&service, "/wallets?limit=7");
    let mut ids: Vec<_> = all.iter().map(|wallet| wallet["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    let expected: Vec<_> = (0..25).map(|number| format!("w-{number:02}")).collect();
    assert_eq!((ids, pages), (expected, 4));
    let (odd, _) = all_pages(&service, "/wallets?limit=5&ownerId=odd&minBalance=5.5&maxBalance=21");
    assert_eq!(odd.len(), 8);
    let first = service.get("/wallets?limit=10").json();
    service.create("late", "0");
    assert_eq!(service.get("/wallets/late?minVersion=1").status, 200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest = service.get(&format!("/wallets?limit=500&cursor={cursor}")).json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 16);
    let foreign = service.get(&format!("/wallets?ownerId=odd&cursor={cursor}"));
    foreign.expect_problem(400, "cursor-invalid");
    let damaged = format!("/wallets?cursor={}A", &cursor[..cursor.len() - 1]);
    service.get(&damaged).expect_problem(400, "cursor-invalid");
}

#[test]
fn a_history_has_signed_amounts_running_balances_and_both_legs_of_transfers() {
    let service = Service::start();
    service.create("a", "10");
    service.create("b", "0");
    assert_eq!(service.post("/wallets/a/credit", r#"{"amount":5,"description":"say \"hi\", =1"}"#).status, 200);
    assert_eq!(service.post("/wallets/a/debit", r#"{"amount":"1.5"}"#).status, 200);
    let transfer = service.post("/wallets/a/transfer", r#"{"toWalletId":"b","amount":3}"#).json();
    let page = history(&service, "a", 4);
    let rows: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["version"].as_u64().unwrap(),
                row["type"].as_str().unwrap(),
                row["amount"].to_string(),
                row["balance"].to_string(),
            )
        })
        .collect();
    let row = |version, kind, amount: &str, balance: &str| (version, kind, amount.to_owned(), balance.to_owned());
    assert_eq!(
        rows,
        [
            row(4, "transfer_out", "-3.0", "10.5"),
            row(3, "debit", "-1.5", "13.5"),
            row(2, "credit", "5.0", "15.0"),
            row(1, "create", "10.0", "10.0"),
        ]
    );
    let (out, into) = (&page["items"][0], &history(&service, "b", 2)["items"][0]);
    assert_eq!((&out["transferId"], &into["transferId"]), (&transfer["transferId"], &transfer["transferId"]));
    assert_eq!((&out["counterpartyWalletId"], &into["counterpartyWalletId"]), (&"b".into(), &"a".into()));
    assert_eq!(into["type"], "transfer_in");
    let created = &history(&service, "b", 1)["items"];
    assert_eq!(created.as_array().unwrap().last().unwrap()["type"], "create");
    let (ascending, pages) = all_pages(&service, "/wallets/a/transactions?order=asc&limit=3");
    assert_eq!((ascending.len(), pages), (4, 2));
    assert_eq!(ascending[0]["version"], 1);
    let only = service.get("/wallets/a/transactions?type=debit").json();
    assert_eq!(only["items"].as_array().unwrap().len(), 1);
    let none = service.get("/wallets/a/transactions?to=2000-01-01T00:00:00Z").json();
    assert_eq!((none["items"].as_array().unwrap().len(), &none["nextCursor"]), (0, &Value::Null));
}

#[test]
fn a_statement_is_csv_of_the_whole_history() {
    let service = Service::start();
    service.create("a", "10");
    assert_eq!(service.post("/wallets/a/credit", r#"{"amount":5,"description":"say \"hi\", all"}"#).status, 200);
    let many = vec![r#"{"type":"credit","walletId":"a","amount":1}"#; 1_000].join(",");
    for _ in 0..2 {
        assert_eq!(service.post("/batch", &format!("{{\"atomic\":true,\"operations\":[{many}]}}")).status, 200);
    }
    history(&service, "a", 2_002);
    let path = "/wallets/a/transactions?order=asc";
    let answer = service.request("GET", path, &[("Accept", "text/csv")], None);
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/csv"));
    let text = answer.text();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 1 + 2_002 + 1);
    assert_eq!(
        lines[0],
        "occurredAt,version,type,amount,balance,currency,counterpartyWalletId,transferId,description,eventId"
    );
    assert!(lines[1].contains(",1,create,10.00,10.00,USD,,,,"), "{}", lines[1]);
    assert!(lines[2].contains(",2,credit,5.00,15.00,USD,,,\"say \"\"hi\"\", all\","), "{}", lines[2]);
    assert!(lines[2_002].contains(",2002,credit,1.00,2015.00,USD,"), "{}", lines[2_002]);
    let missing = service.request("GET", "/wallets/none/transactions", &[("Accept", "text/csv")], None);
    missing.expect_problem(404, "wallet-not-found");
    let paged = "/wallets/a/transactions?limit=5&cursor=x";
    let paged = service.request("GET", paged, &[("Accept", "text/csv")], None);
    assert_eq!(mistakes(&paged.expect_problem(400, "validation-failed")), ["limit format", "cursor format"]);
}

#[test]
fn the_audit_trail_is_the_event_store_itself() {
    let service = Service::start();
    service.create("w", "10");
    for _ in 0..6 {
        assert_eq!(service.post("/wallets/w/credit", r#"{"amount":"0.01"}"#).status, 200);
    }
    let (events, pages) = all_pages(&service, "/wallets/w/events?limit=3");
    assert_eq!((events.len(), pages), (7, 3));
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["version"], at + 1);
        assert_eq!(event["stream"], "wallet-w");
        assert_eq!(event["type"], if at == 0 { "WalletCreated" } else { "WalletCredited" });
    }
    assert_eq!(events[6]["data"]["balance"], "10.06");
    let from = service.get("/wallets/w/events?fromVersion=6").json();
    assert_eq!(from["items"].as_array().unwrap().len(), 2);
    let beyond = service.get("/wallets/w/events?fromVersion=8").json();
    assert_eq!(beyond["items"].as_array().unwrap().len(), 0);
}
