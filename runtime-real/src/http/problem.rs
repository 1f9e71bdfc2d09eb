//! Problems: every answer that is not a success, as RFC 9457 `application/problem+json`.
//!
//! Owns the mapping from refusals, outcomes and mistakes in requests to status and body. A refusal that is replayed has
//! the bytes of the first time: the correlation id in its body is that of the attempt that was decided.

use std::borrow::Cow;

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use wallex_core::command::Unavailable;
use wallex_core::id::CorrelationId;
use wallex_core::wallet::{Refused, Rejection};

pub(super) use super::code::Code;
use super::render;
use super::response::{Body, whole};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds after which a client may try again what was not done.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Most mistakes that are named in one answer.
const FIELD_ERRORS_MAX: usize = 100;

/// What is wrong with one member, parameter or header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    /// Its name, as the client wrote it: `amount`, `operations[3].walletId`, `If-Match`.
    pub(super) field: Cow<'static, str>,
    /// What kind of mistake.
    pub(super) code: &'static str,
    /// For people.
    pub(super) detail: Cow<'static, str>,
}

impl FieldError {
    /// A mistake in `field`.
    pub(super) fn new(
        field: impl Into<Cow<'static, str>>,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { field: field.into(), code, detail: detail.into() }
    }

    /// The same mistake, named from the whole batch in which the operation stands.
    pub(super) fn of_operation(&self, index: usize) -> Self {
        Self { field: format!("operations[{index}].{}", self.field).into(), ..self.clone() }
    }
}

/// Why a request has no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    extra: Extra,
    cause: Option<Cause>,
}

/// What stands behind a problem: for the log, never for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// What did not work.
    pub(super) trouble: &'static str,
    /// Why.
    pub(super) error: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Extra {
    Nothing,
    Fields(Vec<FieldError>),
    Rejection(Rejection),
    Allow(&'static str),
    /// Trying again does not help.
    Lasting,
}

impl Problem {
    /// A problem with a detail for people.
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with(code, detail.into(), Extra::Nothing)
    }

    /// Mistakes in the request, all of them.
    #[must_use]
    pub(super) fn validation(mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.field, one.detail).into(),
            several if several.len() <= FIELD_ERRORS_MAX => format!("{} mistakes in the request", several.len()).into(),
            many => format!("{} mistakes in the request, of which {FIELD_ERRORS_MAX} are named", many.len()).into(),
        };
        errors.truncate(FIELD_ERRORS_MAX);
        Self::with(Code::ValidationFailed, detail, Extra::Fields(errors))
    }

    /// The method is none of `allow`.
    #[must_use]
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self::with(Code::MethodNotAllowed, format!("this address takes {allow}").into(), Extra::Allow(allow))
    }

    /// The domain refuses.
    #[must_use]
    pub(super) fn refused(rejection: Rejection) -> Self {
        Self::with(Code::from(&rejection), rejection.to_string().into(), Extra::Rejection(rejection))
    }

    /// Known not to have been done.
    #[must_use]
    pub(super) fn unavailable(reason: Unavailable) -> Self {
        if reason == Unavailable::Damaged {
            return Self::damaged();
        }
        Self::new(Code::Unavailable, reason.to_string())
    }

    /// Stored bytes are not what was written, which trying again does not heal.
    #[must_use]
    fn damaged() -> Self {
        let detail = "the stored history is damaged here, and trying again does not help: an operator must look \
                      (the log of the service and /health say where, wallex verify how much)";
        Self::with(Code::Unavailable, detail.into(), Extra::Lasting)
    }

    /// Whether it was done is not known.
    #[must_use]
    pub(super) fn outcome_unknown() -> Self {
        Self::new(Code::OutcomeUnknown, "the outcome is not known yet: retry with the same Idempotency-Key to find out")
    }

    fn with(code: Code, detail: Cow<'static, str>, extra: Extra) -> Self {
        Self(Box::new(Inner { code, detail, extra, cause: None }))
    }

    /// The same, with what stands behind it. It is logged where the request's correlation id is known.
    #[must_use]
    pub(super) fn caused_by(mut self, trouble: &'static str, error: &impl ToString) -> Self {
        self.0.cause = Some(Cause { trouble, error: error.to_string() });
        self
    }

    /// What stands behind it, if it is more than the request itself.
    pub(super) fn cause(&self) -> Option<&Cause> {
        self.0.cause.as_ref()
    }

    /// What kind of problem it is.
    #[must_use]
    pub(super) fn code(&self) -> Code {
        self.0.code
    }

    /// The mistakes in the request, if that is what it is about.
    #[cfg(test)]
    pub(super) fn errors(&self) -> &[FieldError] {
        match &self.0.extra {
            Extra::Fields(errors) => errors,
            Extra::Nothing | Extra::Rejection(_) | Extra::Allow(_) | Extra::Lasting => &[],
        }
    }

    /// The answer. `correlation` is that of the attempt which found the problem.
    pub(super) fn response(&self, correlation: &CorrelationId) -> Response<Body> {
        let mut body = Vec::with_capacity(384);
        self.write(correlation, &mut body);
        let mut response = whole(self.code().status(), PROBLEM_JSON, body);
        let headers = response.headers_mut();
        if let Extra::Allow(allow) = self.0.extra {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        let passes = !matches!(self.0.extra, Extra::Lasting);
        if passes && matches!(self.code(), Code::Unavailable | Code::IdempotencyKeyInFlight) {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }

    /// Appends the JSON object.
    pub(super) fn write(&self, correlation: &CorrelationId, out: &mut Vec<u8>) {
        self.write_of(None, correlation, out);
    }

    /// Appends the JSON object of the operation at `index` of a batch; its mistakes say so.
    pub(super) fn write_at(&self, index: usize, correlation: &CorrelationId, out: &mut Vec<u8>) {
        self.write_of(Some(index), correlation, out);
    }

    fn write_of(&self, index: Option<usize>, correlation: &CorrelationId, out: &mut Vec<u8>) {
        let (code, status) = (self.code(), self.code().status());
        write_head(code, status, &self.0.detail, out);
        out.extend_from_slice(b",\"correlationId\":\"");
        out.extend_from_slice(correlation.as_str().as_bytes());
        out.push(b'"');
        match &self.0.extra {
            Extra::Nothing | Extra::Allow(_) | Extra::Lasting => {}
            Extra::Fields(errors) => write_field_errors(errors, index, out),
            Extra::Rejection(rejection) => write_rejection(rejection, index, out),
        }
        out.push(b'}');
    }
}

fn write_head(code: Code, status: StatusCode, detail: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"/problems/");
    out.extend_from_slice(code.name().as_bytes());
    out.extend_from_slice(b"\",\"title\":\"");
    out.extend_from_slice(code.title().as_bytes());
    out.extend_from_slice(b"\",\"status\":");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b",\"detail\":");
    render::string(detail, out);
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(code.name().as_bytes());
    out.push(b'"');
}

