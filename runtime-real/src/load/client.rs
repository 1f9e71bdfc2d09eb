//! The wire: one keep-alive HTTP/1.1 connection per worker, and the retry rule for writes.
//!
//! Keeps the client's half of INV-05: a write is repeated only under its own `Idempotency-Key`, and only when its
//! outcome is unknown or known to be "not done". Bounded: [`ATTEMPTS_MAX`] attempts of [`ATTEMPT_TIMEOUT`] each.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::Error;

/// How often a write is attempted before the client gives up.
pub const ATTEMPTS_MAX: u32 = 12;
/// How long one attempt may take.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// Pauses between attempts, in milliseconds: they double from the first to the last of these, with jitter.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    min_ms: u64,
    max_ms: u64,
}

const BACKOFF: Backoff = Backoff { min_ms: 10, max_ms: 1_000 };

/// Where the service listens.
#[derive(Clone, Debug)]
pub struct Target {
    authority: String,
    host: HeaderValue,
}

impl Target {
    /// Reads `http://host[:port]`, without path.
    ///
    /// # Errors
    /// [`Error::Url`] for anything else; TLS is not spoken.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let invalid = || Error::Url(url.to_owned());
        let authority = url.strip_prefix("http://").ok_or_else(invalid)?.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(invalid());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = HeaderValue::from_str(authority).map_err(|_| invalid())?;
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority, host })
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why an attempt has no answer.
#[derive(Debug)]
pub enum CallError {
    /// The service could not be reached: the request was not sent.
    NotSent(String),
    /// The connection broke, or time ran out, after the request was sent.
    Lost(String),
}

/// How a write ended.
#[derive(Debug)]
pub enum Delivery {
    /// The service said yes (2xx).
    Accepted(Bytes),
    /// The service said no, for good.
    Refused {
        /// The status code and the problem's code.
        reason: String,
    },
    /// All attempts failed.
    GaveUp {
        /// Whether one of them may have taken effect.
        maybe_done: bool,
        /// The last trouble.
        reason: String,
    },
}

/// One keep-alive connection, opened when it is needed.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
    backoff: Backoff,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

/// The machine code of a problem body; empty when there is none.
pub(super) fn problem_code(body: &[u8]) -> String {
    serde_json::from_slice::<Problem>(body).map(|problem| problem.code).unwrap_or_default()
}

impl Connection {
    /// A connection that is not open yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, sender: None, backoff: BACKOFF }
    }

    /// Opens the connection.
    ///
    /// # Errors
    /// Why the service cannot be reached.
    pub async fn open(&mut self) -> Result<(), CallError> {
        let not_sent = |error: &dyn std::fmt::Display| CallError::NotSent(error.to_string());
        let stream = TcpStream::connect(&self.target.authority).await.map_err(|error| not_sent(&error))?;
        stream.set_nodelay(true).map_err(|error| not_sent(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_sent(&error))?;
        // It ends with the sender, or with the peer; what went wrong is seen by the request that was under way.
        tokio::spawn(connection);
        self.sender = Some(sender);
        Ok(())
    }

    /// Reads a resource, once.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&mut self, path: &str) -> Result<Reply, CallError> {
        self.call(Method::GET, path, None, Bytes::new()).await
    }

    /// Writes, with retries under the same key until the outcome is known or the attempts are used up.
    /// `jitter(bound)` gives a number of milliseconds up to `bound`.
    pub async fn deliver(
        &mut self,
        path: &str,
        key: &str,
        body: Bytes,
        retries: &mut u64,
        mut jitter: impl FnMut(u64) -> u64,
    ) -> Delivery {
        let (mut maybe_done, mut reason) = (false, String::new());
        let mut backoff_ms = self.backoff.min_ms;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                *retries += 1;
                tokio::time::sleep(Duration::from_millis(backoff_ms / 2 + jitter(backoff_ms / 2))).await;
                backoff_ms = (backoff_ms * 2).min(self.backoff.max_ms);
            }
            match self.call(Method::POST, path, Some(key), body.clone()).await {
                Ok(reply) if reply.status / 100 == 2 => return Delivery::Accepted(reply.body),
                Ok(reply) => {
                    let code = problem_code(&reply.body);
                    reason = format!("{} {code}", reply.status);
                    match reply.status {
                        429 | 503 => {}
                        409 if code == "idempotency-key-in-flight" => maybe_done = true,
                        500..=599 => maybe_done = true,
                        _ => return Delivery::Refused { reason },
                    }
                }
                Err(CallError::NotSent(error)) => reason = format!("connect: {error}"),
                Err(CallError::Lost(error)) => {
                    maybe_done = true;
                    reason = format!("connection: {error}");
                }
            }
        }
        Delivery::GaveUp { maybe_done, reason }
    }

    async fn call(&mut self, method: Method, path: &str, key: Option<&str>, body: Bytes) -> Result<Reply, CallError> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.open().await?;
        }
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.target.host.clone());
        if let Some(key) = key {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .header("idempotency-key", key);
        }
        let request = request.body(Full::new(body)).map_err(|error| CallError::NotSent(error.to_string()))?;
        let Some(sender) = self.sender.as_mut() else {
            return Err(CallError::NotSent("no connection".to_owned()));
        };
        let exchange = async {
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Reply { status, body })
        };
        let outcome = match tokio::time::timeout(ATTEMPT_TIMEOUT, exchange).await {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs()),
        };
        self.sender = None;
        Err(CallError::Lost(outcome))
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
