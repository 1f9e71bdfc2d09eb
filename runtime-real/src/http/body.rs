//! Takes in the body of a request: bounded in size and in time.
//!
//! A body that came with its head, in one piece (the usual case), is neither copied nor timed.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::CONTENT_LENGTH;

use super::problem::{Code, Problem};

/// Reads the whole body.
///
/// # Errors
/// 413 above `limit` bytes, 408 after `timeout`, 400 when the client breaks off.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, limit: usize, timeout: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let mut reading = std::pin::pin!(collect(body, limit));
    // Nearly always the bytes are here already: then no timer is made.
    let first = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
    match first {
        Poll::Ready(done) => done,
        Poll::Pending => tokio::time::timeout(timeout, reading).await.unwrap_or_else(|_| {
            Err(Problem::new(Code::RequestTimeout, "the body of the request did not arrive in time"))
        }),
    }
}

async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let Some(first) = next_piece(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_piece(&mut body).await? else { return Ok(first) };
    let mut all = Vec::with_capacity((first.len() + second.len()).next_power_of_two().min(limit));
    all.extend_from_slice(&first);
    let mut piece = second;
    loop {
        if all.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        all.extend_from_slice(&piece);
        match next_piece(&mut body).await? {
            Some(next) => piece = next,
            None => return Ok(all.into()),
        }
    }
}

/// The next bytes; trailers are passed over.
async fn next_piece<B>(body: &mut B) -> Result<Option<Bytes>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Ok(frame)) => match Frame::into_data(frame) {
                Ok(piece) => return Ok(Some(piece)),
                Err(_trailers) => {}
            },
            Some(Err(_)) => return Err(Problem::new(Code::MalformedJson, "the body of the request broke off")),
        }
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body has more than {limit} bytes"))
}
