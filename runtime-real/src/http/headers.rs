//! What the headers of a request say: correlation and trace, media type, idempotency key, precondition.
//!
//! Names of wallets and money never come from headers, so a header that cannot be used is replaced where that is
//! harmless (correlation, trace) and refused where it is not (key, precondition).

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, IF_MATCH};
use wallex_core::event::TraceParent;
use wallex_core::id::{CorrelationId, Version};
use wallex_core::time::Timestamp;
use wallex_core::wallet::IfMatch;

use super::ids;
use super::problem::{Code, FieldError, Problem};
use super::response::{IDEMPOTENCY_KEY, X_CORRELATION_ID};
use crate::driver;

/// Longest idempotency key, in characters.
pub(super) const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// What ties a request to everything that is said about it.
pub(super) struct Correlation {
    /// From the client, or made here.
    pub id: CorrelationId,
    /// The same, for the answer.
    pub header: HeaderValue,
    /// The client's trace context.
    pub trace_parent: Option<TraceParent>,
    /// When the request came in.
    pub received_at: Timestamp,
}

impl Correlation {
    /// Takes the client's correlation id when it is usable, and makes one otherwise; the answer says which it is.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let received_at = driver::now();
        let text = |value: &HeaderValue| value.to_str().ok().and_then(|text| CorrelationId::parse(text).ok());
        let given = headers.get(&X_CORRELATION_ID).and_then(|value| Some((text(value)?, value.clone())));
        let (id, header) = given.unwrap_or_else(|| {
            let id = ids::correlation_id(received_at);
            let header = HeaderValue::from_str(id.as_str()).unwrap_or(HeaderValue::from_static("unknown"));
            (id, header)
        });
        let trace_parent = headers.get("traceparent").and_then(|value| TraceParent::parse(value.to_str().ok()?));
        Self { id, header, trace_parent, received_at }
    }
}

/// A body must say that it is JSON, in the clear.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &'static str| Err(Problem::new(Code::UnsupportedMediaType, detail));
    let Some(media_type) = headers.get(CONTENT_TYPE) else {
        return refuse("the request has no Content-Type: send application/json");
    };
    if !is_json(media_type.as_bytes()) {
        return refuse("the body must be application/json");
    }
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            refuse("compressed bodies are not accepted: send it without Content-Encoding")
        }
        Some(_) | None => Ok(()),
    }
}

fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let starts_as_application = essence.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"application/"));
    let ends_as_json = |suffix: &[u8]| {
        essence.len() >= suffix.len() && essence[essence.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
    };
    essence.eq_ignore_ascii_case(b"application/json") || (starts_as_application && ends_as_json(b"+json"))
}

/// The key of an idempotent request: bare (`abc`) or as a structured-field string (`"abc"`), which are the same key.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = |detail: &'static str| Problem::new(Code::IdempotencyKeyInvalid, detail);
    if values.next().is_some() {
        return Err(invalid("the request has more than one Idempotency-Key"));
    }
    let text = value.to_str().map_err(|_| invalid("the Idempotency-Key must be of visible ASCII characters"))?;
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or_else(|| invalid("the quotes of the Idempotency-Key are not well-formed"))?,
        None => Cow::Borrowed(text),
    };
    check_idempotency_key(&key).map_err(invalid)?;
    Ok(Some(key))
}

/// The rule for keys, wherever they stand.
pub(super) fn check_idempotency_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LENGTH_MAX {
        return Err("the Idempotency-Key must have 1 to 255 characters");
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the Idempotency-Key must be of visible ASCII characters");
    }
    Ok(())
}

/// The rest of a structured-field string after its opening quote (RFC 9651, section 3.3.3).
fn unquoted(rest: &str) -> Option<Cow<'_, str>> {
    let inner = rest.strip_suffix('"')?;
    if !inner.contains(['"', '\\']) {
        return Some(Cow::Borrowed(inner));
    }
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => key.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            '"' => return None,
            plain => key.push(plain),
        }
    }
    Some(Cow::Owned(key))
}

/// What a write requires of its wallet's version. `*` requires only that the wallet exists, which every write but
/// creation does anyway. The comparison is the strong one (RFC 9110, section 13.1.1): a weak tag, `W/"3"`, matches
/// nothing.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let only = values.next().is_none();
    if only && text == "*" {
        return Ok(None);
    }
    if only
        && !text.starts_with("W/")
        && let Some(version) = version_of_tag(text)
    {
        return Ok(Some(IfMatch::Version(version)));
    }
    let all = headers.get_all(IF_MATCH).iter().map(|value| value.to_str().unwrap_or_default());
    let (mut versions, mut named) = (Vec::new(), false);
    // A list may have empty elements (RFC 9110, section 5.6.1).
    for tag in all.flat_map(|value| value.split(',')).map(str::trim).filter(|tag| !tag.is_empty()) {
        named = true;
        match version_of_tag(tag) {
            Some(_) if tag.starts_with("W/") => {}
            Some(version) => versions.push(version),
            None => return Err(not_a_version()),
        }
    }
    if named { Ok(Some(IfMatch::AnyOf(versions))) } else { Err(not_a_version()) }
}

