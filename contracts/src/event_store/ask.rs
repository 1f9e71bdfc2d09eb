//! Questions to an event store: one effect each, its completion taken apart.
//!
//! A read must be done; an append gives its completion, because conflicts are what statements are about. Here is also
//! the one comparison of a store with the [`Ledger`], which `appending` and `reading` share.

use std::sync::Arc;

use wallex_core::effect::{Append, Completion, Effect, Input, Load, Loaded};
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{CommandId, EffectId, Position, Version};
use wallex_core::time::Timestamp;

use crate::Port;
use crate::ledger::{Ledger, wallet};

const ID: EffectId = EffectId(7);

pub(super) async fn append(store: &impl Port, append: &Append) -> Completion<()> {
    let input = store.perform(Effect::Append(ID, Arc::new(append.clone()))).await;
    let Some(Input::Appended(ID, completion)) = input else { panic!("an append was completed with {input:?}") };
    completion
}

/// Appends what must succeed, and counts it.
pub(super) async fn write(store: &impl Port, ledger: &mut Ledger, written: &Append) {
    assert_eq!(append(store, written).await, Completion::Done(()), "{written:?}");
    ledger.accept(written);
}

pub(super) async fn load(store: &impl Port, wanted: &[(&str, u64)]) -> Vec<Loaded> {
    let loads = wanted.iter().map(|(name, known)| Load { wallet: wallet(name), known: Version(*known) }).collect();
    let input = store.perform(Effect::Load(ID, loads)).await;
    let Some(Input::Loaded(ID, Completion::Done(loaded))) = input else {
        panic!("a load was completed with {input:?}")
    };
    assert_eq!(loaded.len(), wanted.len(), "one entry for each wallet");
    loaded
}

/// Events of the log after a position, in one read.
pub(super) async fn log(store: &impl Port, after: Position, limit: usize) -> Vec<Recorded> {
    let input = store.perform(Effect::ReadLog { effect: ID, after, limit }).await;
    let Some(Input::LogRead(ID, Completion::Done(events))) = input else {
        panic!("a read of the log was completed with {input:?}");
    };
    assert!(events.len() <= limit, "{} events where {limit} were asked for", events.len());
    events
}

/// The whole log, read in pages.
pub(super) async fn whole_log(store: &impl Port, page: usize) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |last| last.position);
        let events = log(store, after, page).await;
        if events.is_empty() {
            return all;
        }
        all.extend(events);
    }
}

pub(super) async fn stream(store: &impl Port, name: &str, from: u64, to: u64) -> Vec<Event> {
    let (from, to) = (Version(from), Version(to));
    let input = store.perform(Effect::ReadStream { effect: ID, wallet: wallet(name), from, to }).await;
    let Some(Input::StreamRead(ID, Completion::Done(events))) = input else {
        panic!("a read of a stream was completed with {input:?}");
    };
    events
}

pub(super) async fn find(store: &impl Port, name: &str, command: CommandId, not_before: Timestamp) -> Vec<Event> {
    let input = store.perform(Effect::FindCommand { effect: ID, wallet: wallet(name), command, not_before }).await;
    let Some(Input::Found(ID, Completion::Done(events))) = input else {
        panic!("a search for a command was completed with {input:?}");
    };
    events
}

/// The log and every wallet are as the ledger has them.
pub(super) async fn assert_same(store: &impl Port, ledger: &Ledger) {
    let log: Vec<Event> = whole_log(store, 100).await.into_iter().map(|recorded| recorded.event).collect();
    assert_eq!(log, ledger.events, "the log");
    for (id, state) in &ledger.wallets {
        assert_loads(store, ledger, id.as_str(), 0).await;
        let all = stream(store, id.as_str(), 1, state.version.0).await;
        assert_eq!(all, ledger.stream(id.as_str()), "the stream of {id}");
    }
}

/// Whoever knows a wallet up to a version knows all of it after a load.
pub(super) async fn assert_loads(store: &impl Port, ledger: &Ledger, name: &str, known: u64) {
    use wallex_core::wallet::Wallet;
    let known_events = ledger.stream(name).into_iter().filter(|event| event.version.0 <= known);
    let state = known_events.fold(None, |state, event| Some(Wallet::apply(state, &event)));
    let Some(loaded) = load(store, &[(name, known)]).await.pop() else { panic!("nothing was loaded") };
    if let Some(snapshot) = &loaded.snapshot {
        assert!(snapshot.version.0 > known, "a snapshot that is not newer than what is known");
    }
    // Applying panics where an event does not follow the state.
    let state = loaded.events.iter().fold(loaded.snapshot.or(state), |state, event| Some(Wallet::apply(state, event)));
    assert_eq!(state.as_ref(), ledger.wallets.get(&wallet(name)), "{name} after version {known}");
}
