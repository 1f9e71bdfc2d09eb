//! What an instance says of itself while a server is away, and when it is back.

use std::time::Instant;

use serde_json::Value;

use crate::client::Client;
use crate::figure;
use crate::system::{Server, System};
use crate::whereabouts::Whereabouts;

/// Without Redis an instance is slower and not wrong, and says so in health and figures until it is back.
pub(crate) fn go_on_without_redis(system: &mut System, deadline: Instant) {
    let here = Whereabouts::of(1);
    here.set(0, system.whereabouts().address(0));
    let mut client = Client::new(here, deadline);
    assert_eq!(figure(&mut client, r#"dependency_up{name="redis"}"#), 1.0);
    let failures = figure(&mut client, "lease_failures_total");
    system.kill(Server::Redis);
    // A wallet of which nobody has a lease yet.
    let carol = br#"{"walletId":"carol","ownerId":"c"}"#;
    let written = client.post("/wallets", "without-redis", "contract", carol).unwrap();
    assert_eq!(written.status, 201, "{:?}", written.json());
    let health = client.get("/health").unwrap();
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")), "{:?}", health.json());
    let dependencies = health.json()["dependencies"].as_array().unwrap().clone();
    let down: Vec<_> = dependencies.iter().filter(|one| one["status"] == "down").collect();
    assert!(matches!(down[..], [redis] if redis["name"] == "redis" && redis["reason"].is_string()), "{down:?}");
    assert_eq!(client.get("/health/ready").unwrap().status, 200);
    assert_eq!(figure(&mut client, r#"dependency_up{name="redis"}"#), 0.0);
    assert_eq!(figure(&mut client, r#"dependency_up{name="kafka"}"#), 1.0);
    assert!(figure(&mut client, "lease_failures_total") > failures, "the write asked for a lease");
    system.restart(Server::Redis);
    while figure(&mut client, r#"dependency_up{name="redis"}"#) < 1.0 {
        assert!(Instant::now() < deadline, "Redis is back and not found");
    }
    assert_eq!(client.get("/health").unwrap().json()["status"], "up");
}

/// An event store that was away and is back is up again in every line of health, though nobody has written since.
pub(crate) fn health_is_well_again_without_a_write(system: &mut System, deadline: Instant) {
    let here = Whereabouts::of(1);
    here.set(0, system.whereabouts().address(0));
    let mut client = Client::new(here, deadline);
    let credit = br#"{"amount":"1"}"#;
    // A wallet that this instance holds: the next command on it goes to the event store as an append.
    let credited = client.post("/wallets/carol/credit", "with-a-store", "contract", credit).unwrap();
    assert_eq!(credited.status, 200, "{:?}", credited.json());
    system.kill(Server::EventStore);
    let refused = client.post("/wallets/carol/credit", "without-a-store", "contract", credit).unwrap();
    assert!(refused.status >= 500, "{:?}", refused.json());
    loop {
        let health = client.get("/health").unwrap();
        assert_eq!(health.status, 503, "{:?}", health.json());
        if ["event-store", "appends"].iter().all(|name| reason(&health.json(), name).is_string()) {
            break;
        }
        assert!(Instant::now() < deadline, "it is only {:?}", health.json());
    }
    system.restart(Server::EventStore);
    loop {
        let health = client.get("/health").unwrap();
        if health.json()["status"] == "up" {
            break;
        }
        assert!(Instant::now() < deadline, "it stays {:?}", health.json());
    }
}

/// Without Kafka events wait. Readiness does not ask it, and health says what its client has met.
pub(crate) fn go_on_without_kafka(system: &mut System, deadline: Instant) {
    let here = Whereabouts::of(1);
    here.set(0, system.whereabouts().address(0));
    let mut client = Client::new(here, deadline);
    system.kill(Server::Kafka);
    let health = client.get("/health").unwrap();
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("degraded")), "{:?}", health.json());
    let why = reason(&health.json(), "kafka");
    assert!(why.as_str().is_some_and(|why| why != "it does not answer"), "{why}");
    let ready = client.get("/health/ready").unwrap();
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("up")), "{:?}", ready.json());
    let asked: Vec<Value> =
        ready.json()["dependencies"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(asked, ["commands", "event-store", "database"]);
    system.restart(Server::Kafka);
    while client.get("/health").unwrap().json()["status"] != "up" {
        assert!(Instant::now() < deadline, "Kafka is back and not found");
    }
}

/// Why a dependency is down.
fn reason(health: &Value, name: &str) -> Value {
    let dependencies = health["dependencies"].as_array().unwrap();
    dependencies.iter().find(|one| one["name"] == name).expect("it is named")["reason"].clone()
}
