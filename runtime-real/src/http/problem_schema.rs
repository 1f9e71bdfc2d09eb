//! Which problems the routes answer with, as the OpenAPI document states them.

#![allow(dead_code, reason = "the types are only described, never built")]

use utoipa::IntoResponses;

use super::schema::Problem;

/// What every route can answer beside its successes.
#[derive(IntoResponses)]
pub(super) enum AnyProblems {
    /// `internal-error`: a defect of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// `unavailable`: known not to have been done.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds")))]
    Unavailable(Problem),
}

/// What every write can answer beside its successes.
#[derive(IntoResponses)]
pub(super) enum WriteProblems {
    /// `validation-failed`, `malformed-json`, `idempotency-key-invalid`
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `request-timeout`: the body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(Problem),
    /// `wallet-exists`, `idempotency-key-in-flight`
    #[response(status = 409, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds, with `idempotency-key-in-flight`")))]
    Conflict(Problem),
    /// `body-too-large`
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// `unsupported-media-type`
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
    /// `insufficient-funds`, `same-wallet`, `currency-mismatch`, `balance-limit`, `refused-earlier`,
    /// `idempotency-key-reused`, `batch-refused`
    #[response(status = 422, content_type = "application/problem+json")]
    Refused(Problem),
    /// `internal-error`: a defect of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// `unavailable`: known not to have been done.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u32, description = "Seconds")))]
    Unavailable(Problem),
    /// `outcome-unknown`: retry with the same `Idempotency-Key`.
    #[response(status = 504, content_type = "application/problem+json")]
    Unknown(Problem),
}

/// What a write to an existing wallet can answer in addition.
#[derive(IntoResponses)]
pub(super) enum ExistingWalletProblems {
    /// `wallet-not-found`
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(Problem),
    /// `version-mismatch`: `If-Match` names another version than `currentVersion`.
    #[response(status = 412, content_type = "application/problem+json")]
    Version(Problem),
}

/// What a read of one wallet can answer beside its successes.
#[derive(IntoResponses)]
pub(super) enum ReadProblems {
    /// `validation-failed`, `cursor-invalid`
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `wallet-not-found`
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(Problem),
}