fn write_field_errors(errors: &[FieldError], index: Option<usize>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"errors\":[");
    for (at, error) in errors.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'{');
        if let Some(index) = index {
            out.extend_from_slice(b"\"index\":");
            render::number(index as u64, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"field\":");
        render::string(&error.field, out);
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(error.code.as_bytes());
        out.extend_from_slice(b"\",\"detail\":");
        render::string(&error.detail, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_rejection(rejection: &Rejection, index: Option<usize>, out: &mut Vec<u8>) {
    match rejection {
        Rejection::VersionMismatch { actual, .. } => {
            out.extend_from_slice(b",\"currentVersion\":");
            render::number(actual.0, out);
        }
        Rejection::AmountTooPrecise { .. } => {
            let error = FieldError::new("amount", "too-precise", rejection.to_string());
            write_field_errors(&[error], index, out);
        }
        Rejection::Batch { refused } => write_refused(refused, out),
        Rejection::WalletNotFound { .. }
        | Rejection::WalletExists { .. }
        | Rejection::InsufficientFunds { .. }
        | Rejection::SameWallet { .. }
        | Rejection::CurrencyMismatch { .. }
        | Rejection::BalanceLimit { .. }
        | Rejection::RefusedEarlier { .. } => {}
    }
}

fn write_refused(refused: &[Refused], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"errors\":[");
    for (at, one) in refused.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"index\":");
        render::number(one.index as u64, out);
        out.extend_from_slice(b",\"code\":\"");
        out.extend_from_slice(one.rejection.code().as_bytes());
        out.extend_from_slice(b"\",\"detail\":");
        render::string(&one.rejection.to_string(), out);
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
