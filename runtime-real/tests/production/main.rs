//! The production profile against real servers: two instances, traffic, blows, and the audit of the crash test.
//!
//! Black box: processes of their own, HTTP over plain sockets, a client that records what it was told, and an independent
//! reader of the topic. Proves INV-01 to INV-08 and INV-12 from outside while instances and servers are killed with -9,
//! connections are cut, and answers are swallowed.
//!
//! The seed of every run is printed; `WALLEX_CRASH_SEED` runs that traffic and those moments again (the operating system
//! still schedules as it likes).

// A test may stop at the first surprise, and says what it does.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../crash/audit.rs"]
mod audit;
#[path = "../crash/client.rs"]
mod client;
#[allow(unreachable_pub, dead_code)]
#[path = "../services/collector.rs"]
mod collector;
#[path = "../crash/history.rs"]
mod history;
mod outages;
#[allow(unreachable_pub)]
#[path = "../services/own.rs"]
mod own;
mod process;
#[allow(unreachable_pub)]
#[path = "../services/proxy.rs"]
mod proxy;
#[path = "../crash/rng.rs"]
mod rng;
mod system;
mod topic;
mod tracing;
#[path = "../crash/view.rs"]
mod view;
#[path = "../crash/whereabouts.rs"]
mod whereabouts;
#[path = "../crash/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::Client;
use collector::Collector;
use history::{History, Operation};
use proxy::Fault;
use rng::Rng;
use system::{Server, System};
use whereabouts::Whereabouts;
use workload::Traffic;

/// No test may take longer: whoever waits, waits against this.
const TIME_MAX: Duration = Duration::from_secs(300);

