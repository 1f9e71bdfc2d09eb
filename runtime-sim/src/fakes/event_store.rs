//! KurrentDB: streams with expected revisions, atomic appends over many streams, one log (INV-03, INV-04, INV-05).
//!
//! As the real one, it compares revisions and event ids and believes the rest: what versions, balances and times say is
//! the writer's affair. Everything is durable once it is answered, and a crash loses nothing; connections, timeouts and
//! hints that the log has grown belong to the network.

use std::collections::{BTreeMap, BTreeSet};

use wallex_core::effect::{Append, Completion, Effect, Input, Load, Loaded, StreamWrite};
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{CommandId, Position, Version, WalletId};
use wallex_core::mutant::{self, Mutant};
use wallex_core::time::Timestamp;

use super::rejected;

/// Bytes of a record beside its texts, about: positions are byte offsets, as the real one's, so they leave holes.
const RECORD_BYTES: u64 = 220;
/// The real one refuses appends beyond 256 MiB: so many events of ours are below that in any case.
const APPEND_EVENTS_MAX: usize = 65_536;

/// The streams and the log.
#[derive(Clone, Debug, Default)]
pub struct EventStore {
    log: Vec<Recorded>,
    /// Places in `log`, by wallet.
    streams: BTreeMap<WalletId, Vec<usize>>,
}

impl EventStore {
    /// Performs an effect; nothing for effects that are not the event store's.
    pub fn perform(&mut self, _now: Timestamp, effect: Effect) -> Option<Input> {
        Some(match effect {
            Effect::Append(id, append) => Input::Appended(id, self.append(&append)),
            Effect::Load(id, loads) => {
                Input::Loaded(id, Completion::Done(loads.iter().map(|load| self.load(load)).collect()))
            }
            Effect::FindCommand { effect, wallet, command, not_before } => {
                Input::Found(effect, Completion::Done(self.find(&wallet, command, not_before)))
            }
            Effect::ReadLog { effect, after, limit } => {
                let start = self.log.partition_point(|recorded| recorded.position <= after);
                let events = self.log[start..].iter().take(limit).cloned().collect();
                Input::LogRead(effect, Completion::Done(events))
            }
            Effect::ReadStream { effect, wallet, from, to } => {
                let skipped = from.0.saturating_sub(1);
                let wanted = (to.0 + 1).saturating_sub(from.0.max(1));
                let events = self.stream(&wallet, skipped).take(wanted as usize).cloned().collect();
                Input::StreamRead(effect, Completion::Done(events))
            }
            Effect::Reply { .. }
            | Effect::Reserve(..)
            | Effect::Lease { .. }
            | Effect::Unlease(_)
            | Effect::StoreAnswers(..)
            | Effect::ReleaseKeys(_)
            | Effect::Lead { .. }
            | Effect::Resign
            | Effect::LoadFeederCheckpoint(_)
            | Effect::WriteOutbox { .. }
            | Effect::LoadRelayProgress(_)
            | Effect::ReadOutbox { .. }
            | Effect::Publish(..)
            | Effect::PublishDead(..)
            | Effect::MarkPublished { .. }
            | Effect::LoadProgress { .. }
            | Effect::Fetch { .. }
            | Effect::LoadVersions { .. }
            | Effect::Project { .. }
            | Effect::LoadHeld { .. } => return None,
        })
    }

    /// The whole log, in order.
    #[must_use]
    pub fn log(&self) -> &[Recorded] {
        &self.log
    }

    /// The position of the last event; 0 when there is none.
    #[must_use]
    pub fn head(&self) -> Position {
        self.log.last().map(|recorded| recorded.position).unwrap_or_default()
    }

    /// The wallets that have a stream.
    pub fn wallets(&self) -> impl Iterator<Item = &WalletId> {
        self.streams.keys()
    }

    /// The events of a wallet, without the first `skipped`.
    pub fn stream(&self, wallet: &WalletId, skipped: u64) -> impl DoubleEndedIterator<Item = &Event> {
        let places = self.streams.get(wallet).map(Vec::as_slice).unwrap_or_default();
        let places = places.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
        places.iter().map(|place| &self.log[*place].event)
    }

    fn load(&self, load: &Load) -> Loaded {
        Loaded { snapshot: None, events: self.stream(&load.wallet, load.known.0).cloned().collect() }
    }

    /// Reads backwards, and no further than to the first event before `not_before`.
    fn find(&self, wallet: &WalletId, command: CommandId, not_before: Timestamp) -> Vec<Event> {
        let recent = self.stream(wallet, 0).rev().take_while(|event| event.occurred_at >= not_before);
        let mut found: Vec<Event> = recent.filter(|event| event.command_id == command).cloned().collect();
        found.reverse();
        found
    }

    fn revision(&self, wallet: &WalletId) -> Version {
        Version(self.streams.get(wallet).map_or(0, Vec::len) as u64)
    }

    fn append(&mut self, append: &Append) -> Completion<()> {
        if let Some(reason) = malformed(append) {
            return rejected(reason);
        }
        if append.writes.iter().all(|write| self.is_there(write)) {
            return Completion::Done(());
        }
        let is_checked = !mutant::on(Mutant::RevisionNotChecked);
        if is_checked && append.writes.iter().any(|write| self.revision(&write.wallet) != write.expected) {
            return Completion::Conflict;
        }
        for event in append.writes.iter().flat_map(|write| &write.events) {
            let position = Position(self.head().0 + bytes_of(event));
            self.streams.entry(event.wallet_id.clone()).or_default().push(self.log.len());
            self.log.push(Recorded { position, event: event.clone() });
        }
        Completion::Done(())
    }

    /// Whether these very events follow the expected revision, however long the stream is now.
    fn is_there(&self, write: &StreamWrite) -> bool {
        let stored = self.stream(&write.wallet, write.expected.0).map(|event| event.event_id);
        stored.take(write.events.len()).eq(write.events.iter().map(|event| event.event_id))
    }
}

fn bytes_of(event: &Event) -> u64 {
    let texts = event.wallet_id.as_str().len() + event.description.as_ref().map_or(0, |text| text.len());
    RECORD_BYTES + texts as u64
}

/// What the real one refuses whatever its streams hold.
fn malformed(append: &Append) -> Option<&'static str> {
    let events: usize = append.writes.iter().map(|write| write.events.len()).sum();
    let streams: BTreeSet<&WalletId> = append.writes.iter().map(|write| &write.wallet).collect();
    if !append.records.is_empty() {
        Some("idempotency records are not kept in the event store")
    } else if append.writes.iter().any(|write| write.events.is_empty()) {
        Some("every stream of an append needs an event")
    } else if streams.len() < append.writes.len() {
        Some("a stream may be in an append only once")
    } else if append.writes.iter().any(|write| write.events.iter().any(|event| event.wallet_id != write.wallet)) {
        Some("an event is not of the stream it is written to")
    } else if events > APPEND_EVENTS_MAX {
        Some("the append is too large")
    } else {
        None
    }
}
