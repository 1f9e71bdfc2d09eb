//! The configuration: one TOML file, environment variables over it, flags over both, parsed once into types.
//!
//! Owns the types ([`Config`]), the table of all settings ([`SETTINGS`]), where each value came from ([`Loaded`]), and
//! the errors that name what is wrong. Unknown names, wrong types and contradictions are errors, never ignored. What
//! the settings do is left to the modules that take them; no other module reads an environment variable or a file of
//! settings.

mod error;
mod load;
mod print;
mod settings;
mod url;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use wallex_core::currency::Currency;
use wallex_core::limits;

pub use error::ConfigError;
pub use load::{Loaded, Source, Sources};
pub use print::reference;
pub use settings::{SETTINGS, Setting};
pub use url::ServerUrl;
pub use value::{
    KafkaBrokers, Kind, KurrentDbUrl, LogFormat, LogLevel, MoneyFormat, OtlpEndpoint, PostgresUrl, Profile, RedisUrl,
    SampleRatio,
};

/// Everything that can be set. The meaning of each field stands in [`SETTINGS`], the table that the documentation is
/// generated from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `listen`
    pub listen: SocketAddr,
    /// `data_dir`
    pub data_dir: PathBuf,
    /// `profile`
    pub profile: Profile,
    /// `default_currency`
    pub default_currency: Currency,
    /// `money_format`
    pub money_format: MoneyFormat,
    /// `idempotency.*`
    pub idempotency: IdempotencyConfig,
    /// `projectors.*`
    pub projectors: ProjectorsConfig,
    /// `http.*`
    pub http: HttpConfig,
    /// `journal.*`
    pub journal: JournalConfig,
    /// `outbox.*`
    pub outbox: OutboxConfig,
    /// `kurrentdb.*`
    pub kurrentdb: KurrentDbConfig,
    /// `postgres.*`
    pub postgres: PostgresConfig,
    /// `kafka.*`
    pub kafka: KafkaConfig,
    /// `redis.*`
    pub redis: RedisConfig,
    /// `limits.*`
    pub limits: LimitsConfig,
    /// `log.*`
    pub log: LogConfig,
    /// `otlp.*`
    pub otlp: OtlpConfig,
}

/// `idempotency.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyConfig {
    /// `idempotency.ttl_hours`
    pub ttl_hours: u32,
}

/// `projectors.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectorsConfig {
    /// `projectors.auto_start`
    pub auto_start: bool,
}

/// `http.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// `http.threads`
    pub threads: usize,
    /// `http.connections_max`
    pub connections_max: usize,
    /// `http.body_limit_bytes`
    pub body_limit_bytes: usize,
    /// `http.batch_operations_max`
    pub batch_operations_max: usize,
    /// `http.header_timeout_ms`
    pub header_timeout_ms: u64,
    /// `http.request_timeout_ms`
    pub request_timeout_ms: u64,
    /// `http.min_version_wait_ms`
    pub min_version_wait_ms: u64,
    /// `http.drain_delay_ms`
    pub drain_delay_ms: u64,
    /// `http.drain_timeout_ms`
    pub drain_timeout_ms: u64,
}

/// `journal.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// `journal.segment_bytes`
    pub segment_bytes: u64,
    /// `journal.snapshot_every_events`
    pub snapshot_every_events: u64,
}

/// `outbox.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// `outbox.retention_hours`
    pub retention_hours: u32,
}

/// `kurrentdb.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KurrentDbConfig {
    /// `kurrentdb.url`
    pub url: KurrentDbUrl,
}

/// `postgres.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// `postgres.url`
    pub url: PostgresUrl,
    /// `postgres.connections_max`
    pub connections_max: u32,
}

/// `kafka.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// `kafka.brokers`
    pub brokers: KafkaBrokers,
    /// `kafka.topic_prefix`
    pub topic_prefix: String,
    /// `kafka.replication`
    pub replication: u32,
}

/// `redis.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// `redis.url`
    pub url: RedisUrl,
    /// `redis.key_prefix`
    pub key_prefix: String,
}

/// `limits.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `limits.pending_commands`
    pub pending_commands: usize,
    /// `limits.cached_wallets`
    pub cached_wallets: usize,
}

/// `log.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `log.level`
    pub level: LogLevel,
    /// `log.format`
    pub format: LogFormat,
}

/// `otlp.*`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpConfig {
    /// `otlp.endpoint`
    pub endpoint: OtlpEndpoint,
    /// `otlp.sample_ratio`
    pub sample_ratio: SampleRatio,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            data_dir: PathBuf::from("./wallex-data"),
            profile: Profile::Embedded,
            default_currency: Currency::parse("USD").expect("USD is in the table of currencies"),
            money_format: MoneyFormat::Number,
            idempotency: IdempotencyConfig { ttl_hours: 24 },
            projectors: ProjectorsConfig { auto_start: true },
            http: HttpConfig {
                threads: 0,
                connections_max: 10_000,
                body_limit_bytes: 4 << 20,
                batch_operations_max: limits::BATCH_OPERATIONS_MAX,
                header_timeout_ms: 60_000,
                request_timeout_ms: 30_000,
                min_version_wait_ms: 2_000,
                drain_delay_ms: 0,
                drain_timeout_ms: 10_000,
            },
            journal: JournalConfig { segment_bytes: 64 << 20, snapshot_every_events: 1_000_000 },
            outbox: OutboxConfig { retention_hours: 168 },
            kurrentdb: KurrentDbConfig {
                url: KurrentDbUrl(fixed_url("kurrentdb://127.0.0.1:2113?tls=false", "kurrentdb")),
            },
            postgres: PostgresConfig {
                url: PostgresUrl(fixed_url("postgres://wallex@127.0.0.1:5434/wallex", "postgres")),
                connections_max: 16,
            },
            kafka: KafkaConfig {
                brokers: fixed_brokers("127.0.0.1:9092"),
                topic_prefix: String::new(),
                replication: 1,
            },
            redis: RedisConfig {
                url: RedisUrl(fixed_url("redis://127.0.0.1:6379", "redis")),
                key_prefix: "wallex".to_owned(),
            },
            limits: LimitsConfig {
                pending_commands: limits::COMMANDS_PENDING_MAX,
                cached_wallets: limits::WALLETS_CACHED_MAX,
            },
            log: LogConfig { level: LogLevel::Info, format: LogFormat::Json },
            otlp: OtlpConfig::default(),
        }
    }
}

fn fixed_brokers(text: &str) -> KafkaBrokers {
    value::Value::parse(text).expect("a default is well-formed")
}

fn fixed_url(text: &str, scheme: &str) -> ServerUrl {
    ServerUrl::parse(text, &[scheme]).expect("a default is well-formed")
}

impl HttpConfig {
    /// The number of threads that serve HTTP: as configured, or, when that is 0, half of the processors, because the
    /// core, the pipeline and the database need the others. At least one.
    #[must_use]
    pub fn threads_effective(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
    }
}

#[cfg(test)]
mod tests;
