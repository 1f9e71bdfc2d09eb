use std::ffi::OsString;

use super::*;

fn read_with(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wallex.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let environment = environment.iter().map(|(n, v)| (OsString::from(n), OsString::from(v))).collect();
    Loaded::read(&Sources { file: file.map(|_| path), environment, flags: Vec::new() })
}

fn error(file: &str, environment: &[(&str, &str)]) -> String {
    read_with(Some(file), environment).unwrap_err().to_string()
}

#[test]
fn nothing_set_is_the_default() {
    let loaded = read_with(None, &[("PATH", "/bin")]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.sources.iter().all(|source| *source == Source::Default));
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wallex.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:1\"\ndata_dir = \"/a\"\n[http]\nthreads = 3\n").unwrap();
    let loaded = Loaded::read(&Sources {
        file: Some(path.clone()),
        environment: vec![("WALLEX_LISTEN".into(), "127.0.0.1:2".into()), ("WALLEX_DATA_DIR".into(), "/b".into())],
        flags: vec![("listen", "--listen", "127.0.0.1:3".to_owned())],
    })
    .unwrap();
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.data_dir, PathBuf::from("/b"));
    assert_eq!(loaded.config.http.threads, 3);
    assert_eq!(loaded.source("listen"), Some(&Source::Flag("--listen")));
    assert_eq!(loaded.source("data_dir"), Some(&Source::Environment("WALLEX_DATA_DIR".to_owned())));
    assert_eq!(loaded.source("http.threads"), Some(&Source::File(path.into())));
    assert_eq!(loaded.source("profile"), Some(&Source::Default));
}

#[test]
fn the_environment_names_the_file_when_no_flag_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("named.toml");
    std::fs::write(&path, "money_format = \"string\"").unwrap();
    let environment = vec![("WALLEX_CONFIG".into(), path.into_os_string())];
    let loaded = Loaded::read(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.money_format, MoneyFormat::String);
}

#[test]
fn the_originals_own_names_work() {
    let loaded = read_with(None, &[("PROJECTORS_AUTO_START", "false"), ("IDEMPOTENCY_TTL_HOURS", "48")]).unwrap();
    assert!(!loaded.config.projectors.auto_start);
    assert_eq!(loaded.config.idempotency.ttl_hours, 48);
}

#[test]
fn unknown_names_are_errors_that_suggest_the_nearest_known_one() {
    for (file, environment, name, nearest) in [
        ("lisen = \"x\"", ("A", ""), "lisen", Some("listen")),
        ("[http]\nthread = 2", ("A", ""), "http.thread", Some("http.threads")),
        ("[htttp]\nthreads = 2", ("A", ""), "htttp", None),
        ("[zebra]\nx = 1", ("A", ""), "zebra", None),
        ("", ("WALLEX_LISTENS", "x"), "WALLEX_LISTENS", Some("WALLEX_LISTEN")),
        ("", ("WALLEX_HTTP_THREAD", "1"), "WALLEX_HTTP_THREAD", Some("WALLEX_HTTP_THREADS")),
    ] {
        let message = error(file, &[environment]);
        assert!(message.contains(&format!("unknown setting {name}")), "{message}");
        if let Some(nearest) = nearest {
            assert!(message.contains(&format!("did you mean {nearest}?")), "{message}");
        }
    }
}

