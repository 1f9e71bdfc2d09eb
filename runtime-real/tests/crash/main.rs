//! Kills the real service, again and again, under traffic, and audits what is left.
//!
//! Black box: a process of its own, HTTP over plain sockets, a client that records what it was told. Nothing here is
//! shared with the core or with the load generator: money is whole cents, JSON is read as JSON, and the audit folds
//! the events itself. Proves INV-01 to INV-06, INV-08 and INV-12 from outside, across `kill -9` and SIGTERM.
//!
//! The seed of every run is printed; `WALLEX_CRASH_SEED` runs that traffic and those moments again (the operating
//! system still schedules as it likes).

// A test may stop at the first surprise, and says what it does.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod audit;
mod client;
mod full_disk;
mod history;
mod rng;
mod service;
mod view;
mod whereabouts;
mod workload;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rng::Rng;
use service::Service;
use workload::Traffic;

/// How often the service is killed while it serves.
const KILLS_SERVING: u64 = 40;
/// How often it is killed while it starts, on top, about.
const KILLS_STARTING: u64 = 12;
/// No test may take longer: whoever waits, waits against this.
const TIME_MAX: Duration = Duration::from_secs(80);

/// One test at a time: each has two processors to itself, and no service gets the port of another test's dead one.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seed() -> u64 {
    let chosen = std::env::var("WALLEX_CRASH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = chosen.unwrap_or_else(rng::from_clock);
    println!("WALLEX_CRASH_SEED={seed}");
    seed
}

#[test]
fn what_was_acknowledged_survives_every_kill_exactly_once() {
    let _alone = alone();
    let seed = seed();
    let mut moments = Rng::new(seed, 1_000);
    let begun = Instant::now();
    let deadline = begun + TIME_MAX;
    let mut service = Service::start(deadline);
    let traffic = Traffic::start(seed, service.whereabouts(), deadline);

    for kill in 1..=KILLS_SERVING {
        traffic.wait_for_answers(1 + moments.below(250), deadline);
        // Anywhere between two acknowledgements, not only right after one.
        std::thread::sleep(Duration::from_micros(moments.below(3_000)));
        service.kill();
        if moments.below(KILLS_SERVING) < KILLS_STARTING {
            service.spawn();
            std::thread::sleep(Duration::from_micros(moments.below(60_000)));
            service.kill();
        }
        service.spawn();
        service.wait_until_ready(deadline);
        println!("kill {kill}: {} answers so far, {:?}", traffic.answers(), begun.elapsed());
    }
    traffic.wait_for_answers(100, deadline);
    let mut history = traffic.finish();
    println!("{}", history.summary());
    assert!(service.kills() >= KILLS_SERVING);

    audit::audit(&mut history, &service.whereabouts(), deadline);
    service.terminate(deadline);
    service.verify();
}

#[test]
fn sigterm_under_traffic_loses_nothing_and_answers_nothing_wrongly() {
    let _alone = alone();
    let seed = seed();
    let mut moments = Rng::new(seed, 2_000);
    let deadline = Instant::now() + TIME_MAX;
    let mut service = Service::start(deadline);
    let traffic = Traffic::start(seed ^ 1, service.whereabouts(), deadline);
    for _ in 0..3 {
        traffic.wait_for_answers(50 + moments.below(200), deadline);
        service.terminate(deadline);
        service.spawn();
        service.wait_until_ready(deadline);
    }
    traffic.wait_for_answers(50, deadline);
    let mut history = traffic.finish();
    println!("{}", history.summary());
    assert_eq!(history.torn_answers(), Vec::<String>::new(), "a drain finishes the answers that it has begun");

    audit::audit(&mut history, &service.whereabouts(), deadline);
    service.terminate(deadline);
    service.verify();
}

#[test]
fn a_second_service_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let _alone = alone();
    let deadline = Instant::now() + TIME_MAX;
    let mut service = Service::start(deadline);
    let (code, message) = service.start_second(deadline);
    assert!(matches!(code, Some(2 | 3)), "exit code {code:?}: {message}");
    let told = message.to_lowercase();
    assert!(told.contains("in use") || told.contains("lock"), "the message says what is wrong: {message}");

    let mut client = client::Client::new(service.whereabouts(), deadline);
    assert_eq!(client.get("/health/live").expect("the first still answers").status, 200);
    service.terminate(deadline);
}
