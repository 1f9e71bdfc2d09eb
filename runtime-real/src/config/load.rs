//! Puts the sources together: defaults, file, environment, flags, each over the one before.
//!
//! Finds all mistakes in one go: unknown names, wrong types, values out of bounds or against each other. Which settings
//! there are is in `settings`, how a value is read in `value`; whether an address leads anywhere is found out by the
//! client that uses it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::nearest;
use super::settings::{SETTINGS, Setting};
use super::value::Kind;
use super::{Config, ConfigError, Profile};

/// The variable that names the configuration file; not a setting itself.
const FILE_VARIABLE: &str = "WALLEX_CONFIG";
/// What `http.drain_delay_ms` is in the production profile, where nothing sets it.
const DRAIN_DELAY_MS_PRODUCTION: u64 = 1_000;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// This file.
    File(Arc<Path>),
    /// This environment variable.
    Environment(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Everything that a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config FILE`; without it the environment's `WALLEX_CONFIG`, without that no file.
    pub file: Option<PathBuf>,
    /// The environment, as `std::env::vars_os` gives it. Variables that are not the service's are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags: setting, flag, value, such as `("listen", "--listen", "127.0.0.1:0")`.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// A configuration, and the source of each of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// The source of each setting, in the order of [`SETTINGS`].
    pub sources: Vec<Source>,
}

/// One value as some source has it.
struct Given {
    setting: &'static Setting,
    text: String,
    source: Source,
}

impl Loaded {
    /// Reads and checks everything. All errors are found in one go.
    ///
    /// # Errors
    /// [`ConfigError`] names each unknown, unreadable or contradictory setting and where it stands.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut errors = Vec::new();
        let mut given = Vec::new();
        if let Some(path) = file_path(sources) {
            match std::fs::read_to_string(&path) {
                Ok(text) => given_by_file(&path, &text, &mut given, &mut errors),
                Err(error) => errors.push(ConfigError::Unreadable { path: path.display().to_string(), error }),
            }
        }
        given_by_environment(&sources.environment, &mut given, &mut errors);
        for (path, flag, value) in &sources.flags {
            match Setting::named(path) {
                Some(setting) => given.push(Given { setting, text: value.clone(), source: Source::Flag(flag) }),
                None => errors.push(unknown(path, Source::Flag(flag))),
            }
        }
        let mut loaded = Self { config: Config::default(), sources: vec![Source::Default; SETTINGS.len()] };
        for value in given {
            loaded.take(value, &mut errors);
        }
        loaded.fit_defaults_to_the_profile();
        if errors.is_empty() {
            contradictions(&loaded.config, &mut errors);
        }
        match errors.len() {
            0 => Ok(loaded),
            1 => Err(errors.remove(0)),
            _ => Err(ConfigError::Several(errors)),
        }
    }

    /// The source of a setting's value.
    #[must_use]
    pub fn source(&self, path: &str) -> Option<&Source> {
        let at = SETTINGS.iter().position(|setting| setting.path == path)?;
        self.sources.get(at)
    }

    /// Nobody stands before an embedded service and looks whether it is ready; before an instance somebody does.
    fn fit_defaults_to_the_profile(&mut self) {
        if self.config.profile == Profile::Production && self.source("http.drain_delay_ms") == Some(&Source::Default) {
            self.config.http.drain_delay_ms = DRAIN_DELAY_MS_PRODUCTION;
        }
    }

    fn take(&mut self, given: Given, errors: &mut Vec<ConfigError>) {
        let Given { setting, text, source } = given;
        let checked = in_bounds(setting.kind, &text).and_then(|()| (setting.set)(&mut self.config, &text));
        match checked {
            Ok(()) => {
                if let Some(at) = SETTINGS.iter().position(|one| std::ptr::eq(one, setting)) {
                    self.sources[at] = source;
                }
            }
            Err(reason) => errors.push(invalid(setting, text, source, reason)),
        }
    }
}

/// A value that is refused; it is not repeated when a password may be in it.
fn invalid(setting: &Setting, value: String, origin: Source, reason: String) -> ConfigError {
    let value = if setting.may_hold_a_password() { "***".to_owned() } else { value };
    ConfigError::Invalid { name: setting.path, value, origin, reason }
}

/// What is wrong with the file's form, and where. The line itself is not repeated: a password may be in it.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    format!("line {line}, column {column}: {}", error.message())
}

fn file_path(sources: &Sources) -> Option<PathBuf> {
    let from_environment = || {
        let set = sources.environment.iter().find(|(name, _)| name == FILE_VARIABLE);
        set.map(|(_, value)| PathBuf::from(value))
    };
    sources.file.clone().or_else(from_environment)
}

fn in_bounds(kind: Kind, text: &str) -> Result<(), String> {
    let Kind::Integer { min, max } = kind else { return Ok(()) };
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        Ok(_) | Err(_) => Err(format!("must be a whole number from {min} to {max}")),
    }
}

fn given_by_file(path: &Path, text: &str, given: &mut Vec<Given>, errors: &mut Vec<ConfigError>) {
    let source = Source::File(Arc::from(path));
    match text.parse::<toml::Table>() {
        Ok(table) => given_by_table("", table, &source, given, errors),
        Err(error) => {
            let reason = not_toml(text, &error);
            errors.push(ConfigError::NotToml { path: path.display().to_string(), reason });
        }
    }
}

fn given_by_table(
    prefix: &str,
    table: toml::Table,
    source: &Source,
    given: &mut Vec<Given>,
    errors: &mut Vec<ConfigError>,
) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let is_section =
            SETTINGS.iter().any(|setting| setting.path.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
        match (Setting::named(&path), value) {
            (Some(setting), value) => match text_of(setting.kind, &value) {
                Ok(text) => given.push(Given { setting, text, source: source.clone() }),
                Err(reason) => errors.push(invalid(setting, value.to_string(), source.clone(), reason)),
            },
            (None, toml::Value::Table(inner)) if is_section => given_by_table(&path, inner, source, given, errors),
            (None, _) => errors.push(unknown(&path, source.clone())),
        }
    }
}

/// The text of a TOML value of the right type.
fn text_of(kind: Kind, value: &toml::Value) -> Result<String, String> {
    match (kind, value) {
        (Kind::Text, toml::Value::String(text)) => Ok(text.clone()),
        (Kind::Integer { .. }, toml::Value::Integer(number)) => Ok(number.to_string()),
        (Kind::Boolean, toml::Value::Boolean(yes)) => Ok(yes.to_string()),
        (Kind::Ratio, toml::Value::Float(number)) => Ok(number.to_string()),
        (Kind::Ratio, toml::Value::Integer(number)) => Ok(number.to_string()),
        (Kind::Text, other) => Err(format!("must be a string, not {}", a_type(other))),
        (Kind::Integer { .. }, other) => Err(format!("must be an integer, not {}", a_type(other))),
        (Kind::Ratio, other) => Err(format!("must be a number, not {}", a_type(other))),
        (Kind::Boolean, other) => Err(format!("must be true or false, not {}", a_type(other))),
    }
}

fn a_type(value: &toml::Value) -> String {
    let name = value.type_str();
    if name.starts_with(['a', 'i']) { format!("an {name}") } else { format!("a {name}") }
}

fn given_by_environment(environment: &[(OsString, OsString)], given: &mut Vec<Given>, errors: &mut Vec<ConfigError>) {
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let by_alias = SETTINGS.iter().find(|setting| setting.alias == Some(name));
        let by_variable = SETTINGS.iter().find(|setting| setting.variable() == name);
        let source = Source::Environment(name.to_owned());
        match (by_alias.or(by_variable), value.to_str()) {
            (Some(setting), Some(text)) => {
                contradicting_names(setting, text, &source, given, errors);
                given.push(Given { setting, text: text.to_owned(), source });
            }
            (Some(_), None) => errors.push(ConfigError::NotUnicode { name: name.to_owned() }),
            (None, _) if name.starts_with("WALLEX_") && name != FILE_VARIABLE => errors.push(unknown(name, source)),
            (None, _) => {}
        }
    }
}

/// A setting with two names in the environment must have one value.
fn contradicting_names(
    setting: &'static Setting,
    text: &str,
    source: &Source,
    given: &[Given],
    errors: &mut Vec<ConfigError>,
) {
    let earlier = given.iter().find(|other| {
        std::ptr::eq(other.setting, setting) && matches!(other.source, Source::Environment(_)) && other.text != text
    });
    if let Some(earlier) = earlier {
        errors.push(ConfigError::Contradiction {
            first: earlier.source.to_string(),
            second: source.to_string(),
            reason: format!("both set {}, to {:?} and {text:?}", setting.path, earlier.text),
        });
    }
}

fn unknown(name: &str, origin: Source) -> ConfigError {
    let known: Vec<String> = match origin {
        Source::Environment(_) => {
            let aliases = SETTINGS.iter().filter_map(|setting| setting.alias.map(str::to_owned));
            SETTINGS.iter().map(Setting::variable).chain(aliases).collect()
        }
        Source::Default | Source::File(_) | Source::Flag(_) => {
            SETTINGS.iter().map(|setting| setting.path.to_owned()).collect()
        }
    };
    ConfigError::Unknown { name: name.to_owned(), nearest: nearest(name, known.into_iter()), origin }
}

fn contradictions(config: &Config, errors: &mut Vec<ConfigError>) {
    let http = &config.http;
    let mut contradict = |first: &str, second: &str, reason: &str| {
        errors.push(ConfigError::Contradiction {
            first: first.to_owned(),
            second: second.to_owned(),
            reason: reason.to_owned(),
        });
    };
    if http.min_version_wait_ms >= http.request_timeout_ms {
        contradict(
            "http.min_version_wait_ms",
            "http.request_timeout_ms",
            "a request would time out before the wait for its version ends",
        );
    }
    // The shortest operation that a batch can hold has more than 64 bytes.
    if http.body_limit_bytes < http.batch_operations_max.saturating_mul(64) {
        contradict(
            "http.body_limit_bytes",
            "http.batch_operations_max",
            "a batch of that many operations does not fit into a body of that size",
        );
    }
}
