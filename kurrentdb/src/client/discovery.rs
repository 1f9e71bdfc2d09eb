//! Finds the member to speak to: connects, checks that the server is new enough, and asks who leads.
//!
//! With one host and no `+discover`, that host is taken as it is; otherwise each host is asked for the cluster's members
//! until one knows a leader. A member that says it does not lead gives a hint, and the hint is tried first.

use std::time::Duration;

use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use base64::Engine as _;

use super::call::{Headers, call_once};
use super::connection::{ConnectError, Timing};
use super::settings::{ConnectionString, Host};
use crate::protocol::cluster::{MemberState, SupportedMethods};
use crate::protocol::{APPEND_SESSION, GOSSIP, SUPPORTED_METHODS};

/// The first version with atomic appends to several streams.
const VERSION_MIN: (u32, u32) = (25, 1);
/// How long a broken connection may go unnoticed by the operating system.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// A certificate in a text file begins so.
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// A member that can be spoken to.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) channel: Channel,
    pub(super) version: String,
}

/// Looks for members.
#[derive(Debug)]
pub(super) struct Finder {
    settings: ConnectionString,
    timing: Timing,
    tls: Option<ClientTlsConfig>,
    headers: Headers,
}

impl Finder {
    pub(super) fn new(settings: &ConnectionString, timing: Timing) -> Result<Self, ConnectError> {
        let tls = settings.tls.then(|| tls(settings)).transpose()?;
        let headers = headers(settings)?;
        Ok(Self { settings: settings.clone(), timing, tls, headers })
    }

    pub(super) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The leader, or the one host there is; the hint is tried first.
    pub(super) async fn find(&self, hint: Option<Host>) -> Result<Node, ConnectError> {
        let mut failure = None;
        let hinted = hint.into_iter().map(|host| (host, true));
        for (host, leads) in hinted.chain(self.settings.hosts.iter().map(|host| (host.clone(), false))) {
            match self.try_host(&host, leads).await {
                Ok(node) => return Ok(node),
                // A server that is too old says more than others that are away.
                Err(error) if matches!(failure, Some(ConnectError::TooOld { .. })) => drop(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(ConnectError::NoLeader))
    }

    async fn try_host(&self, host: &Host, leads: bool) -> Result<Node, ConnectError> {
        let node = self.connect(host).await?;
        if leads || (self.settings.hosts.len() == 1 && !self.settings.discover) {
            return self.checked(node).await;
        }
        let leader = self.leader(&node).await?;
        if leader == node.host { self.checked(node).await } else { self.checked(self.connect(&leader).await?).await }
    }

    async fn connect(&self, host: &Host) -> Result<Node, ConnectError> {
        let unreachable = |reason: String| ConnectError::Unreachable { host: host.clone(), reason };
        let endpoint = self.endpoint(host).map_err(|error| unreachable(chain(&error)))?;
        match timeout(self.timing.attempt, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(Node { host: host.clone(), channel, version: String::new() }),
            Ok(Err(error)) => Err(unreachable(chain(&error))),
            Err(_) => Err(unreachable(format!("no connection within {:?}", self.timing.attempt))),
        }
    }

    fn endpoint(&self, host: &Host) -> Result<Endpoint, tonic::transport::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{host}"))?
            .tcp_nodelay(true)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .connect_timeout(self.timing.attempt)
            .http2_adaptive_window(true);
        if let Some(interval) = self.settings.keep_alive_interval {
            endpoint = endpoint
                .http2_keep_alive_interval(interval)
                .keep_alive_timeout(self.settings.keep_alive_timeout)
                .keep_alive_while_idle(true);
        }
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone()),
            None => Ok(endpoint),
        }
    }

    /// Asks a member what it is.
    pub(super) async fn probe(&self, node: &Node) -> Result<SupportedMethods, ConnectError> {
        let call = call_once(&node.channel, &self.headers, &SUPPORTED_METHODS, vec![()]);
        let refused = |reason: String| ConnectError::Refused { host: node.host.clone(), reason };
        match timeout(self.timing.attempt, call).await {
            Ok(Ok(methods)) => Ok(methods),
            Ok(Err(error)) => Err(refused(error.to_string())),
            Err(_) => Err(refused(format!("no answer within {:?}", self.timing.attempt))),
        }
    }

    async fn checked(&self, node: Node) -> Result<Node, ConnectError> {
        let methods = self.probe(&node).await?;
        let atomic = methods.methods.iter().any(|method| {
            method.service_name.eq_ignore_ascii_case(APPEND_SESSION.service)
                && method.method_name.eq_ignore_ascii_case(APPEND_SESSION.name)
        });
        // A version that is no number says nothing: the method decides.
        if !atomic || version(&methods.server_version).is_some_and(|version| version < VERSION_MIN) {
            return Err(ConnectError::TooOld { host: node.host, version: methods.server_version });
        }
        Ok(Node { version: methods.server_version, ..node })
    }

    async fn leader(&self, node: &Node) -> Result<Host, ConnectError> {
        let call = call_once(&node.channel, &self.headers, &GOSSIP, vec![()]);
        let refused = |reason: String| ConnectError::Refused { host: node.host.clone(), reason };
        let members = match timeout(self.settings.gossip_timeout, call).await {
            Ok(Ok(cluster)) => cluster.members,
            Ok(Err(error)) => return Err(refused(error.to_string())),
            Err(_) => return Err(refused(format!("no gossip within {:?}", self.settings.gossip_timeout))),
        };
        let leader = members.into_iter().find(|member| member.is_alive && member.state == MemberState::Leader as i32);
        let end_point = leader.and_then(|leader| leader.http_end_point).ok_or(ConnectError::NoLeader)?;
        let port = u16::try_from(end_point.port).map_err(|_| ConnectError::NoLeader)?;
        Ok(Host { name: end_point.address, port })
    }
}