#[test]
fn wrong_values_are_errors_that_name_setting_source_and_rule() {
    for (file, environment, parts) in [
        ("listen = 3000", ("A", ""), ["listen", "must be a string, not an integer"]),
        ("listen = \"3000\"", ("A", ""), ["listen", "address and a port"]),
        ("[http]\nthreads = \"2\"", ("A", ""), ["http.threads", "must be an integer, not a string"]),
        ("[http]\nthreads = -1", ("A", ""), ["http.threads", "whole number from 0 to 1024"]),
        ("default_currency = \"usd\"", ("A", ""), ["default_currency", "ISO 4217"]),
        ("profile = \"prod\"", ("A", ""), ["profile", "must be embedded or production"]),
        ("[redis]\nurl = \"127.0.0.1:6379\"", ("A", ""), ["redis.url", "a URL such as redis://"]),
        ("[kurrentdb]\nurl = \"kurrentdb://db:2113?tsl=true\"", ("A", ""), ["kurrentdb.url", "tsl"]),
        ("[kurrentdb]\nurl = \"kurrentdb://db:port\"", ("A", ""), ["kurrentdb.url", "host"]),
        ("[postgres]\nurl = \"postgres://db:99999/x\"", ("A", ""), ["postgres.url", "invalid port"]),
        ("[postgres]\nurl = \"postgres://db/x?sslmode=maybe\"", ("A", ""), ["postgres.url", "ssl"]),
        ("[redis]\nurl = \"redis://db:port\"", ("A", ""), ["redis.url", "did not parse"]),
        ("[redis]\nurl = \"redis://db:6379/first\"", ("A", ""), ["redis.url", "database number"]),
        ("[kafka]\nbrokers = \"a b\"", ("A", ""), ["kafka.brokers", "host:port"]),
        ("money_format = \"float\"", ("A", ""), ["money_format", "number or string"]),
        ("http = 3", ("A", ""), ["unknown setting http", ""]),
        ("", ("PROJECTORS_AUTO_START", "yes"), ["PROJECTORS_AUTO_START: projectors.auto_start", "true or false"]),
        ("", ("IDEMPOTENCY_TTL_HOURS", "0"), ["idempotency.ttl_hours", "from 1 to 8760"]),
        ("listen = ", ("A", ""), ["is not TOML", ""]),
    ] {
        let message = error(file, &[environment]);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn kafka_has_at_least_one_broker_and_each_has_a_host() {
    for brokers in ["k", "k1:9092,k2:9092", "10.0.0.1:9092", "[::1]:9092", "[::1]", "kafka_0.kafka-svc:65535"] {
        let loaded = read_with(None, &[("WALLEX_KAFKA_BROKERS", brokers)]).unwrap();
        assert_eq!(loaded.config.kafka.brokers.as_str(), brokers);
    }
    for brokers in
        ["", ",", "k1:9092,", ":9092", "k:", "k:0", "k:99999", "k:+1", "k:port", "::1:9092", "[k]:1", "-k", "a/b"]
    {
        let message = error("", &[("WALLEX_KAFKA_BROKERS", brokers)]);
        assert!(
            message.contains("WALLEX_KAFKA_BROKERS: kafka.brokers") && message.contains("such as k1:9092"),
            "{message}"
        );
    }
}

#[test]
fn an_instance_goes_on_for_a_second_after_sigterm_unless_told_otherwise() {
    let delay = |environment: &[(&str, &str)]| read_with(None, environment).unwrap().config.http.drain_delay_ms;
    let production = ("WALLEX_PROFILE", "production");
    assert_eq!((delay(&[]), delay(&[production])), (0, 1_000));
    for told in ["0", "5000"] {
        let set = ("WALLEX_HTTP_DRAIN_DELAY_MS", told);
        assert_eq!(delay(&[production, set]).to_string(), told);
        assert_eq!(delay(&[set]).to_string(), told);
    }
    let printed = read_with(None, &[production]).unwrap().print();
    assert!(printed.contains("drain_delay_ms = 1000"), "{printed}");
}

#[test]
fn every_error_is_reported_at_once() {
    let message = error("lisen = 1\nmoney_format = \"x\"", &[("WALLEX_NOPE", "1")]);
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn contradictions_are_errors_that_name_both_sides() {
    let message = error("", &[("WALLEX_IDEMPOTENCY_TTL_HOURS", "1"), ("IDEMPOTENCY_TTL_HOURS", "2")]);
    assert!(message.contains("WALLEX_IDEMPOTENCY_TTL_HOURS") && message.contains("contradict"), "{message}");
    let message = error("[http]\nmin_version_wait_ms = 5000\nrequest_timeout_ms = 5000", &[]);
    assert!(message.contains("http.min_version_wait_ms and http.request_timeout_ms"), "{message}");
    let message = error("[http]\nbody_limit_bytes = 2048", &[]);
    assert!(message.contains("http.body_limit_bytes and http.batch_operations_max"), "{message}");
    assert!(read_with(None, &[("WALLEX_IDEMPOTENCY_TTL_HOURS", "2"), ("IDEMPOTENCY_TTL_HOURS", "2")]).is_ok());
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let sources = Sources { file: Some(PathBuf::from("/nowhere/wallex.toml")), ..Sources::default() };
    assert!(Loaded::read(&sources).unwrap_err().to_string().contains("/nowhere/wallex.toml"));
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let loaded = read_with(Some("data_dir = \"a \\\"quoted\\\" place\"\n[log]\nlevel = \"debug\""), &[]).unwrap();
    let printed = loaded.print();
    assert!(printed.contains("# default") && printed.contains("# file "), "{printed}");
    assert_eq!(read_with(Some(&printed), &[]).unwrap().config, loaded.config);
}

#[test]
fn the_reference_lists_every_setting_with_its_variable() {
    let reference = reference();
    for setting in SETTINGS {
        assert!(reference.contains(&format!("| `{}` | `{}`", setting.path, setting.variable())), "{}", setting.path);
    }
    assert_eq!(SETTINGS.len() + 2, reference.lines().count());
}

#[test]
fn a_file_that_is_wrong_is_named_by_line_and_column_without_what_stands_there() {
    let wrong = |text: &str| read_with(Some(text), &[]).unwrap_err().to_string();
    let no_toml = wrong("listen = \"127.0.0.1:0\"\n[postgres]\nurl = postgres://me:secret@db/wallex\n");
    assert!(no_toml.contains("line 3, column 7: ") && !no_toml.contains("secret"), "{no_toml}");
    let no_text = wrong("[postgres]\nurl = [\"postgres://me:secret@db/wallex\"]\n");
    assert!(no_text.contains("postgres.url") && no_text.contains("not an array"), "{no_text}");
    assert!(!no_text.contains("secret"), "{no_text}");
}

#[test]
fn passwords_are_not_printed() {
    let loaded = read_with(None, &[("WALLEX_POSTGRES_URL", "postgres://me:secret@db/wallex")]).unwrap();
    let printed = loaded.print();
    assert!(printed.contains("url = \"postgres://me:***@db/wallex\""), "{printed}");
    assert!(!printed.contains("secret") && !format!("{loaded:?}").contains("secret"));
    let wrong = read_with(None, &[("WALLEX_POSTGRES_URL", "mysql://me:secret@db/wallex")]).unwrap_err().to_string();
    assert!(wrong.contains("postgres.url") && !wrong.contains("secret"), "{wrong}");
    for (variable, url) in [
        ("WALLEX_KURRENTDB_URL", "kurrentdb://me:secret@db:port"),
        ("WALLEX_POSTGRES_URL", "postgres://me:secret@db:99999/wallex"),
        ("WALLEX_REDIS_URL", "redis://me:secret@db:99999"),
    ] {
        let wrong = read_with(None, &[(variable, url)]).unwrap_err().to_string();
        assert!(wrong.contains(variable) && !wrong.contains("secret"), "{wrong}");
    }
}

/// `WALLEX_UPDATE_DOCS=1` writes the file anew.
#[test]
fn the_documented_settings_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
    let documented = std::fs::read_to_string(path).unwrap();
    let marker = "<!-- generated from the settings in the code: do not edit below -->\n";
    let (introduction, _) = documented.split_once(marker).expect("the marker stands before the table");
    let wanted = format!("{introduction}{marker}\n{}", reference());
    if std::env::var_os("WALLEX_UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let now = std::fs::read_to_string(path).unwrap();
    assert!(now == wanted, "docs/CONFIGURATION.md is old: run this test with WALLEX_UPDATE_DOCS=1");
}

#[test]
fn a_collector_has_an_address_and_a_share_of_the_requests() {
    let loaded =
        read_with(Some("[otlp]\nendpoint = \"http://user:secret@collector:4317\"\nsample_ratio = 0.25"), &[]).unwrap();
    let otlp = &loaded.config.otlp;
    assert!(otlp.endpoint.url().unwrap().reveal().contains("secret"));
    assert!((otlp.sample_ratio.as_share() - 0.25).abs() < 1e-9);
    let printed = loaded.print();
    assert!(printed.contains("sample_ratio = 0.25") && !printed.contains("secret"), "{printed}");
    let whole = read_with(Some("[otlp]\nsample_ratio = 1"), &[]).unwrap();
    assert!((whole.config.otlp.sample_ratio.as_share() - 1.0).abs() < 1e-9);
    assert_eq!(whole.config.otlp.endpoint.url(), None);
    for (variable, value) in
        [("ENDPOINT", "secret"), ("ENDPOINT", "grpc://secret"), ("SAMPLE_RATIO", "1.5"), ("SAMPLE_RATIO", "NaN")]
    {
        let message = error("", &[(&format!("WALLEX_OTLP_{variable}"), value)]);
        assert!(message.contains("must be a") && !message.contains("secret"), "{message}");
    }
}
