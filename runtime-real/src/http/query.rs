//! Reads query strings: known parameters only, each at most once.
//!
//! Mistakes are collected and told together by [`Query::finish`], which comes before any value is used. Owns the bounds
//! of a page; what else a value means is left to the resource.

use std::borrow::Cow;

use wallex_core::id::Version;
use wallex_core::time::Timestamp;

use super::problem::{FieldError, Problem};

/// The parameters of a request, and the mistakes found in them so far.
pub(super) struct Query<'a> {
    given: Vec<(&'static str, Cow<'a, str>)>,
    errors: Vec<FieldError>,
}

impl<'a> Query<'a> {
    /// Takes a query string apart. Names that are none of `known` are mistakes.
    pub(super) fn new(query: Option<&'a str>, known: &'static [&'static str]) -> Self {
        let mut parsed = Self { given: Vec::new(), errors: Vec::new() };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (percent_decoded(name), percent_decoded(value)) else {
                let shown = name.chars().take(64).collect::<String>();
                parsed.errors.push(FieldError::new(shown, "format", "is not percent-encoded UTF-8"));
                continue;
            };
            match known.iter().find(|known| **known == name) {
                Some(name) if parsed.given.iter().any(|(given, _)| given == name) => {
                    parsed.errors.push(FieldError::new(*name, "duplicate", "stands there more than once"));
                }
                Some(name) => parsed.given.push((name, value)),
                None => {
                    let detail = format!("is not a parameter here: these are {}", known.join(", "));
                    parsed.errors.push(FieldError::new(name.chars().take(64).collect::<String>(), "unknown", detail));
                }
            }
        }
        parsed
    }

    /// The value of a parameter as it stands.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter as `parse` reads it; a mistake is collected under `name`.
    pub(super) fn parsed<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.text(name).map(parse)? {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(FieldError::new(name, "format", error.to_string()));
                None
            }
        }
    }

    /// A version from 1.
    pub(super) fn version(&mut self, name: &'static str) -> Option<Version> {
        self.parsed(name, |text| match text.parse() {
            Ok(version) if version > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Version(version)),
            Ok(_) | Err(_) => Err("must be a whole number from 1"),
        })
    }

    /// A point in time.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        self.parsed(name, Timestamp::parse)
    }

    /// How many items are wanted: 1 to [`LIMIT_MAX`], [`LIMIT_DEFAULT`] when nothing is said.
    pub(super) fn limit(&mut self) -> usize {
        let limit = self.parsed("limit", |text| match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => Err(format!("must be a whole number from 1 to {LIMIT_MAX}")),
        });
        limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// Collects a mistake that concerns more than one parameter.
    pub(super) fn wrong(&mut self, name: &'static str, detail: &'static str) {
        self.errors.push(FieldError::new(name, "format", detail));
    }

    /// Whether everything was right.
    ///
    /// # Errors
    /// All mistakes, together.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::validation(self.errors)) }
    }
}

/// Most items of one page.
pub(super) const LIMIT_MAX: usize = 500;
/// Items of a page when nothing is said.
pub(super) const LIMIT_DEFAULT: usize = 50;

/// Decodes `%41`. A plus sign stays one: no value here has spaces, and the offset of a time has a plus.
pub(super) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (high, low) = (hex(*after.first()?)?, hex(*after.get(1)?)?);
            bytes.push(high << 4 | low);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["limit", "from", "version", "ownerId"];

    fn mistakes(query: &str) -> Vec<String> {
        let mut query = Query::new(Some(query), KNOWN);
        let _ = (query.limit(), query.time("from"), query.version("version"));
        let problem = query.finish().unwrap_err();
        problem.errors().iter().map(|error| format!("{} {}", error.field, error.code)).collect()
    }

    #[test]
    fn parameters_are_decoded_and_typed() {
        let mut query = Query::new(Some("limit=500&from=2026-01-01T02:00:00+02:00&ownerId=a%3Ab&version=7&"), KNOWN);
        assert_eq!(query.limit(), 500);
        assert_eq!(query.time("from"), Timestamp::parse("2026-01-01T00:00:00Z").ok());
        assert_eq!(query.text("ownerId"), Some("a:b"));
        assert_eq!(query.version("version"), Some(Version(7)));
        assert!(query.finish().is_ok());
        assert_eq!(Query::new(None, KNOWN).limit(), LIMIT_DEFAULT);
    }

    #[test]
    fn unknown_repeated_and_wrong_parameters_are_all_named() {
        assert_eq!(mistakes("limit=0&lim=1&from=yesterday"), ["lim unknown", "limit format", "from format"]);
        assert_eq!(mistakes("limit=501"), ["limit format"]);
        assert_eq!(mistakes("limit=1&limit=2"), ["limit duplicate"]);
        assert_eq!(mistakes("version=0"), ["version format"]);
        assert_eq!(mistakes("version=+1"), ["version format"]);
        assert_eq!(mistakes("ownerId=%ff"), ["ownerId format"]);
        assert_eq!(mistakes("ownerId=%4"), ["ownerId format"]);
    }
}
