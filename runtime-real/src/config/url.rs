//! An address of a server that may hold a password: it is never shown, in no log line, error or print.
//!
//! Owns what counts as a secret (before the host, and in the query), and whether the address is well formed. What a server's
//! client makes of it is in `value`.

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
        let (address, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
        let credentials = authority.rsplit_once('@').and_then(|(credentials, host)| {
            let (user, _password) = credentials.split_once(':')?;
            Some((user, host))
        });
        match credentials {
            Some((user, host)) => write!(f, "{scheme}://{user}:***@{host}{path}")?,
            None => write!(f, "{scheme}://{address}")?,
        }
        for (at, parameter) in query.strip_prefix('?').into_iter().flat_map(|query| query.split('&')).enumerate() {
            f.write_str(if at == 0 { "?" } else { "&" })?;
            match parameter.split_once('=') {
                Some((name, _secret)) if is_secret(name) => write!(f, "{name}=***")?,
                Some(_) | None => f.write_str(parameter)?,
            }
        }
        Ok(())
    }
}

/// Whether a parameter with this name, as it stands in the URL, may hold a secret.
fn is_secret(name: &str) -> bool {
    let name = decoded(name).to_ascii_lowercase();
    ["pass", "pwd", "secret", "token", "credential"].iter().any(|part| name.contains(part))
}

/// With `%70` as `p`: clients read names so.
fn decoded(name: &str) -> String {
    let mut parts = name.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
    fn passwords_in_the_query_are_not_shown_either() {
        let schemes = &["postgres", "redis"];
        for (given, shown) in [
            ("postgres://h/db?user=u&password=topsecret", "postgres://h/db?user=u&password=***"),
            ("postgres://h/db?password=topsecret&sslmode=require", "postgres://h/db?password=***&sslmode=require"),
            ("redis://h/0?password=topsecret", "redis://h/0?password=***"),
            ("redis://h?PassWord=top;secret?topsecret#topsecret&db=1", "redis://h?PassWord=***&db=1"),
            ("redis://h?", "redis://h?"),
            ("postgres://h/db?%70ass%77ord=topsecret", "postgres://h/db?%70ass%77ord=***"),
            ("postgres://h/db?sslpassword=topsecret=&a", "postgres://h/db?sslpassword=***&a"),
            ("postgres://u:topsecret@h/db?password=topsecret", "postgres://u:***@h/db?password=***"),
            ("postgres://h/db?a%=1&b%zz=2&%e4=3", "postgres://h/db?a%=1&b%zz=2&%e4=3"),
        ] {
            let url = ServerUrl::parse(given, schemes).unwrap();
            assert_eq!((url.to_string().as_str(), url.reveal()), (shown, given));
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for text in ["", "secret", "http://secret", "redis://", "redis:///0"] {
            let reason = ServerUrl::parse(text, &["redis", "rediss"]).unwrap_err();
            assert_eq!(reason, "must be a URL such as redis://127.0.0.1");
        }
    }
}
