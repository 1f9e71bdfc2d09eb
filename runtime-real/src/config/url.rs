//! An address of a server that may hold a password: it is never shown, in no log line, error or print.

use std::fmt;

/// A URL with its secrets hidden from [`fmt::Display`] and [`fmt::Debug`].
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Takes `text` when it has a scheme of `schemes` and something behind it.
    ///
    /// # Errors
    /// What it must look like, without a word of what was given.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix("://"));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with(['/', '?']) => Ok(Self(text.to_owned())),
            Some(_) | None => Err(format!("must be a URL such as {}://127.0.0.1", schemes[0])),
        }
    }

    /// All of it, for the client library.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let credentials = authority.rsplit_once('@').and_then(|(credentials, host)| {
            let (user, _password) = credentials.split_once(':')?;
            Some((user, host))
        });
        match credentials {
            Some((user, host)) => write!(f, "{scheme}://{user}:***@{host}{path}"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let url = ServerUrl::parse("postgres://wallex:p@ss@db:5432/wallex?sslmode=require", &["postgres"]).unwrap();
        assert_eq!(url.to_string(), "postgres://wallex:***@db:5432/wallex?sslmode=require");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert!(url.reveal().contains("p@ss"));
        let user = ServerUrl::parse("postgres://wallex@db/wallex", &["postgres"]).unwrap();
        assert_eq!(user.to_string(), "postgres://wallex@db/wallex");
        let plain = ServerUrl::parse("redis://127.0.0.1:6379", &["redis", "rediss"]).unwrap();
        assert_eq!(plain.to_string(), "redis://127.0.0.1:6379");
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for text in ["", "secret", "http://secret", "redis://", "redis:///0"] {
            let reason = ServerUrl::parse(text, &["redis", "rediss"]).unwrap_err();
            assert_eq!(reason, "must be a URL such as redis://127.0.0.1");
        }
    }
}
