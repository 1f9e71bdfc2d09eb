//! `GET /wallets/{id}/transactions`: the history of a wallet, from the ledger.
//!
//! Reads the filter, and whether CSV is wanted: that is `statement`'s. The ledger follows the log, so the newest
//! entries may be missing for a moment; whether a wallet without entries exists is asked of the event store.

use hyper::Response;
use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use wallex_core::id::WalletId;
use wallex_core::projector::EntryKind;

use super::headers::Correlation;
use super::problem::{Code, Problem};
use super::query::Query;
use super::response::{Body, json};
use super::state::Service;
use super::{problem_schema, reads, render, schema, statement};
use crate::database::queries::TransactionFilter;

/// Room for one entry.
const ENTRY_BYTES: usize = 512;

/// A wallet's ledger entries with the running balance, newest first. With `Accept: text/csv` the answer is a statement
/// of all of them, without pages.
#[utoipa::path(
    get,
    path = "/wallets/{id}/transactions",
    operation_id = "listTransactions",
    tag = "history",
    params(
        ("id" = String, Path, description = "The wallet", example = "alice"),
        ("type" = Option<schema::EntryType>, Query, description = "Only entries of this kind"),
        ("from" = Option<String>, Query, description = "Not before this moment (RFC 3339)"),
        ("to" = Option<String>, Query, description = "Before this moment (RFC 3339)"),
        ("order" = Option<String>, Query, description = "`desc` (newest first) or `asc`", example = "desc"),
        ("limit" = Option<u64>, Query, description = "Items of a page, 50 when absent", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before, with the same filter"),
        ("Accept" = Option<String>, Header, description = "`text/csv` for a statement"),
    ),
    responses(
        (status = 200, description = "A page, or a statement", content(
            (schema::LedgerPage = "application/json"),
            (String = "text/csv")
        )),
        problem_schema::ReadProblems,
        problem_schema::AnyProblems
    )
)]
pub(super) async fn of_wallet(
    service: &Service,
    head: &Parts,
    id: WalletId,
    correlation: &Correlation,
) -> Result<Response<Body>, Problem> {
    let mut query = Query::new(head.uri.query(), &["type", "from", "to", "order", "limit", "cursor"]);
    let kind = query.parsed("type", |text| {
        EntryKind::parse(text).ok_or("must be create, credit, debit, transfer_in or transfer_out")
    });
    let (from, to) = (query.time("from"), query.time("to"));
    let ascending = query.parsed("order", |text| match text {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => Err("must be asc or desc"),
    });
    let limit = query.limit();
    let cursor = query.text("cursor").map(str::to_owned);
    let csv = wants_csv(head);
    for part in ["limit", "cursor"] {
        if csv && query.text(part).is_some() {
            query.wrong(part, "cannot be combined with text/csv: a statement has all entries that the filter takes");
        }
    }
    query.finish()?;
    let after = reads::cursor(cursor.as_deref())?;
    let filter = TransactionFilter { kind, from, to, ascending: ascending.unwrap_or(false), after, limit };
    if csv {
        return statement::of_wallet(service, &id, filter, correlation).await;
    }
    let page = reads::transactions(service, &id, &filter).await?;
    if page.items.is_empty() && after.is_none() {
        must_exist(service, &id).await?;
    }
    let next = page.next.map(|cursor| cursor.encode());
    let mut out = Vec::with_capacity(64 + page.items.len() * ENTRY_BYTES);
    let format = service.config.money_format;
    render::list(&page.items, next.as_deref(), |entry, out| render::ledger_entry(entry, format, out), &mut out);
    Ok(json(out))
}

/// Tells an empty history from that of a wallet that does not exist.
pub(super) async fn must_exist(service: &Service, id: &WalletId) -> Result<(), Problem> {
    let first = crate::log::Moment::Version(wallex_core::id::Version(1));
    if reads::wallet_at(service, id, first).await?.is_some() {
        return Ok(());
    }
    Err(Problem::new(Code::WalletNotFound, format!("wallet {id} does not exist")))
}

/// Whether the client asks for CSV before it asks for JSON.
fn wants_csv(head: &Parts) -> bool {
    let accepted = head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let essences =
        accepted.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or("").trim());
    let mut known = essences.filter_map(|essence| match essence {
        "text/csv" => Some(true),
        "application/json" | "*/*" | "application/*" => Some(false),
        _ => None,
    });
    known.next().unwrap_or(false)
}
