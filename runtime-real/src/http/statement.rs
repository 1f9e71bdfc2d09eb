//! The CSV statement of a wallet (RFC 4180), streamed in chunks, so that a long history needs little memory.
//!
//! Trouble with the first chunk is a problem like any other; later the stream breaks off and does not look complete.
//! Text of clients cannot be a formula. Parameters are read by `transactions`, pages by the database's queries.

use hyper::body::Bytes;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use wallex_core::id::WalletId;
use wallex_core::projector::LedgerEntry;

use super::headers::Correlation;
use super::problem::Problem;
use super::reads;
use super::response::{Body, StreamBroken, with_body};
use super::state::Service;
use super::transactions::must_exist;
use crate::database::queries::{QueryError, Statement, TransactionFilter};

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
const HEADER: &[u8] =
    b"occurredAt,version,type,amount,balance,currency,counterpartyWalletId,transferId,description,eventId\r\n";

/// Chunks that are read ahead of the client.
const CHUNKS_AHEAD: usize = 2;

/// The statement of a wallet. The first chunk is read before the answer begins, so that trouble is still a problem.
pub(super) async fn of_wallet(
    service: &Service,
    id: &WalletId,
    filter: TransactionFilter,
    correlation: &Correlation,
) -> Result<Response<Body>, Problem> {
    let mut statement = service.queries.statement(id, filter);
    let first = statement.next_chunk().await.map_err(reads::of_query)?;
    if first.is_none() {
        must_exist(service, id).await?;
    }
    let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
    let (wallet, correlation_id) = (id.clone(), correlation.id.clone());
    tokio::spawn(async move {
        if let Err(error) = send_chunks(statement, first, &chunks).await {
            let (correlation_id, wallet) = (correlation_id.as_str(), wallet.as_str());
            tracing::warn!(correlation_id, wallet, %error, "a statement broke off");
            let _client_is_gone = chunks.send(Err(StreamBroken)).await;
        }
    });
    let mut response = with_body(StatusCode::OK, CSV, Body::Stream(stream));
    let name = format!("attachment; filename=\"statement-{}.csv\"", id.as_str().replace(':', "_"));
    if let Ok(name) = HeaderValue::try_from(name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Sends chunks until the last one, or until the client is gone.
async fn send_chunks(
    mut statement: Statement,
    first: Option<Vec<LedgerEntry>>,
    chunks: &mpsc::Sender<Result<Bytes, StreamBroken>>,
) -> Result<(), QueryError> {
    let mut out = HEADER.to_vec();
    let mut entries = first;
    while let Some(chunk) = entries {
        for entry in &chunk {
            write_row(entry, &mut out);
        }
        if chunks.send(Ok(std::mem::take(&mut out).into())).await.is_err() {
            return Ok(());
        }
        entries = statement.next_chunk().await?;
    }
    if !out.is_empty() {
        let _client_is_gone = chunks.send(Ok(out.into())).await;
    }
    Ok(())
}

fn write_row(entry: &LedgerEntry, out: &mut Vec<u8>) {
    entry.occurred_at.write_text(out);
    out.push(b',');
    super::render::number(entry.version.0, out);
    out.push(b',');
    out.extend_from_slice(entry.kind.name().as_bytes());
    out.push(b',');
    entry.amount.write_digits(out);
    out.push(b',');
    entry.balance.write_digits(out);
    out.push(b',');
    out.extend_from_slice(entry.currency.code().as_bytes());
    out.push(b',');
    if let Some(counterparty) = &entry.counterparty {
        write_text(counterparty.as_str(), out);
    }
    out.push(b',');
    if let Some(transfer_id) = &entry.transfer_id {
        transfer_id.write_text(out);
    }
    out.push(b',');
    if let Some(description) = &entry.description {
        write_text(description, out);
    }
    out.push(b',');
    entry.event_id.write_text(out);
    out.extend_from_slice(b"\r\n");
}

/// Text of a client. A leading `= + - @` would be a formula to a spreadsheet, so it is preceded by an apostrophe, as
/// OWASP advises against CSV injection.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let formula = text.starts_with(['=', '+', '-', '@']);
    if !formula && !text.contains(['"', ',', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_when_it_must_be_and_never_a_formula() {
        for (text, cell) in [
            ("plain text", "plain text"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("@x", "\"'@x\""),
            ("", ""),
        ] {
            let mut out = Vec::new();
            write_text(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), cell);
        }
    }
}
