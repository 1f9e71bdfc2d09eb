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