fn not_a_version() -> Problem {
    Problem::validation(vec![FieldError::new(
        "If-Match",
        "not-a-version",
        "must be *, or ETags of a wallet, which are versions in quotes, such as \"3\" or \"3\", \"4\"",
    )])
}

/// The version in an entity tag: `"3"`, `W/"3"` or bare `3`.
pub(super) fn version_of_tag(tag: &str) -> Option<Version> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let digits = match tag.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => tag,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|version| plain && *version > 0).map(Version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn quoted_and_bare_keys_are_the_same_key() {
        for (text, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("a;b=1", "a;b=1"),
        ] {
            assert_eq!(idempotency_key(&with("idempotency-key", text)).unwrap().as_deref(), Some(key), "{text}");
        }
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        let longest = "k".repeat(255);
        assert_eq!(idempotency_key(&with("idempotency-key", &longest)).unwrap().as_deref(), Some(longest.as_str()));
    }

    #[test]
    fn keys_that_are_not_1_to_255_visible_characters_are_refused() {
        let too_long = "k".repeat(256);
        for text in
            ["", "\"\"", "a b", "\"a b\"", "\"abc", "\"a\"b\"", r#""a\b""#, "\"abc\"; x", "kä", "a\tb", &too_long]
        {
            let problem = idempotency_key(&with("idempotency-key", text)).unwrap_err();
            assert_eq!(problem.code(), Code::IdempotencyKeyInvalid, "{text:?}");
        }
        let mut twice = with("idempotency-key", "a");
        twice.append("idempotency-key", HeaderValue::from_static("a"));
        assert_eq!(idempotency_key(&twice).unwrap_err().code(), Code::IdempotencyKeyInvalid);
    }

    #[test]
    fn json_is_the_only_media_type() {
        for accepted in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.wallex+json"] {
            assert!(require_json(&with("content-type", accepted)).is_ok(), "{accepted}");
        }
        for refused in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "", "text/x+json"]
        {
            let problem = require_json(&with("content-type", refused)).unwrap_err();
            assert_eq!(problem.code(), Code::UnsupportedMediaType, "{refused}");
        }
        assert!(require_json(&HeaderMap::new()).is_err());
        let mut compressed = with("content-type", "application/json");
        compressed.insert("content-encoding", HeaderValue::from_static("gzip"));
        assert!(require_json(&compressed).is_err());
    }

    #[test]
    fn a_precondition_is_a_star_or_versions_of_which_weak_ones_match_nothing() {
        let one = |version| Some(IfMatch::Version(Version(version)));
        let any = |versions: &[u64]| Some(IfMatch::AnyOf(versions.iter().copied().map(Version).collect()));
        for (text, expected) in [
            ("\"3\"", one(3)),
            ("3", one(3)),
            ("*", None),
            (" * ", None),
            ("W/\"3\"", any(&[])),
            ("\"3\", \"4\"", any(&[3, 4])),
            ("\"3\",, \"4\",", any(&[3, 4])),
            ("\"3\" ,W/\"4\",5", any(&[3, 5])),
        ] {
            assert_eq!(if_match(&with("if-match", text)).unwrap(), expected, "{text}");
        }
        let mut twice = with("if-match", "\"3\"");
        twice.append("if-match", HeaderValue::from_static("\"4\""));
        assert_eq!(if_match(&twice).unwrap(), any(&[3, 4]));
        for text in
            ["", "\"abc\"", "\"3\", x", ",", "*, \"3\"", "\"0\"", "\"-1\"", "\"+1\"", "\"3", "99999999999999999999999"]
        {
            assert_eq!(if_match(&with("if-match", text)).unwrap_err().code(), Code::ValidationFailed, "{text}");
        }
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_usable_correlation_id_is_kept_and_any_other_is_replaced() {
        let kept = Correlation::of(&with("x-correlation-id", "order-42"));
        assert_eq!(kept.id.as_str(), "order-42");
        assert_eq!(kept.header, "order-42");
        for unusable in ["", "a b", "quo\"te", &"x".repeat(129)] {
            let replaced = Correlation::of(&with("x-correlation-id", unusable));
            assert_eq!(replaced.id.as_str().len(), 36, "{unusable}");
            assert_eq!(replaced.header.to_str().unwrap(), replaced.id.as_str());
        }
    }
}
