//! HTTP/1.1 as the load generator speaks it: requests written into one buffer, answers found in what was read.
//!
//! It understands what the measured servers send (a status, a length, a body) and calls everything else by name.

use std::io::Write as _;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest body of an answer, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// An answer at the beginning of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Bytes of head and body.
    pub length: usize,
}

impl Answer {
    /// Whether the request was accepted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Writes a POST request with a JSON body.
pub fn put_post(out: &mut Vec<u8>, host: &str, path: &str, key: Option<&str>, body: &str) {
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: application/json");
    if let Some(key) = key {
        out.extend_from_slice(b"\r\nIdempotency-Key: ");
        out.extend_from_slice(key.as_bytes());
    }
    let length = write!(out, "\r\nContent-Length: {}\r\n\r\n", body.len());
    debug_assert!(length.is_ok(), "memory takes everything");
    out.extend_from_slice(body.as_bytes());
}

/// The answer that `bytes` begin with; nothing while it is incomplete.
///
/// # Errors
/// What is not as the measured servers send it.
pub fn answer(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let Some(head) = bytes.windows(4).take(HEAD_BYTES_MAX).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err("the head of an answer is too long") } else { Ok(None) };
    };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| "the head of an answer is no text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3));
    let status = status.and_then(|code| code.parse().ok()).ok_or("an answer has no status")?;
    let named = |line: &str| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lines.find(|line| named(line)).and_then(|line| line.split_once(':'));
    let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).ok_or("an answer has no length")?;
    if length > BODY_BYTES_MAX {
        return Err("the body of an answer is too long");
    }
    let length = head + 4 + length;
    Ok((bytes.len() >= length).then_some(Answer { status, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_when_its_last_byte_is_there() {
        let whole = b"HTTP/1.1 422 Unprocessable\r\ncontent-type: text/plain\r\nCONTENT-length: 3\r\n\r\nabcHTTP/1.1";
        let length = whole.len() - 8;
        for end in 0..length {
            assert_eq!(answer(&whole[..end]), Ok(None), "{end} bytes");
        }
        let found = answer(whole).unwrap().unwrap();
        assert_eq!(found, Answer { status: 422, length });
        assert!(!found.is_success());
        assert!(Answer { status: 201, length }.is_success());
    }

    #[test]
    fn what_no_measured_server_sends_is_named() {
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Err("an answer has no length"));
        assert_eq!(answer(b"SSH-2.0\r\n\r\n"), Err("an answer has no status"));
        assert_eq!(answer(&[b'a'; HEAD_BYTES_MAX + 1]), Err("the head of an answer is too long"));
        let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        assert_eq!(answer(large.as_bytes()), Err("the body of an answer is too long"));
    }

    #[test]
    fn a_request_says_its_length_and_its_key() {
        let mut out = Vec::new();
        put_post(&mut out, "h:1", "/batch", Some("k-1"), "{}");
        let text = "POST /batch HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\nIdempotency-Key: k-1\r\n\
                    Content-Length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
