//! `wallex load`, `wallex verify` and `wallex events` on real data, and `wallex verify` on tables that were tampered
//! with: each fault is planted in SQLite by hand, and must be found and named.

// A test may stop at the first surprise.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "crash/service.rs"]
#[allow(dead_code)]
mod service;
#[path = "crash/whereabouts.rs"]
mod whereabouts;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use service::Service;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(80)
}

fn wallex(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wallex")).args(args).output().expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn load(service: &Service, more: &[&str]) -> Value {
    let url = format!("http://{}", service.whereabouts().wait(deadline()));
    let args = [&["load", "--json", "--url", &url, "--seed", "7"][..], more].concat();
    let output = wallex(&args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_load_has_no_failure_and_everything_agrees() {
    let mut service = Service::start(deadline());
    let mixed = load(&service, &["--wallets", "40", "--operations", "1500", "--workers", "8"]);
    assert_eq!(mixed["total"]["ok"], 1_500);
    assert_eq!(mixed["check"]["agrees"], true);
    assert_eq!(mixed["check"]["wallets"], 40);
    let hot = ["--wallets", "10", "--operations", "500", "--workers", "8", "--mix", "transfers", "--hot"];
    assert_eq!(load(&service, &hot)["transfers"]["ok"], 500);
    let batches = load(&service, &["--wallets", "20", "--operations", "1000", "--workers", "2", "--batch", "50"]);
    assert_eq!(batches["total"]["ok"], 1_000);
    assert_eq!(batches["latency"][0]["kind"], "batch");

    let data = service.data_dir();
    let beside = wallex(&["verify", "--json", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(beside.status.code(), Some(0), "beside the running service: {}", text(&beside));
    service.terminate(deadline());
    let stopped: Value = serde_json::from_slice(&verify_json(&data).stdout).unwrap();
    assert_eq!(stopped["holds"], true);
    assert_eq!(stopped["wallets"], 70);
    assert_eq!(stopped["consumers"].as_array().unwrap().len(), 4);
    for verdict in stopped["verdicts"].as_array().unwrap() {
        let counts = verdict["checked"].as_array().unwrap();
        assert!(counts.iter().all(|checked| checked["count"].as_u64() > Some(0)), "nothing was checked: {verdict}");
    }
}

#[test]
fn events_come_as_lines_and_as_json_and_of_one_wallet() {
    let mut service = Service::start(deadline());
    load(&service, &["--wallets", "3", "--operations", "60", "--workers", "2"]);
    let data = service.data_dir();
    service.terminate(deadline());
    let events = |more: &[&str]| {
        let output = wallex(&[&["events", "--data-dir", data.to_str().unwrap()], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let all: Vec<Value> = events(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(all.len() >= 63, "{}", all.len());
    let stream = all[0]["stream"].as_str().unwrap();
    let wallet = stream.strip_prefix("wallet-").unwrap();
    let of_wallet = all.iter().filter(|event| event["stream"] == stream).count();
    assert_eq!(events(&["--wallet", wallet, "--json"]).lines().count(), of_wallet);
    let lines = events(&["--wallet", wallet]);
    assert_eq!(lines.lines().count(), of_wallet);
    assert!(lines.lines().next().unwrap().contains("WalletCreated"), "{lines}");
}

fn verify_json(data: &Path) -> Output {
    wallex(&["verify", "--json", "--data-dir", data.to_str().unwrap()])
}

/// Copies a data directory, so that every fault is planted in sound data.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn database(data: &Path) -> PathBuf {
    wallex::layout::database(data)
}

fn tamper(data: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(database(data)).connect().await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        assert!(done.rows_affected() > 0, "{sql} changes something");
    });
}

#[test]
fn a_fault_that_is_planted_in_a_table_is_found_and_named() {
    let mut service = Service::start(deadline());
    load(&service, &["--wallets", "5", "--operations", "200", "--workers", "4"]);
    let sound = service.data_dir();
    service.terminate(deadline());
    assert_eq!(verify_json(&sound).status.code(), Some(0));

    let faults: [(&str, &[&str]); 12] = [
        ("DELETE FROM ledger_rows WHERE id = 10", &["INV-06", "INV-08"]),
        ("UPDATE ledger_rows SET description = 'forged' WHERE id = 10", &["INV-08"]),
        ("UPDATE ledger_rows SET amount = amount + 1 WHERE id = 10", &["INV-08"]),
        (
            "UPDATE wallet_states SET balance = balance + 1 WHERE wallet = (SELECT min(wallet) FROM wallet_states)",
            &["INV-08"],
        ),
        (
            "UPDATE wallet_states SET owner_id = 'thief' WHERE wallet = (SELECT min(wallet) FROM wallet_states)",
            &["INV-08"],
        ),
        ("DELETE FROM wallet_states WHERE wallet = (SELECT min(wallet) FROM wallet_states)", &["INV-06"]),
        ("DELETE FROM outbox_events WHERE position = 100", &["INV-06"]),
        ("UPDATE outbox_events SET event_version = 999 WHERE position = 100", &["INV-08"]),
        ("UPDATE outbox_events SET correlation_id = 'forged' WHERE position = 100", &["INV-08"]),
        ("UPDATE outbox_events SET balance = balance + 1 WHERE position = 100", &["INV-08"]),
        (
            "UPDATE projector_checkpoints SET position = 20 WHERE consumer_name = 'ledger-projector' AND position > 20",
            &["INV-08"],
        ),
        (
            "UPDATE ledger_heads SET version = version + 1 WHERE wallet = (SELECT min(wallet) FROM ledger_heads)",
            &["INV-08"],
        ),
    ];
    for (number, (sql, invariants)) in faults.into_iter().enumerate() {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join(number.to_string());
        copy(&sound, &data);
        tamper(&data, sql);
        let output = verify_json(&data);
        assert_eq!(output.status.code(), Some(1), "{sql}: {}", text(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let violated: Vec<&str> = report["verdicts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|verdict| verdict["violations"].as_u64() > Some(0))
            .map(|verdict| verdict["invariant"].as_str().unwrap())
            .collect();
        assert_eq!(violated, invariants, "{sql}");
    }
}
