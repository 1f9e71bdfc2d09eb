//! The types that settings have, and how each is read from text and written back.
//!
//! One parser per type, whatever the source: a file's integers and booleans arrive here as their text. Bounds of numbers
//! stand in the table of settings, not here.

use std::net::SocketAddr;
use std::path::PathBuf;

use wallex_core::currency::Currency;
use wallex_kurrentdb::client::ConnectionString;

use super::url::ServerUrl;
use crate::database::PostgresOptions;
use crate::leases::redis::RedisLeases;

/// Which set of technologies the service runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Everything in one process and one directory.
    Embedded,
    /// KurrentDB, Postgres, Kafka and Redis; any number of instances.
    Production,
}

/// The connection string of KurrentDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KurrentDbUrl(pub ServerUrl);

/// The URL of Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl(pub ServerUrl);

/// The URL of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl(pub ServerUrl);

/// Kafka brokers to begin with: `host` or `host:port`, several separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaBrokers(String);

/// The collector of traces, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpEndpoint(Option<ServerUrl>);

/// A share in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRatio(u32);

/// How money is written in JSON answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyFormat {
    /// A JSON number with the exact digits, `150.00`.
    Number,
    /// A JSON string with the exact digits, `"150.00"`.
    String,
}

/// The least severe log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs an operator.
    Error,
    /// What may need one soon.
    Warn,
    /// Start, stop, and changes of state.
    Info,
    /// Every request.
    Debug,
    /// Every step of it.
    Trace,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For eyes.
    Text,
}

/// The TOML type that a setting must have in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer, with its inclusive bounds.
    Integer {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Boolean,
}

/// A type that settings can have.
pub(super) trait Value: Sized {
    fn parse(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;
}

macro_rules! integer_value {
    ($($integer:ty),+) => {$(
        impl Value for $integer {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| "must be a whole number".to_owned())
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

integer_value!(u32, u64, usize);

macro_rules! choice_value {
    ($type:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("must be {}", [$($text),+].join(" or "))),
                }
            }
            fn show(&self) -> String {
                match self {
                    $(Self::$variant => $text.to_owned(),)+
                }
            }
        }
    };
}

choice_value!(Profile { Embedded = "embedded", Production = "production" });
choice_value!(MoneyFormat { Number = "number", String = "string" });
choice_value!(LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" });
choice_value!(LogFormat { Json = "json", Text = "text" });

impl LogLevel {
    /// The name, as in `log.level`.
    #[must_use]
    pub fn name(self) -> String {
        self.show()
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an address and a port such as 127.0.0.1:3000".to_owned())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! url_value {
    ($($type:ident: $schemes:expr, $judged_by:path);+ $(;)?) => {$(
        impl Value for $type {
            /// The client that will connect to it has the last word; it does not repeat what may hold a password.
            fn parse(text: &str) -> Result<Self, String> {
                let url = ServerUrl::parse(text, $schemes)?;
                $judged_by(text).map_err(|error| error.to_string())?;
                Ok(Self(url))
            }
            fn show(&self) -> String {
                self.0.to_string()
            }
        }
    )+};
}

url_value!(
    KurrentDbUrl: &["kurrentdb", "kurrentdb+discover", "kdb", "esdb", "esdb+discover"], ConnectionString::parse;
    PostgresUrl: &["postgres", "postgresql"], PostgresOptions::parse;
    RedisUrl: &["redis", "rediss"], RedisLeases::check_url;
);

impl KafkaBrokers {
    /// As the client takes them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for KafkaBrokers {
    fn parse(text: &str) -> Result<Self, String> {
        if text.split(',').all(is_broker) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be host or host:port, several separated by commas, such as k1:9092,k2:9092".to_owned())
        }
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Whether this is a host name, an address or an IPv6 address in brackets, with a port or without.
fn is_broker(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, behind)) if address.parse::<std::net::Ipv6Addr>().is_ok() => match behind.strip_prefix(':') {
            Some(port) => ("v6", Some(port)),
            None if behind.is_empty() => ("v6", None),
            None => return false,
        },
        Some(_) => return false,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_name = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let has_digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_name && port.is_none_or(|port| has_digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

impl OtlpEndpoint {
    /// Its URL; nothing when traces go nowhere.
    #[must_use]
    pub fn url(&self) -> Option<&ServerUrl> {
        self.0.as_ref()
    }
}

impl Value for OtlpEndpoint {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(Self(None))
        } else {
            ServerUrl::parse(text, &["http", "https"]).map(|url| Self(Some(url)))
        }
    }
    fn show(&self) -> String {
        self.0.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl SampleRatio {
    /// What is a whole.
    const WHOLE: u32 = 1_000_000;

    /// From 0 to 1.
    #[must_use]
    pub fn as_share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

impl Default for SampleRatio {
    /// One request in a hundred.
    fn default() -> Self {
        Self(10_000)
    }
}

impl Value for SampleRatio {
    fn parse(text: &str) -> Result<Self, String> {
        let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        let share = share.ok_or("must be a number from 0 to 1")?;
        Ok(Self((share * f64::from(Self::WHOLE)).round() as u32))
    }
    fn show(&self) -> String {
        self.as_share().to_string()
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:,-".contains(c);
        if text.chars().all(plain) {
            Ok(text.to_owned())
        } else {
            Err("must have only A-Z a-z 0-9 . _ : , -".to_owned())
        }
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(Self::from(text)) }
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Currency {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
    fn show(&self) -> String {
        self.code().to_owned()
    }
}
