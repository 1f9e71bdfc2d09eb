//! The table of all settings: name, type, bounds, meaning. Documentation, `config print`, the names of environment
//! variables and the search for the nearest known name all read it.
//!
//! A new setting is a member of [`Config`] and a line here. Defaults stand with the types, reading and writing of
//! values is left to `value`, and what a setting does to the module that takes it.

use wallex_core::limits;

use super::Config;
use super::value::{Kind, Value};

/// One setting.
pub struct Setting {
    /// The path in the file, such as `http.threads`.
    pub path: &'static str,
    /// What it means, with its unit.
    pub doc: &'static str,
    /// The type in the file, with bounds.
    pub kind: Kind,
    /// A name from the original system under which the environment may set it too.
    pub alias: Option<&'static str>,
    /// Parses a text into the configuration.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// The value as text.
    pub(super) show: fn(&Config) -> String,
}

impl Setting {
    /// The environment variable that sets it: `WALLEX_` and the path in upper case.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("WALLEX_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// The value in `config`, as it would stand in a file, without quotes.
    #[must_use]
    pub fn value(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// Whether the value must not be shown as it was given.
    pub(super) fn may_hold_a_password(&self) -> bool {
        self.path.ends_with(".url") || self.path == "otlp.endpoint"
    }

    /// The setting with this path.
    #[must_use]
    pub fn named(path: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.path == path)
    }
}

macro_rules! setting {
    ($($field:ident).+, $kind:expr, $doc:literal) => {
        setting!($($field).+, $kind, $doc, alias: None)
    };
    ($($field:ident).+, $kind:expr, $doc:literal, alias: $alias:expr) => {
        Setting {
            path: stringify!($($field).+),
            doc: $doc,
            kind: $kind,
            alias: $alias,
            set: |config, text| {
                config.$($field).+ = Value::parse(text)?;
                Ok(())
            },
            show: |config| config.$($field).+.show(),
        }
    };
}

const fn between(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

/// Every setting, in the order of the documentation.
pub static SETTINGS: &[Setting] = &[
    setting!(listen, Kind::Text, "Address and port of the HTTP interface; port 0 takes any free one."),
    setting!(data_dir, Kind::Text, "Directory of the journal and the database; created when it is not there."),
    setting!(
        profile,
        Kind::Text,
        "Which technologies the service runs on: `embedded` is everything in one process and one directory, `production` \
         is KurrentDB, Postgres, Kafka and Redis, with any number of instances."
    ),
    setting!(default_currency, Kind::Text, "ISO 4217 code of wallets that are created without one."),
    setting!(
        money_format,
        Kind::Text,
        "How money is written in JSON answers: `number` (`150.00`) or `string` (`\"150.00\"`). Requests may use both."
    ),
    setting!(
        idempotency.ttl_hours,
        between(1, 8_760),
        "Hours for which the answer to an `Idempotency-Key` is kept and replayed.",
        alias: Some("IDEMPOTENCY_TTL_HOURS")
    ),
    setting!(
        projectors.auto_start,
        Kind::Boolean,
        "Whether the read model and the ledger are kept up to date from the start; `false` starts without consumers.",
        alias: Some("PROJECTORS_AUTO_START")
    ),
    setting!(http.threads, between(0, 1_024), "Threads that serve HTTP; 0 is half of the processors, at least one."),
    setting!(http.connections_max, between(1, 1_000_000), "Open connections; more wait until one closes."),
    setting!(http.body_limit_bytes, between(1_024, 1 << 30), "Largest request body, in bytes; larger ones are 413."),
    setting!(
        http.batch_operations_max,
        between(1, limits::BATCH_OPERATIONS_MAX as u64),
        "Most operations in one `POST /batch`."
    ),
    setting!(
        http.header_timeout_ms,
        between(100, 3_600_000),
        "Milliseconds in which the head of a request must arrive; also how long an idle connection stays open."
    ),
    setting!(
        http.request_timeout_ms,
        between(100, 3_600_000),
        "Milliseconds in which a request's body must arrive, and again in which it must be answered."
    ),
    setting!(
        http.min_version_wait_ms,
        between(0, 60_000),
        "Milliseconds for which `?minVersion=` waits for the read model."
    ),
    setting!(
        http.drain_delay_ms,
        between(0, 600_000),
        "Milliseconds for which the service goes on taking requests after SIGTERM, while `/health/ready` is 503 already, so \
         that a load balancer finds out; 1000 unless set in the production profile. A second signal ends it."
    ),
    setting!(
        http.drain_timeout_ms,
        between(0, 600_000),
        "Milliseconds that requests in flight get to finish when the service stops."
    ),
    setting!(journal.segment_bytes, between(4_096, 1 << 30), "Size of a journal segment file, in bytes, preallocated."),
    setting!(
        journal.snapshot_every_events,
        between(1_000, 1_000_000_000),
        "Events after which a snapshot is written, so that start-up reads only the tail."
    ),
    setting!(
        outbox.retention_hours,
        between(1, 87_600),
        "Hours for which published outbox rows are kept before they are cleaned up."
    ),
    setting!(kurrentdb.url, Kind::Text, "Production: connection string of KurrentDB; several hosts are a cluster."),
    setting!(postgres.url, Kind::Text, "Production: URL of the Postgres database."),
    setting!(postgres.connections_max, between(4, 1_000), "Production: most connections of one instance to Postgres."),
    setting!(
        kafka.brokers,
        Kind::Text,
        "Production: Kafka brokers to begin with, `host` or `host:port`, separated by commas."
    ),
    setting!(
        kafka.topic_prefix,
        Kind::Text,
        "Production: put before the names of topics and consumer groups, for several systems on one cluster."
    ),
    setting!(
        kafka.replication,
        between(1, 9),
        "Production: replicas of each partition of topics that the service creates; 3 on a real cluster."
    ),
    setting!(redis.url, Kind::Text, "Production: URL of Redis."),
    setting!(redis.key_prefix, Kind::Text, "Production: put before every key in Redis."),
    setting!(
        limits.pending_commands,
        between(1, 1 << 24),
        "Commands accepted and not yet answered, above which new ones are refused with 503."
    ),
    setting!(limits.cached_wallets, between(1, 1 << 26), "Wallets whose state is kept in memory between commands."),
    setting!(log.level, Kind::Text, "Least severe lines that are logged: `error`, `warn`, `info`, `debug` or `trace`."),
    setting!(log.format, Kind::Text, "Shape of log lines on standard error: `json` or `text`."),
    setting!(
        otlp.endpoint,
        Kind::Text,
        "Collector that traces are sent to, over gRPC, such as `http://127.0.0.1:4317`; empty: no tracing."
    ),
    setting!(
        otlp.sample_ratio,
        Kind::Ratio,
        "Share of the requests without a `traceparent` that are traced, from 0 to 1; one with a \
         `traceparent` is traced when its flag says so."
    ),
];
