//! Takes in the body of a request: bounded in size and in time.
//!
//! A body that came with its head, in one piece (the usual case), is neither copied nor timed. What a refusal leaves
//! unread is taken in and thrown away behind the answer: a server that closes a connection, or resets a stream, while
//! the client still sends takes its own answer away from clients that send before they read.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, EXPECT};

use super::problem::{Code, Problem};

/// Most bytes that are thrown away behind an answer; a client that sends more is cut off.
const DISCARDED_BYTES_MAX: u64 = 32 << 20;

/// The body of a request, and how far it was read.
pub(super) struct Upload<B> {
    body: B,
    begun: bool,
    ended: bool,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(body: B) -> Self {
        let ended = body.is_end_stream();
        Self { body, begun: false, ended }
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// 413 above `limit` bytes, 408 after `timeout`, 400 when the client breaks off.
    pub(super) async fn read(
        &mut self,
        headers: &HeaderMap,
        limit: usize,
        timeout: Duration,
    ) -> Result<Bytes, Problem> {
        if announced(headers).is_some_and(|length| length > limit as u64) {
            return Err(too_large(limit));
        }
        let mut reading = std::pin::pin!(self.collect(limit));
        // Nearly always the bytes are here already: then no timer is made.
        let first = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(done) => done,
            Poll::Pending => tokio::time::timeout(timeout, reading).await.unwrap_or_else(|_| {
                Err(Problem::new(Code::RequestTimeout, "the body of the request did not arrive in time"))
            }),
        }
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let Some(first) = self.next_piece().await? else { return Ok(Bytes::new()) };
        if first.len() > limit {
            return Err(too_large(limit));
        }
        if self.ended {
            return Ok(first);
        }
        let Some(second) = self.next_piece().await? else { return Ok(first) };
        let mut all = Vec::with_capacity((first.len() + second.len()).next_power_of_two().min(limit));
        all.extend_from_slice(&first);
        let mut piece = second;
        loop {
            if all.len() + piece.len() > limit {
                return Err(too_large(limit));
            }
            all.extend_from_slice(&piece);
            match self.next_piece().await? {
                Some(next) => piece = next,
                None => return Ok(all.into()),
            }
        }
    }

    /// The next bytes; trailers are passed over.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = poll_fn(|cx| self.poll_piece(cx)).await;
        piece.map_err(|BrokenOff| Problem::new(Code::MalformedJson, "the body of the request broke off"))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        self.begun = true;
        while !self.ended {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.ended = true,
                Some(Ok(frame)) => {
                    self.ended = self.body.is_end_stream();
                    if let Ok(piece) = Frame::into_data(frame) {
                        return Poll::Ready(Ok(Some(piece)));
                    }
                }
                Some(Err(_)) => {
                    self.ended = true;
                    return Poll::Ready(Err(BrokenOff));
                }
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// Throws away what was not read, for at most `timeout`, without keeping the answer waiting.
    ///
    /// A client that waits for leave to send (`Expect: 100-continue`) and was not given it may never send, and one that
    /// announces more than is thrown away is not worth the bytes.
    pub(super) fn discard_rest(mut self, headers: &HeaderMap, timeout: Duration) {
        let waits = !self.begun && headers.contains_key(EXPECT);
        if self.ended || waits || announced(headers).is_some_and(|length| length > DISCARDED_BYTES_MAX) {
            return;
        }
        let discarding = async move {
            let mut left = DISCARDED_BYTES_MAX;
            while let Ok(Some(piece)) = poll_fn(|cx| self.poll_piece(cx)).await {
                let Some(fewer) = left.checked_sub(piece.len() as u64) else { break };
                left = fewer;
            }
        };
        tokio::spawn(tokio::time::timeout(timeout, discarding));
    }
}

/// The client ended the connection or the stream in the middle of the body.
struct BrokenOff;

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body has more than {limit} bytes"))
}
