//! Writes JSON by hand into one buffer: snapshots, ledger entries, events.
//!
//! Money is written from its mantissa with exact digits, as a JSON number or a JSON string as the configuration says.
//! Ids need no escapes, by their alphabets; descriptions do.

use wallex_core::event::{Event, SCHEMA_VERSION, codec};
use wallex_core::id::TransferId;
use wallex_core::money::Money;
use wallex_core::projector::LedgerEntry;
use wallex_core::wallet::Wallet;

use crate::config::MoneyFormat;

/// Room for one snapshot.
pub(super) const SNAPSHOT_BYTES: usize = 320;

/// Appends a snapshot.
pub(super) fn wallet(wallet: &Wallet, format: MoneyFormat, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(wallet.id.as_str().as_bytes());
    out.extend_from_slice(b"\",\"ownerId\":\"");
    out.extend_from_slice(wallet.owner_id.as_str().as_bytes());
    out.extend_from_slice(b"\",\"currency\":\"");
    out.extend_from_slice(wallet.currency.code().as_bytes());
    out.extend_from_slice(b"\",\"balance\":");
    money(wallet.balance, format, out);
    out.extend_from_slice(b",\"version\":");
    number(wallet.version.0, out);
    out.extend_from_slice(b",\"createdAt\":\"");
    wallet.created_at.write_text(out);
    out.extend_from_slice(b"\",\"updatedAt\":\"");
    wallet.updated_at.write_text(out);
    out.extend_from_slice(b"\"}");
}

/// Appends a ledger entry.
pub(super) fn ledger_entry(entry: &LedgerEntry, format: MoneyFormat, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"eventId\":\"");
    entry.event_id.write_text(out);
    out.extend_from_slice(b"\",\"walletId\":\"");
    out.extend_from_slice(entry.wallet_id.as_str().as_bytes());
    out.extend_from_slice(b"\",\"version\":");
    number(entry.version.0, out);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(entry.kind.name().as_bytes());
    out.extend_from_slice(b"\",\"amount\":");
    money(entry.amount, format, out);
    out.extend_from_slice(b",\"balance\":");
    money(entry.balance, format, out);
    out.extend_from_slice(b",\"currency\":\"");
    out.extend_from_slice(entry.currency.code().as_bytes());
    out.extend_from_slice(b"\",\"transferId\":");
    match &entry.transfer_id {
        Some(id) => quoted(out, |out| id.write_text(out)),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"counterpartyWalletId\":");
    match &entry.counterparty {
        Some(id) => quoted(out, |out| out.extend_from_slice(id.as_str().as_bytes())),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"description\":");
    match &entry.description {
        Some(text) => string(text, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"occurredAt\":\"");
    entry.occurred_at.write_text(out);
    out.extend_from_slice(b"\",\"commandId\":\"");
    entry.command_id.write_text(out);
    out.extend_from_slice(b"\",\"correlationId\":\"");
    out.extend_from_slice(entry.correlation_id.as_str().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Appends an event as the event store has it.
pub(crate) fn event(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"eventId\":\"");
    event.event_id.write_text(out);
    out.extend_from_slice(b"\",\"stream\":\"wallet-");
    out.extend_from_slice(event.wallet_id.as_str().as_bytes());
    out.extend_from_slice(b"\",\"version\":");
    number(event.version.0, out);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(event.event_type().name().as_bytes());
    out.extend_from_slice(b"\",\"schemaVersion\":");
    number(u64::from(SCHEMA_VERSION), out);
    out.extend_from_slice(b",\"occurredAt\":\"");
    event.occurred_at.write_text(out);
    out.extend_from_slice(b"\",\"data\":");
    codec::encode_data(event, out);
    out.extend_from_slice(b",\"metadata\":");
    codec::encode_metadata(event, out);
    out.push(b'}');
}

/// Appends a list and the cursor of its next page.
pub(super) fn list<T>(items: &[T], next: Option<&str>, mut write: impl FnMut(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.extend_from_slice(b"],\"nextCursor\":");
    match next {
        Some(cursor) => string(cursor, out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// Appends a sum of money with its exact digits.
pub(super) fn money(value: Money, format: MoneyFormat, out: &mut Vec<u8>) {
    match format {
        MoneyFormat::Number => value.write_digits(out),
        MoneyFormat::String => quoted(out, |out| value.write_digits(out)),
    }
}

/// Appends a whole number.
pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends any text as a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// Appends the answer to a transfer.
pub(super) fn transfer(id: TransferId, from: &Wallet, to: &Wallet, format: MoneyFormat, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"transferId\":\"");
    id.write_text(out);
    out.extend_from_slice(b"\",\"fromWallet\":");
    wallet(from, format, out);
    out.extend_from_slice(b",\"toWallet\":");
    wallet(to, format, out);
    out.push(b'}');
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
