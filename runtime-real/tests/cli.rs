//! The command line as a script sees it: exit codes, and messages that name what is wrong.

// A test may stop at the first surprise.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// Runs the binary in an empty directory, without the settings of whoever runs the tests.
fn wallex(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    run_in(directory.path(), args, environment)
}

fn run_in(directory: &std::path::Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wallex"));
    let is_setting =
        |name: &str| name.starts_with("WALLEX_") || name == "PROJECTORS_AUTO_START" || name == "IDEMPOTENCY_TTL_HOURS";
    for (name, _) in std::env::vars().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    command.args(args).envs(environment.iter().copied()).current_dir(directory).stdin(Stdio::null());
    command.output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn help_names_every_verb_and_ends_with_zero() {
    let output = wallex(&["--help"], &[]);
    assert_eq!(code(&output), 0);
    for verb in ["serve", "load", "verify", "events", "config"] {
        assert!(stdout(&output).contains(verb), "{verb}");
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    for args in
        [&["fly"][..], &["load", "--wallets", "many"], &["load", "--workers", "0"], &["serve", "--port", "1"], &[]]
    {
        let output = wallex(args, &[]);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(!stderr(&output).is_empty(), "{args:?} says what is wrong");
    }
}

#[test]
fn a_wrong_configuration_ends_with_two_and_names_the_setting() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("wallex.toml"), "lisen = \"127.0.0.1:1\"\n").unwrap();
    for verb in [&["config", "check"][..], &["config", "print"], &["serve"], &["verify"], &["events"]] {
        let args = [verb, &["--config", "wallex.toml"]].concat();
        let output = run_in(directory.path(), &args, &[]);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("lisen"), "{args:?}: {}", stderr(&output));
    }
    let output = wallex(&["config", "check"], &[("WALLEX_LISEN", "127.0.0.1:1")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("WALLEX_LISEN"), "{}", stderr(&output));
}

#[test]
fn an_address_that_its_client_cannot_read_ends_with_two_and_names_the_setting() {
    for (variable, setting, url) in [
        ("WALLEX_KURRENTDB_URL", "kurrentdb.url", "kurrentdb://user:secret@db:2113?tsl=true"),
        ("WALLEX_POSTGRES_URL", "postgres.url", "postgres://user:secret@db:99999/wallex"),
        ("WALLEX_REDIS_URL", "redis.url", "redis://user:secret@db:6379/first"),
        ("WALLEX_KAFKA_BROKERS", "kafka.brokers", ""),
        ("WALLEX_KAFKA_BROKERS", "kafka.brokers", "k1:9092,k2:port"),
    ] {
        for args in [&["config", "check"][..], &["serve", "--profile", "production", "--listen", "127.0.0.1:0"]] {
            let output = wallex(args, &[(variable, url)]);
            assert_eq!(code(&output), 2, "{args:?} {url}: {}", stderr(&output));
            let said = stderr(&output);
            assert!(said.contains(setting) && !said.contains("secret"), "{args:?} {url}: {said}");
        }
    }
}

#[test]
fn the_printed_configuration_is_a_configuration_and_shows_its_sources() {
    let directory = tempfile::tempdir().unwrap();
    let printed = run_in(directory.path(), &["config", "print"], &[("WALLEX_LISTEN", "127.0.0.1:4711")]);
    assert_eq!(code(&printed), 0);
    assert!(stdout(&printed).contains("127.0.0.1:4711"));
    assert!(stdout(&printed).contains("WALLEX_LISTEN"));
    std::fs::write(directory.path().join("wallex.toml"), stdout(&printed)).unwrap();
    let checked = run_in(directory.path(), &["config", "check", "--config", "wallex.toml"], &[]);
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
}

#[test]
fn without_data_there_is_nothing_to_verify_or_show() {
    for verb in ["verify", "events"] {
        let output = wallex(&[verb, "--data-dir", "nowhere"], &[]);
        assert_eq!(code(&output), 3, "{verb}: {}", stderr(&output));
        assert!(stderr(&output).contains("nowhere"), "{verb}: {}", stderr(&output));
    }
}

#[test]
fn a_place_where_nothing_can_be_recorded_ends_with_three_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "in the way").unwrap();
    let args = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--flight-recorder", "file/flight"];
    let output = run_in(directory.path(), &args, &[]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot record below file/flight"), "{}", stderr(&output));
}

#[test]
fn load_without_a_service_ends_with_three_and_names_the_address() {
    // Bound and closed again: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = wallex(&["load", "--url", &format!("http://{address}")], &[]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
    assert_eq!(code(&wallex(&["load", "--url", "https://127.0.0.1:3000"], &[])), 2);
}
