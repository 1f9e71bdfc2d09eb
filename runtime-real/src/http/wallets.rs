//! `GET /wallets/{id}` and `GET /wallets`: the read model, and time travel from the event store.
//!
//! Keeps INV-12: with `?minVersion=N` the answer has at least version N, or is 503 when the read model has not got there
//! in time. Time travel folds the wallet's events, so it needs no read model.

use hyper::header::IF_NONE_MATCH;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use rust_decimal::Decimal;
use wallex_core::id::{OwnerId, Version, WalletId};
use wallex_core::wallet::Wallet;

use super::headers::version_of_tag;
use super::problem::{Code, Problem};
use super::query::Query;
use super::reads;
use super::response::{Body, JSON, json, set_etag, whole};
use super::state::Service;
use super::{problem_schema, render, schema};
use crate::database::queries::WalletFilter;
use crate::log::Moment;

/// One wallet: as the read model has it, or, with `version` or `at`, as it was.
#[utoipa::path(
    get,
    path = "/wallets/{id}",
    operation_id = "getWallet",
    tag = "wallets",
    params(
        ("id" = String, Path, description = "The wallet", example = "alice"),
        ("minVersion" = Option<u64>, Query, description = "Wait, for a bounded time, until the read model has reached \
            this version", minimum = 1),
        ("version" = Option<u64>, Query, description = "As it was right after this version", minimum = 1),
        ("at" = Option<String>, Query, description = "As it was at this moment (RFC 3339)",
            example = "2026-11-21T06:17:07Z"),
        ("If-None-Match" = Option<String>, Header, description = "The version that the client has"),
    ),
    responses(
        (status = 200, description = "The wallet", body = schema::Snapshot,
            headers(("ETag" = String, description = "The version, in quotes"))),
        (status = 304, description = "It still has the version of `If-None-Match`"),
        problem_schema::ReadProblems,
        problem_schema::AnyProblems
    )
)]
pub(super) async fn one(service: &Service, head: &Parts, id: WalletId) -> Result<Response<Body>, Problem> {
    let mut query = Query::new(head.uri.query(), &["minVersion", "version", "at"]);
    let (min_version, version, at) = (query.version("minVersion"), query.version("version"), query.time("at"));
    if version.is_some() && at.is_some() {
        query.wrong("at", "cannot be combined with version: both name a moment");
    }
    if min_version.is_some() && (version.is_some() || at.is_some()) {
        query.wrong("minVersion", "cannot be combined with version or at: the event store is always current");
    }
    query.finish()?;
    let moment = version.map(Moment::Version).or(at.map(Moment::Time));
    let wallet = match (moment, min_version) {
        (Some(moment), _) => past(service, &id, moment).await?,
        (None, Some(min_version)) => at_least(service, &id, min_version).await?,
        (None, None) => reads::wallet(service, &id).await?.ok_or_else(|| missing(&id))?,
    };
    Ok(snapshot(&wallet, &head.headers, service))
}

/// Wallets in the order of their creation, filtered, page by page.
#[utoipa::path(
    get,
    path = "/wallets",
    operation_id = "listWallets",
    tag = "wallets",
    params(
        ("ownerId" = Option<String>, Query, description = "Only those of this owner"),
        ("minBalance" = Option<String>, Query, description = "Only those that hold at least this much"),
        ("maxBalance" = Option<String>, Query, description = "Only those that hold at most this much"),
        ("limit" = Option<u64>, Query, description = "Items of a page, 50 when absent", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before, with the same filter"),
    ),
    responses(
        (status = 200, description = "A page", body = schema::WalletPage),
        (status = 400, description = "`validation-failed`, `cursor-invalid`", body = schema::Problem,
            content_type = "application/problem+json"),
        problem_schema::AnyProblems
    )
)]
pub(super) async fn many(service: &Service, head: &Parts) -> Result<Response<Body>, Problem> {
    let mut query = Query::new(head.uri.query(), &["ownerId", "minBalance", "maxBalance", "limit", "cursor"]);
    let owner_id = query.parsed("ownerId", OwnerId::parse);
    let (min_balance, max_balance) = (query.parsed("minBalance", balance), query.parsed("maxBalance", balance));
    let limit = query.limit();
    let cursor = query.text("cursor").map(str::to_owned);
    query.finish()?;
    let after = reads::cursor(cursor.as_deref())?;
    let page = reads::wallets(service, &WalletFilter { owner_id, min_balance, max_balance, after, limit }).await?;
    let next = page.next.map(|cursor| cursor.encode());
    let mut out = Vec::with_capacity(64 + page.items.len() * render::SNAPSHOT_BYTES);
    let format = service.config.money_format;
    render::list(&page.items, next.as_deref(), |wallet, out| render::wallet(wallet, format, out), &mut out);
    Ok(json(out))
}

/// A bound of a balance: plain decimal digits of any currency.
fn balance(text: &str) -> Result<Decimal, &'static str> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let plain = unsigned.len() <= 24
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && unsigned.starts_with(|first: char| first.is_ascii_digit())
        && !unsigned.ends_with('.');
    let parsed = if plain { Decimal::from_str_exact(text).ok() } else { None };
    parsed.ok_or("must be a plain decimal number such as 12.50")
}

fn missing(id: &WalletId) -> Problem {
    Problem::new(Code::WalletNotFound, format!("wallet {id} does not exist"))
}

async fn past(service: &Service, id: &WalletId, moment: Moment) -> Result<Wallet, Problem> {
    let found = reads::wallet_at(service, id, moment).await?;
    found.ok_or_else(|| {
        let detail = match moment {
            Moment::Version(version) => format!("wallet {id} has no version {version}"),
            Moment::Time(_) => format!("wallet {id} did not exist then"),
        };
        Problem::new(Code::WalletNotFound, detail)
    })
}

/// The wallet at `min_version` or later (INV-12). When the read model does not get there in time, the event store tells
/// a wallet that is late from one that does not exist.
async fn at_least(service: &Service, id: &WalletId, min_version: Version) -> Result<Wallet, Problem> {
    match reads::wallet_at_least(service, id, min_version).await? {
        Some(wallet) => Ok(wallet),
        None if reads::wallet_at(service, id, Moment::Version(Version(1))).await?.is_none() => Err(missing(id)),
        None => Err(Problem::new(
            Code::Unavailable,
            format!("the read model has not reached version {min_version} of wallet {id} yet"),
        )),
    }
}

fn snapshot(wallet: &Wallet, headers: &HeaderMap, service: &Service) -> Response<Body> {
    let mut response = if client_has(headers, wallet.version) {
        whole(StatusCode::NOT_MODIFIED, JSON, "")
    } else {
        let mut out = Vec::with_capacity(render::SNAPSHOT_BYTES);
        render::wallet(wallet, service.config.money_format, &mut out);
        json(out)
    };
    set_etag(&mut response, wallet.version);
    response
}

/// Whether `If-None-Match` names this version.
fn client_has(headers: &HeaderMap, version: Version) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|tags| tags.split(',').any(|tag| tag.trim() == "*" || version_of_tag(tag.trim()) == Some(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_balances_are_plain_digits() {
        for text in ["0", "12.50", "-1", "100000000000000"] {
            assert_eq!(balance(text), Ok(text.parse().unwrap()), "{text}");
        }
        for text in ["", "-", ".5", "1.", "1e3", "1_0", "+1", "x", "1.2.3", "9999999999999999999999999999999"] {
            assert!(balance(text).is_err(), "{text}");
        }
    }
}
