//! `GET /wallets/{id}/events`: the raw audit trail, from the event store.
//!
//! In version order, in pages, and current whatever the read model has. A cursor is the next version with a check
//! against mistakes. Reading is left to `reads`, writing JSON to `render`.

use hyper::Response;
use hyper::http::request::Parts;
use wallex_core::id::{Version, WalletId};

use super::problem::{Code, Problem};
use super::query::Query;
use super::response::{Body, json};
use super::state::Service;
use super::{problem_schema, reads, render, schema};

/// Room for one event.
const EVENT_BYTES: usize = 640;

/// What the cursor of a list of events begins with.
const CURSOR_PREFIX: &str = "v1-";

/// A wallet's events in order, as the event store has them.
#[utoipa::path(
    get,
    path = "/wallets/{id}/events",
    operation_id = "listEvents",
    tag = "history",
    params(
        ("id" = String, Path, description = "The wallet", example = "alice"),
        ("fromVersion" = Option<u64>, Query, description = "From this version on; 1 when absent", minimum = 1),
        ("limit" = Option<u64>, Query, description = "Items of a page, 50 when absent", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = schema::EventPage),
        problem_schema::ReadProblems,
        problem_schema::AnyProblems
    )
)]
pub(super) async fn of_wallet(service: &Service, head: &Parts, id: WalletId) -> Result<Response<Body>, Problem> {
    let mut query = Query::new(head.uri.query(), &["fromVersion", "limit", "cursor"]);
    let from_version = query.version("fromVersion");
    let limit = query.limit();
    let cursor = query.text("cursor").map(str::to_owned);
    if cursor.is_some() && from_version.is_some() {
        query.wrong("fromVersion", "cannot be combined with cursor: both say where the page begins");
    }
    query.finish()?;
    let from = match cursor {
        Some(cursor) => version_of_cursor(&cursor, &id)?,
        None => from_version.unwrap_or(Version(1)),
    };
    let mut events = reads::events(service, &id, from, limit + 1).await?;
    if events.is_empty() {
        super::transactions::must_exist(service, &id).await?;
    }
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(|last| cursor_of(last.version.next(), &id));
    let mut out = Vec::with_capacity(64 + events.len() * EVENT_BYTES);
    render::list(&events, next.as_deref(), render::event, &mut out);
    Ok(json(out))
}

/// Where the next page begins. Events never move, so the version is all there is to know; the check number refuses
/// cursors of other wallets and damaged ones.
fn cursor_of(version: Version, id: &WalletId) -> String {
    format!("{CURSOR_PREFIX}{version:x}-{check:08x}", version = version.0, check = check(version, id))
}

fn version_of_cursor(cursor: &str, id: &WalletId) -> Result<Version, Problem> {
    let parsed = cursor.strip_prefix(CURSOR_PREFIX).and_then(|rest| {
        let version = u64::from_str_radix(rest.split('-').next()?, 16).ok().map(Version)?;
        (cursor_of(version, id) == cursor).then_some(version)
    });
    parsed.ok_or_else(|| Problem::new(Code::CursorInvalid, "the cursor is not one of this list"))
}

/// FNV-1a over version and wallet: guards against mistakes, not against intent, which could do no harm.
fn check(version: Version, id: &WalletId) -> u32 {
    let bytes = version.0.to_le_bytes();
    let all = bytes.iter().chain(id.as_str().as_bytes());
    all.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_list_only() {
        let (mine, other) = (WalletId::parse("mine").unwrap(), WalletId::parse("other").unwrap());
        let cursor = cursor_of(Version(51), &mine);
        assert_eq!(version_of_cursor(&cursor, &mine), Ok(Version(51)));
        for (cursor, id) in [
            (cursor.as_str(), &other),
            (&cursor[1..], &mine),
            (&cursor[..cursor.len() - 1], &mine),
            ("v1-34-00000000", &mine),
            ("v1-+33-00000000", &mine),
            ("", &mine),
            ("52", &mine),
        ] {
            assert_eq!(version_of_cursor(cursor, id).unwrap_err().code(), Code::CursorInvalid, "{cursor}");
        }
    }
}
