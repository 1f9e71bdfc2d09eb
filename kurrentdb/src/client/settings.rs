//! Connection strings: `kurrentdb://user:password@host:port,host2?tls=false&key=value`, as all clients of KurrentDB take
//! them. `esdb`, `kdb` and `kurrent` are the same scheme; with `+discover` the one host is the name of a cluster.
//!
//! Keys are read without regard to case. A key that this client does not know, or cannot honour, is an error that names
//! it. Errors and `Debug` never show the password.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The port of KurrentDB.
pub const PORT: u16 = 2113;
const SCHEMES: [&str; 5] = ["kurrentdb", "kurrent", "kdb", "esdb", "eventstoredb"];
/// Most hosts in one string.
const HOSTS_MAX: usize = 64;

/// Where the servers are, and how to speak to them.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// At least one.
    pub hosts: Vec<Host>,
    /// Whether the one host is a name that all members of a cluster share.
    pub discover: bool,
    /// Who calls.
    pub credentials: Option<Credentials>,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// A PEM file with the certificate authority to trust, beside those of the system.
    pub tls_ca_file: Option<PathBuf>,
    /// A quiet connection is probed this often; never when nothing.
    pub keep_alive_interval: Option<Duration>,
    /// A probe that is not answered so long ends the connection.
    pub keep_alive_timeout: Duration,
    /// How long a call may take, when the string says so.
    pub default_deadline: Option<Duration>,
    /// How long one member may take to say who leads.
    pub gossip_timeout: Duration,
    /// A name for the server's logs.
    pub connection_name: Option<String>,
}

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// Name or address; an IPv6 address without brackets.
    pub name: String,
    /// Port.
    pub port: u16,
}

/// A user with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Why a text is no connection string. Shows no more of it than a key, a scheme or a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// No `://`, or something unknown in front of it.
    #[error("a connection string begins with kurrentdb://, kurrentdb+discover:// or esdb://")]
    Scheme,
    /// No host.
    #[error("a connection string names 1 to {HOSTS_MAX} hosts, separated by commas")]
    Hosts,
    /// A host that cannot be one.
    #[error("host number {0} is not of the form name, name:port or [address]:port")]
    Host(usize),
    /// Something behind the hosts that is not `?key=value`.
    #[error("only ?key=value&key=value can follow the hosts")]
    Path,
    /// Credentials without a user or a password, or badly escaped.
    #[error("credentials must be user:password@, with %XX for characters that mean something else here")]
    Credentials,
    /// A key without a value, or badly escaped.
    #[error("setting {0:?} must be of the form key=value")]
    Malformed(String),
    /// A key that is not known.
    #[error("unknown setting {0:?}")]
    Unknown(String),
    /// A value that does not fit.
    #[error("setting {key:?} must be {must}")]
    Value {
        /// The key.
        key: String,
        /// What it must be.
        must: &'static str,
    },
}

