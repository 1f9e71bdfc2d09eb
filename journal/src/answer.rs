//! Answers under idempotency keys, stored without storing what the append says anyway (INV-05).
//!
//! The answer to a single operation is a function of the events that it caused: its record keeps where those are in
//! the append, and a replay rebuilds the very same answer. Everything else (refusals, batches) is kept as JSON. An
//! answer is stored in the short form only after it was compared, member by member, with what would be rebuilt.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use wallex_core::command::{FinalAnswer, Success};
use wallex_core::effect::{Append, KeyRecord};
use wallex_core::event::Event;
use wallex_core::id::{TransferId, WalletId};
use wallex_core::wallet::Wallet;

use crate::block::{Block, Record};
use crate::heads::Heads;
use crate::wire::{Fields, Malformed, length32};

/// JSON of a [`FinalAnswer`].
const JSON: u8 = 0;
/// The ordinal of the one event whose wallet is the answer.
const WALLET: u8 = 1;
/// The ordinals of the debit and the credit.
const TRANSFER: u8 = 2;

/// How an answer is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StoredAnswer {
    Wallet(u32),
    Transfer(u32, u32),
    Json(Vec<u8>),
}

impl StoredAnswer {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Wallet(_) => WALLET,
            Self::Transfer(..) => TRANSFER,
            Self::Json(_) => JSON,
        }
    }

    /// Appends length and content.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Wallet(ordinal) => {
                out.extend_from_slice(&4_u32.to_le_bytes());
                out.extend_from_slice(&ordinal.to_le_bytes());
            }
            Self::Transfer(debit, credit) => {
                out.extend_from_slice(&8_u32.to_le_bytes());
                out.extend_from_slice(&debit.to_le_bytes());
                out.extend_from_slice(&credit.to_le_bytes());
            }
            Self::Json(json) => {
                out.extend_from_slice(&length32(json.len()).to_le_bytes());
                out.extend_from_slice(json);
            }
        }
    }
}

/// Where the events of an append's wallets are.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// For each write: its wallet's place among the heads, and how many events come before it.
    writes: Vec<(usize, u32)>,
    /// The write of each place among the heads; only for appends that are too large to be searched write by write.
    by_head: HashMap<usize, usize, FixedState>,
}

/// Appends with up to this many writes are searched write by write.
const SCANNED_WRITES_MAX: usize = 8;

impl Layout {
    /// Begins an append.
    pub(crate) fn begin(&mut self) {
        self.writes.clear();
        self.by_head.clear();
    }

    /// Notes the next write of an append that has so many in all.
    pub(crate) fn push(&mut self, head: usize, events_before: u32, all: usize) {
        if all > SCANNED_WRITES_MAX {
            self.by_head.insert(head, self.writes.len());
        }
        self.writes.push((head, events_before));
    }

    fn write_of(&self, append: &Append, wallet: &WalletId, heads: &Heads) -> Option<usize> {
        if append.writes.len() <= SCANNED_WRITES_MAX {
            return append.writes.iter().position(|write| write.wallet == *wallet);
        }
        self.by_head.get(&heads.index_of(wallet)?).copied()
    }
}

/// Chooses how to store the answer of a record. The append's events must be folded into `heads` already.
pub(crate) fn store(append: &Append, record: &KeyRecord, heads: &Heads, layout: &Layout) -> StoredAnswer {
    let short = match &record.answer.outcome {
        Ok(Success::Wallet(wallet)) => {
            caused(append, record, wallet, heads, layout).map(|(ordinal, _)| StoredAnswer::Wallet(ordinal))
        }
        Ok(Success::Transfer { transfer_id, from, to }) => caused(append, record, from, heads, layout)
            .filter(|(_, debit)| TransferId::from(debit.event_id) == *transfer_id)
            .and_then(|(debit, _)| {
                let (credit, _) = caused(append, record, to, heads, layout)?;
                Some(StoredAnswer::Transfer(debit, credit))
            }),
        Ok(Success::Batch(_)) | Err(_) => None,
    };
    short.unwrap_or_else(|| {
        StoredAnswer::Json(serde_json::to_vec(&record.answer).expect("answers have string keys and cannot fail"))
    })
}

/// The event of the append after which its wallet is exactly `after`, and its ordinal.
fn caused<'a>(
    append: &'a Append,
    record: &KeyRecord,
    after: &Wallet,
    heads: &Heads,
    layout: &Layout,
) -> Option<(u32, &'a Event)> {
    let index = layout.write_of(append, &after.id, heads)?;
    let (head, before) = *layout.writes.get(index)?;
    let write = &append.writes[index];
    let nth = after.version.0.checked_sub(write.expected.0 + 1)?;
    let event = write.events.get(usize::try_from(nth).ok()?)?;
    let head = heads.at(head);
    let same = event.command_id == record.command_id
        && event.correlation_id == record.answer.correlation_id
        && (event.balance, event.version, event.occurred_at) == (after.balance, after.version, after.updated_at)
        && (&head.owner_id, head.currency, head.created_at) == (&after.owner_id, after.currency, after.created_at);
    same.then_some((before + u32::try_from(nth).ok()?, event))
}

/// Why a stored answer cannot be read.
#[derive(Debug)]
pub(crate) enum Unanswerable {
    Malformed(Malformed),
    Unreadable(u64, wallex_core::event::CodecError),
}

impl From<Malformed> for Unanswerable {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Reads the answer of a record back.
pub(crate) fn restore(block: &Block<'_>, record: &Record<'_>, heads: &Heads) -> Result<FinalAnswer, Unanswerable> {
    let mut fields = Fields::new(record.answer);
    match record.answer_kind {
        JSON => serde_json::from_slice(record.answer).map_err(|_| Malformed("a stored answer is not readable").into()),
        WALLET => rebuild(block, record, &[fields.u32()?], heads),
        TRANSFER => rebuild(block, record, &[fields.u32()?, fields.u32()?], heads),
        _ => Err(Malformed("a stored answer is of an unknown kind").into()),
    }
}

fn rebuild(
    block: &Block<'_>,
    record: &Record<'_>,
    ordinals: &[u32],
    heads: &Heads,
) -> Result<FinalAnswer, Unanswerable> {
    let mut events = Vec::with_capacity(ordinals.len());
    let mut wallets = Vec::with_capacity(ordinals.len());
    for ordinal in ordinals {
        let position = block.first_position + u64::from(*ordinal);
        let event = block.event_at(*ordinal)?.decode().map_err(|error| Unanswerable::Unreadable(position, error))?;
        if event.command_id != record.command_id {
            return Err(Malformed("a stored answer points at an event of another command").into());
        }
        let head = heads.find(&event.wallet_id).ok_or(Malformed("a stored answer speaks of an unknown wallet"))?;
        wallets.push(head.as_of(&event));
        events.push(event);
    }
    let first = events.first().ok_or(Malformed("a stored answer has no events"))?;
    let correlation_id = first.correlation_id.clone();
    Ok(FinalAnswer { outcome: Ok(Success::of(&events, wallets.into_iter())), correlation_id })
}