fn seed() -> u64 {
    let chosen = std::env::var("WALLEX_CRASH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = chosen.unwrap_or_else(rng::from_clock);
    println!("WALLEX_CRASH_SEED={seed}");
    seed
}

/// One blow: what is done to whom.
#[derive(Clone, Copy, Debug)]
enum Blow {
    KillInstance(usize),
    RestartInstance(usize),
    Kill(Server),
    Cut(Server),
    SwallowAnswers(Server),
    Delay(Server),
}

/// Every kind of blow; in which order and at which moments, the seed says.
const BLOWS: [Blow; 21] = [
    Blow::KillInstance(0),
    Blow::KillInstance(1),
    Blow::KillInstance(0),
    Blow::RestartInstance(1),
    Blow::Kill(Server::EventStore),
    Blow::Kill(Server::EventStore),
    Blow::Kill(Server::Postgres),
    Blow::Kill(Server::Kafka),
    Blow::Kill(Server::Redis),
    Blow::Cut(Server::EventStore),
    Blow::Cut(Server::Postgres),
    Blow::Cut(Server::Kafka),
    Blow::Cut(Server::Redis),
    Blow::SwallowAnswers(Server::EventStore),
    Blow::SwallowAnswers(Server::Postgres),
    Blow::SwallowAnswers(Server::Kafka),
    Blow::SwallowAnswers(Server::Redis),
    Blow::Delay(Server::EventStore),
    Blow::Delay(Server::Postgres),
    Blow::Delay(Server::Kafka),
    Blow::Delay(Server::Redis),
];

fn strike(system: &mut System, blow: Blow, moments: &mut Rng) {
    let pause = Duration::from_millis(moments.below(400));
    match blow {
        Blow::KillInstance(instance) => {
            system.kill_instance(instance);
            std::thread::sleep(pause);
            system.start_instance(instance);
        }
        Blow::RestartInstance(instance) => {
            system.terminate_instance(instance);
            system.start_instance(instance);
        }
        Blow::Kill(server) => {
            system.kill(server);
            std::thread::sleep(pause);
            system.restart(server);
        }
        Blow::Cut(server) => system.spoil(server, Fault::Cut, pause),
        Blow::SwallowAnswers(server) => system.spoil(server, Fault::SwallowAnswers, pause * 3),
        Blow::Delay(server) => system.spoil(server, Fault::Delay, pause * 3),
    }
}

#[test]
fn two_instances_lose_nothing_in_a_storm_and_the_topic_has_everything_in_order() {
    let seed = seed();
    let mut moments = Rng::new(seed, 3_000);
    let begun = Instant::now();
    let deadline = begun + TIME_MAX;
    let mut system = System::start(2);
    println!("everything is up after {:?}", begun.elapsed());
    let traffic = Traffic::start(seed, system.whereabouts(), deadline);
    let mut blows = BLOWS.to_vec();
    while !blows.is_empty() {
        traffic.wait_for_answers(1 + moments.below(150), deadline);
        let blow = blows.swap_remove(moments.below(blows.len() as u64) as usize);
        strike(&mut system, blow, &mut moments);
        println!("{blow:?}: {} answers so far, {:?}", traffic.answers(), begun.elapsed());
    }
    traffic.wait_for_answers(100, deadline);
    let mut history = traffic.finish();
    println!("{}", history.summary());

    audit::audit(&mut history, &system.whereabouts(), deadline);
    println!("audited after {:?}", begun.elapsed());
    let newest = newest_versions(&history, &system.whereabouts(), deadline);
    let topic = topic::versions(&system.kafka(), deadline);
    assert_eq!(topic::findings(&topic, &newest), Vec::<String>::new());
    system.verify();
    for instance in 0..2 {
        system.terminate_instance(instance);
    }
}

#[test]
fn instances_answer_for_each_other_and_a_rolling_restart_fails_no_request() {
    let seed = seed();
    let deadline = Instant::now() + TIME_MAX;
    let collector = Collector::start();
    let mut system = System::traced(2, collector.address);
    follow_the_contract(&system, deadline);
    tracing::lead_from_a_request_to_both_projections(&collector, deadline);
    outages::go_on_without_redis(&mut system, deadline);
    outages::go_on_without_kafka(&mut system, deadline);
    outages::health_is_well_again_without_a_write(&mut system, deadline);

    let traffic = Traffic::start(seed, system.whereabouts(), deadline);
    for instance in [0, 1] {
        traffic.wait_for_answers(100, deadline);
        system.terminate_instance(instance);
        system.start_instance(instance);
    }
    traffic.wait_for_answers(100, deadline);
    let mut history = traffic.finish();
    println!("{}", history.summary());
    assert_eq!(history.torn_answers(), Vec::<String>::new(), "a drain finishes the answers that it has begun");
    assert_eq!(history.without_an_answer(), Vec::<String>::new(), "a drain answers what it has begun to do");
    audit::audit(&mut history, &system.whereabouts(), deadline);
    find_what_is_tampered_with(&mut system);
}

/// One figure of an instance.
fn figure(client: &mut Client, series: &str) -> f64 {
    let figures = client.get("/metrics").unwrap();
    let text = String::from_utf8(figures.body).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().unwrap()
}

/// Each fault is planted in sound tables, found, and taken back.
fn find_what_is_tampered_with(system: &mut System) {
    system.verify();
    for instance in 0..2 {
        system.terminate_instance(instance);
    }
    let faults = [
        ("INV-06", "DELETE FROM ledger_rows WHERE wallet_id = 'alice' AND version = 2"),
        ("INV-06", "DELETE FROM ledger_rows WHERE wallet_id = 'alice' AND version = 4"),
        ("INV-08", "UPDATE ledger_rows SET amount = amount + 1 WHERE wallet_id = 'alice' AND version = 2"),
        ("INV-06", "DELETE FROM wallet_states WHERE wallet_id = 'alice'"),
        ("INV-08", "UPDATE wallet_states SET balance = balance + 1 WHERE wallet_id = 'alice'"),
        ("INV-06", "UPDATE wallet_states SET version = version - 1 WHERE wallet_id = 'alice'"),
        ("INV-06", "DELETE FROM outbox_events WHERE wallet_id = 'alice' AND event_version = 2"),
        (
            "INV-08",
            "UPDATE outbox_events SET partition = 1, event_type = 2 WHERE wallet_id = 'alice' AND event_version = 1",
        ),
    ];
    for table in ["ledger_rows", "wallet_states", "outbox_events"] {
        system.tamper(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
    }
    for (invariant, sql) in faults {
        system.tamper(sql);
        let (code, said) = system.verify_said();
        assert_eq!(code, Some(1), "{sql}: {said}");
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        let violated = |verdict: &&serde_json::Value| verdict["violations"].as_u64() > Some(0);
        let found: Vec<_> = report["verdicts"].as_array().unwrap().iter().filter(violated).collect();
        assert!(found.iter().any(|verdict| verdict["invariant"] == invariant), "{sql}: {said}");
        for table in ["ledger_rows", "wallet_states", "outbox_events"] {
            system.tamper(&format!(
                "BEGIN; DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}; COMMIT"
            ));
        }
    }
    system.verify();
}

/// Create, credit, debit, transfer, replay, history: each request to the other instance than the one before.
fn follow_the_contract(system: &System, deadline: Instant) {
    let mut instances = [0, 1].map(|instance| {
        let one = Whereabouts::of(1);
        one.set(0, system.whereabouts().address(instance));
        Client::new(one, deadline)
    });
    let requests = [
        ("/wallets", r#"{"walletId":"alice","ownerId":"a","initialBalance":"100.00"}"#, 201),
        ("/wallets", r#"{"walletId":"bob","ownerId":"b"}"#, 201),
        ("/wallets/alice/credit", r#"{"amount":"50.25"}"#, 200),
        ("/wallets/alice/debit", r#"{"amount":"0.25"}"#, 200),
        ("/wallets/alice/transfer", r#"{"toWalletId":"bob","amount":"30"}"#, 200),
        ("/wallets/bob/debit", r#"{"amount":"30.01"}"#, 422),
    ];
    for (at, (path, body, status)) in requests.iter().enumerate() {
        let key = format!("contract-{at}");
        let first = instances[at % 2].post(path, &key, "contract", body.as_bytes()).unwrap();
        assert_eq!((first.status, first.replayed), (*status, false), "{path} {body}: {:?}", first.json());
        // The answer is stored after it was given: for a moment the other instance finds the key in flight.
        let again = loop {
            let again = instances[(at + 1) % 2].post(path, &key, "contract", body.as_bytes()).unwrap();
            if again.status != 409 || again.json()["code"] != "idempotency-key-in-flight" {
                break again;
            }
            assert!(Instant::now() < deadline, "the answer is never stored");
        };
        assert_eq!((again.status, again.replayed, &again.body), (*status, true, &first.body), "the other instance");
    }
    let listed = system.events("alice");
    assert_eq!(listed.len(), 4, "{listed:?}");
    assert_eq!(listed[0]["type"], "WalletCreated");
    assert_eq!(listed[3]["version"], 4);
    for client in &mut instances {
        let alice = view::wallet(client, "alice", 4, deadline).expect("alice is there");
        assert_eq!((alice.version, alice.balance), (4, 12_000));
        assert_eq!(view::wallet(client, "bob", 2, deadline).expect("bob is there").balance, 3_000);
        let kinds: Vec<String> = view::ledger(client, "alice", 4, deadline).into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["create", "credit", "debit", "transfer_out"]);
        assert_eq!(view::events(client, "alice", deadline).len(), 4);
        let past = client.get("/wallets/alice?version=2").unwrap();
        assert_eq!(view::snapshot(&past.body).balance, 15_025);
        let health = client.get("/health").unwrap();
        assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("up")), "{:?}", health.json());
        let kafka = client.get("/health/kafka").unwrap().json();
        assert_eq!(kafka["producer"]["connected"], true, "{kafka}");
        let statistics = client.get("/health/kafka/stats").unwrap().json();
        assert_eq!(statistics["topics"][0]["partitions"], 10, "{statistics}");
    }
}

/// The newest version of every wallet that exists.
fn newest_versions(history: &History, whereabouts: &Whereabouts, deadline: Instant) -> BTreeMap<String, u64> {
    let mut client = Client::new(whereabouts.clone(), deadline);
    let mut newest = BTreeMap::new();
    for operation in history.records().flat_map(|record| &record.request.operations) {
        let wallets = match operation {
            Operation::Create { wallet, .. } | Operation::Credit { wallet, .. } | Operation::Debit { wallet, .. } => {
                vec![wallet]
            }
            Operation::Transfer { from, to, .. } => vec![from, to],
        };
        for wallet in wallets {
            if !newest.contains_key(wallet) {
                let events = view::events(&mut client, wallet, deadline);
                newest.insert(wallet.clone(), events.len() as u64);
            }
        }
    }
    newest.retain(|_, version| *version > 0);
    newest
}
