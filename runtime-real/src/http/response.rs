//! Answers: one buffer of bytes, or a stream of them, with the headers that every answer has.
//!
//! Owns [`Body`] and the building of [`Response`]s. A stream that breaks ends the connection instead of looking
//! complete. What stands in the bytes is left to `render` and `problem`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use wallex_core::id::Version;

/// JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// `Idempotent-Replayed`
pub(super) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// `X-Correlation-Id`
pub(super) const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// `Idempotency-Key`
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers that an answer has beside the four that every answer has; room for them is made at once.
const HEADERS_EXPECTED: usize = 6;

/// The body of an answer.
pub enum Body {
    /// Everything, in one piece; nothing once it was taken.
    Whole(Bytes),
    /// Pieces, as they are made.
    Stream(mpsc::Receiver<Result<Bytes, StreamBroken>>),
}

/// The source of a stream failed: the answer must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer could not be completed")]
pub struct StreamBroken;

impl From<Infallible> for StreamBroken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = StreamBroken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamBroken>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer with a body in one piece.
pub(super) fn whole(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    with_body(status, media_type, Body::Whole(body.into()))
}

/// An answer with any body.
pub(super) fn with_body(status: StatusCode, media_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().reserve(HEADERS_EXPECTED);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// A JSON answer with status 200.
pub(super) fn json(body: Vec<u8>) -> Response<Body> {
    whole(StatusCode::OK, JSON, body)
}

/// Sets the `ETag` of a wallet: its version in quotes.
pub(super) fn set_etag(response: &mut Response<Body>, version: Version) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(version.0).as_bytes();
    let mut tag = [b'"'; 22];
    tag[1..=digits.len()].copy_from_slice(digits);
    if let Ok(value) = HeaderValue::from_bytes(&tag[..digits.len() + 2]) {
        response.headers_mut().insert(ETAG, value);
    }
}