type Error = ConnectionStringError;

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.user)
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.discover { "kurrentdb+discover://" } else { "kurrentdb://" })?;
        if let Some(credentials) = &self.credentials {
            write!(f, "{credentials:?}@")?;
        }
        for (at, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if at > 0 { "," } else { "" })?;
        }
        write!(f, "?tls={}", self.tls)
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ConnectionString {
    /// An unencrypted connection to one server, without credentials.
    #[must_use]
    pub fn insecure(host: impl Into<String>, port: u16) -> Self {
        Self {
            hosts: vec![Host { name: host.into(), port }],
            discover: false,
            credentials: None,
            tls: false,
            tls_ca_file: None,
            keep_alive_interval: Some(Duration::from_secs(10)),
            keep_alive_timeout: Duration::from_secs(10),
            default_deadline: None,
            gossip_timeout: Duration::from_secs(5),
            connection_name: None,
        }
    }

    /// Reads a connection string.
    ///
    /// # Errors
    /// [`ConnectionStringError`] says what is wrong, without showing the password.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(Error::Scheme)?;
        let (scheme, discover) = match scheme.split_once('+') {
            Some((scheme, "discover")) => (scheme, true),
            Some(_) => return Err(Error::Scheme),
            None => (scheme, false),
        };
        if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(Error::Scheme);
        }
        // A password may hold anything that is escaped, and the last @ before the settings ends it.
        let (front, query) = rest.split_once('?').map_or((rest, None), |(front, query)| (front, Some(query)));
        let (credentials, hosts) = match front.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(parse_credentials(credentials)?), hosts),
            None => (None, front),
        };
        let hosts = parse_hosts(hosts)?;
        let mut parsed = Self { hosts, discover, credentials, tls: true, ..Self::insecure("", PORT) };
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| Error::Malformed(key_of(pair)))?;
            let value = unescape(value).ok_or_else(|| Error::Malformed(key_of(key)))?;
            parsed.set(key, &value)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConnectionStringError> {
        match key.to_ascii_lowercase().as_str() {
            "tls" => self.tls = truth(key, value)?,
            "tlscafile" => self.tls_ca_file = Some(PathBuf::from(value)),
            "tlsverifycert" if truth(key, value)? => {}
            "tlsverifycert" => {
                return Err(wrong(key, "true: a certificate that is not verified protects nothing; use tlsCaFile"));
            }
            "keepaliveinterval" => self.keep_alive_interval = millis_or_never(key, value)?,
            "keepalivetimeout" => self.keep_alive_timeout = millis(key, value)?,
            "defaultdeadline" => self.default_deadline = Some(millis(key, value)?),
            "gossiptimeout" => self.gossip_timeout = millis(key, value)?,
            "connectionname" => self.connection_name = Some(value.to_owned()),
            "nodepreference" if value.eq_ignore_ascii_case("leader") => {}
            "nodepreference" => return Err(wrong(key, "leader: reads must see every write")),
            // Other clients' ways to retry and to report; this one retries for ever and reports everything.
            "maxdiscoverattempts" | "discoveryinterval" => drop(millis_or_never(key, value)?),
            "throwonappendfailure" => drop(truth(key, value)?),
            _ => return Err(Error::Unknown(key_of(key))),
        }
        Ok(())
    }
}

/// A key as it may be shown: whoever forgot to escape a password may have put it here.
fn key_of(text: &str) -> String {
    text.chars().take_while(char::is_ascii_alphanumeric).take(32).collect()
}

fn parse_credentials(text: &str) -> Result<Credentials, ConnectionStringError> {
    let (user, password) = text.split_once(':').ok_or(Error::Credentials)?;
    let user = unescape(user).filter(|user| !user.is_empty()).ok_or(Error::Credentials)?;
    Ok(Credentials { user, password: unescape(password).ok_or(Error::Credentials)? })
}

fn parse_hosts(text: &str) -> Result<Vec<Host>, ConnectionStringError> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains('/') {
        return Err(Error::Path);
    }
    let hosts: Vec<&str> = text.split(',').collect();
    if text.is_empty() || hosts.len() > HOSTS_MAX {
        return Err(Error::Hosts);
    }
    hosts.iter().enumerate().map(|(at, host)| parse_host(host).ok_or(Error::Host(at + 1))).collect()
}

fn parse_host(text: &str) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let bracketed = text.starts_with('[');
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !bracketed && !named {
        return None;
    }
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port > 0))?;
    Some(Host { name: name.to_owned(), port })
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits =
                std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn wrong(key: &str, must: &'static str) -> ConnectionStringError {
    Error::Value { key: key_of(key), must }
}

fn truth(key: &str, value: &str) -> Result<bool, ConnectionStringError> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(wrong(key, "true or false"))
    }
}

fn millis_or_never(key: &str, value: &str) -> Result<Option<Duration>, ConnectionStringError> {
    if value == "-1" {
        return Ok(None);
    }
    let millis = value.parse().map_err(|_| wrong(key, "a number of milliseconds, or -1 for never"))?;
    Ok(Some(Duration::from_millis(millis)))
}

fn millis(key: &str, value: &str) -> Result<Duration, ConnectionStringError> {
    millis_or_never(key, value)?
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| wrong(key, "a number of milliseconds above 0"))
}