/// Major and minor number of a version such as `25.1.0-rc.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn tls(settings: &ConnectionString) -> Result<ClientTlsConfig, ConnectError> {
    let config = ClientTlsConfig::new().with_native_roots();
    let Some(path) = &settings.tls_ca_file else { return Ok(config) };
    let unfit = |why: String| ConnectError::Settings(format!("tlsCaFile {} {why}", path.display()));
    let pem = std::fs::read_to_string(path).map_err(|error| unfit(format!("cannot be read: {error}")))?;
    if !pem.contains(PEM_CERTIFICATE) {
        return Err(unfit("has no certificate in PEM form".to_owned()));
    }
    Ok(config.ca_certificate(Certificate::from_pem(pem)))
}

fn headers(settings: &ConnectionString) -> Result<Headers, ConnectError> {
    let ascii = |text: &str, what: &str| -> Result<MetadataValue<Ascii>, ConnectError> {
        text.parse().map_err(|_| ConnectError::Settings(format!("{what} has characters that no header may have")))
    };
    let mut headers = Headers::default();
    headers.add("requires-leader", MetadataValue::from_static("true"));
    if let Some(name) = &settings.connection_name {
        headers.add("connection-name", ascii(name, "connectionName")?);
    }
    if let Some(credentials) = &settings.credentials {
        let pair = format!("{}:{}", credentials.user, credentials.password);
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        let mut value = ascii(&format!("Basic {encoded}"), "the password")?;
        value.set_sensitive(true);
        headers.add("authorization", value);
    }
    Ok(headers)
}

/// An error and its causes: the outermost alone says "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        assert_eq!(version("25.1.0"), Some((25, 1)));
        assert_eq!(version("26.0.3-rc.1+abc"), Some((26, 0)));
        assert_eq!(version("25"), None);
        assert_eq!(version("nightly"), None);
        assert!(version("24.10.5").unwrap() < super::VERSION_MIN);
    }
}
