//! The stable machine codes of problems: one table, from which answers, the OpenAPI document and the pages behind each
//! problem's `type` are made.
//!
//! Names and meanings are part of the interface. Which refusal of the domain has which code stands here too; bodies are
//! written by `problem`.

use hyper::StatusCode;
use wallex_core::wallet::Rejection;

macro_rules! codes {
    ($($variant:ident = $status:ident $name:literal $title:literal, $explanation:literal;)+) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// All codes, in the order of their status.
            pub(super) const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// A short text, the same for every problem of the kind.
            #[must_use]
            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What it means and what to do about it.
            #[must_use]
            pub(super) const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation),+ }
            }
        }
    };
}

codes! {
    ValidationFailed = BAD_REQUEST "validation-failed" "The request is not valid",
        "Members, parameters or headers of the request are wrong; `errors` names each one. Nothing was done, and an \
         Idempotency-Key of the request stays free for the corrected one.";
    MalformedJson = BAD_REQUEST "malformed-json" "The body is not JSON",
        "The body is not well-formed JSON; `detail` says where.";
    IdempotencyKeyInvalid = BAD_REQUEST "idempotency-key-invalid" "The Idempotency-Key is not valid",
        "A key has 1 to 255 visible ASCII characters, bare or in double quotes, and stands in one header.";
    CursorInvalid = BAD_REQUEST "cursor-invalid" "The cursor is not valid",
        "A cursor is only good for the list that gave it as `nextCursor`, with the same parameters. Start again without.";
    NotFound = NOT_FOUND "not-found" "There is nothing at this address",
        "The path is none of the service's. `/docs` shows those that are.";
    WalletNotFound = NOT_FOUND "wallet-not-found" "The wallet does not exist",
        "No wallet has this id, or, for a reader of a moment ago, not yet: `?minVersion=1` waits for it.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed" "The method is not allowed here",
        "The address exists, the method does not; `Allow` lists those that do.";
    RequestTimeout = REQUEST_TIMEOUT "request-timeout" "The request did not arrive in time",
        "The body took longer than `http.request_timeout_ms`. Nothing was done.";
    WalletExists = CONFLICT "wallet-exists" "The wallet exists already",
        "A wallet with this id was created before. Nothing was done.";
    IdempotencyKeyInFlight = CONFLICT "idempotency-key-in-flight" "The first request with this key is still running",
        "Try again after `Retry-After` seconds: the answer will be that of the first request.";
    VersionMismatch = PRECONDITION_FAILED "version-mismatch" "The wallet has another version",
        "`If-Match` named another version than the wallet has; `currentVersion` is the one it has. Nothing was done.";
    BodyTooLarge = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large",
        "The body is larger than `http.body_limit_bytes`.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body is not application/json",
        "Send `Content-Type: application/json`, and no `Content-Encoding`.";
    InsufficientFunds = UNPROCESSABLE_ENTITY "insufficient-funds" "The wallet does not hold that much",
        "The wallet to be debited holds less than the amount. Nothing was done.";
    SameWallet = UNPROCESSABLE_ENTITY "same-wallet" "Source and destination are the same wallet",
        "A transfer needs two wallets.";
    CurrencyMismatch = UNPROCESSABLE_ENTITY "currency-mismatch" "The wallets hold different currencies",
        "A transfer needs the same currency on both sides.";
    BalanceLimit = UNPROCESSABLE_ENTITY "balance-limit" "The balance would pass its limit",
        "No balance may pass 900,000,000,000,000 units of its currency. Nothing was done.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency-key-reused" "The key was used for another request",
        "An Idempotency-Key stands for one request. This one came with another payload before. Use a fresh key.";
    RefusedEarlier = UNPROCESSABLE_ENTITY "refused-earlier" "The operation was refused when its batch was carried out",
        "Only for an operation of a batch, in an answer rebuilt after a crash: the reason was lost, and it would be accepted now.";
    BatchRefused = UNPROCESSABLE_ENTITY "batch-refused" "The batch was refused as a whole",
        "At least one operation of an atomic batch is refused; `errors` names each with its index. Nothing was done.";
    InternalError = INTERNAL_SERVER_ERROR "internal-error" "The service failed",
        "A defect of the service. For a write the outcome is not known: retry with the same Idempotency-Key.";
    Unavailable = SERVICE_UNAVAILABLE "unavailable" "The service cannot do this now",
        "Known not to have been done. Try again after `Retry-After` seconds; without that header it does not pass by \
         itself, and `detail` says why.";
    OutcomeUnknown = GATEWAY_TIMEOUT "outcome-unknown" "Whether it was done is not known",
        "It may or may not have taken effect. Retry with the same Idempotency-Key to find out: it takes effect at most once.";
}

impl Code {
    /// The code with this name.
    #[must_use]
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl From<&Rejection> for Code {
    fn from(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::WalletNotFound { .. } => Self::WalletNotFound,
            Rejection::WalletExists { .. } => Self::WalletExists,
            Rejection::InsufficientFunds { .. } => Self::InsufficientFunds,
            Rejection::SameWallet { .. } => Self::SameWallet,
            Rejection::CurrencyMismatch { .. } => Self::CurrencyMismatch,
            Rejection::BalanceLimit { .. } => Self::BalanceLimit,
            Rejection::VersionMismatch { .. } => Self::VersionMismatch,
            Rejection::AmountTooPrecise { .. } => Self::ValidationFailed,
            Rejection::RefusedEarlier { .. } => Self::RefusedEarlier,
            Rejection::Batch { .. } => Self::BatchRefused,
        }
    }
}
