//! The trace of a run: one record for every step of every node, hashed with all its contents as it happens (INV-13).
//!
//! The hash is made without text ([`Digest`]), so that thousands of seeds can be swept. Text exists only in a trace that
//! keeps its records: to be written as JSON lines, or drawn as a page ([`crate::page`]). A checker that compares only
//! randomness and time misses data that changed; this hash does not.

use serde::Serialize;
use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

pub use wallex_recording::Digest;

/// What kind of step it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A node was fed an input.
    Input,
    /// A node's timer went off.
    Timer,
    /// A node asked for an effect.
    Effect,
    /// A message left its sender.
    Send,
    /// A message came to its receiver.
    Deliver,
    /// A message was lost.
    Drop,
    /// A message was made to come once more.
    Duplicate,
    /// A node died.
    Crash,
    /// A node began again.
    Restart,
    /// A node stood still.
    Pause,
    /// A fault began.
    Fault,
    /// A fault was over.
    Heal,
    /// Events became durable in the event store.
    Append,
    /// A client asked for something.
    Invoke,
    /// A client got its answer, or gave up.
    Return,
    /// Something worth reaching was reached.
    Mark,
    /// An invariant does not hold.
    Violation,
}

/// The fixed part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Virtual time.
    pub at: Timestamp,
    /// The lane of the node it happened at, by number.
    pub lane: u16,
    /// What kind it was.
    pub kind: Kind,
    /// For messages: the lane of the other end.
    pub peer: Option<u16>,
    /// For messages: its number, the same at both ends; else 0.
    pub message: u64,
}

/// What people are told about a step; made only when the trace keeps its records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The kind of input, effect, message or fault, in a word: what the page can filter by.
    pub name: String,
    /// A line for people.
    pub text: String,
    /// The wallets it is about.
    pub wallets: Vec<WalletId>,
    /// Wallets as they are after it, with [`Kind::Append`].
    pub states: Vec<WalletState>,
}

/// A wallet after an append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalletState {
    /// Which.
    pub wallet: WalletId,
    /// Its version.
    pub version: u64,
    /// Its balance, in minor units.
    pub balance: i64,
}

/// A step, as kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number, from 1.
    pub step: u64,
    /// Microseconds since the run began.
    pub at_us: i64,
    /// See [`Head::lane`].
    pub lane: u16,
    /// See [`Head::kind`].
    pub kind: Kind,
    /// See [`Head::peer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<u16>,
    /// See [`Head::message`].
    pub message: u64,
    /// For people.
    #[serde(flatten)]
    pub note: Note,
}

/// Hashes what happens, as it happens.
#[derive(Debug, Default)]
pub struct Trace {
    digest: Digest,
    steps: u64,
    began: Option<Timestamp>,
    kept: Option<Vec<Record>>,
}

impl Trace {
    /// A trace that also keeps its records.
    #[must_use]
    pub fn keeping() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    /// Whether records are kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Records a step: `what` goes into the hash, `note` is made only when records are kept. Gives the step's number.
    pub fn record(&mut self, head: Head, what: &(impl Serialize + ?Sized), note: impl FnOnce() -> Note) -> u64 {
        self.steps += 1;
        let place = u64::from(head.lane) << 32 | u64::from(head.peer.unwrap_or(u16::MAX)) << 8 | head.kind as u64;
        self.digest.number(head.at.as_micros() as u64);
        self.digest.number(place);
        self.digest.number(head.message);
        self.digest.value(what);
        let began = *self.began.get_or_insert(head.at);
        if let Some(kept) = &mut self.kept {
            let at_us = head.at.as_micros() - began.as_micros();
            let Head { lane, kind, peer, message, .. } = head;
            kept.push(Record { step: self.steps, at_us, lane, kind, peer, message, note: note() });
        }
        self.steps
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The hash so far, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        self.digest.to_string()
    }

    /// The records, if they were kept.
    #[must_use]
    pub fn into_records(self) -> Vec<Record> {
        self.kept.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};
    use wallex_core::effect::{Completion, Input, Loaded};
    use wallex_core::id::EffectId;

    fn head(at: i64) -> Head {
        Head { at: Timestamp::from_micros(at), lane: 1, kind: Kind::Input, peer: None, message: 0 }
    }

    fn loaded(description: &str) -> Input {
        let event = crate::check::sample::credit("w1", 2, 5_00, 15_00, description);
        Input::Loaded(EffectId(8), Completion::Done(vec![Loaded { snapshot: None, events: vec![event] }]))
    }

    #[test]
    fn a_changed_description_changes_the_hash_and_the_same_steps_do_not() {
        let hash = |text: &str, at: i64| {
            let mut trace = Trace::default();
            trace.record(head(at), &loaded(text), Note::default);
            trace.hash()
        };
        assert_eq!(hash("rent", 1), hash("rent", 1));
        assert_ne!(hash("rent", 1), hash("rant", 1));
        assert_ne!(hash("rent", 1), hash("rent", 2));
    }

    #[test]
    fn neighbouring_values_are_not_mistaken_for_each_other() {
        let hash = |value: &dyn Fn(&mut Digest)| {
            let mut digest = Digest::default();
            value(&mut digest);
            digest
        };
        assert_ne!(hash(&|d| d.value(&("ab", "c"))), hash(&|d| d.value(&("a", "bc"))));
        assert_ne!(hash(&|d| d.value(&(vec![1_u8], vec![2_u8]))), hash(&|d| d.value(&(vec![1_u8, 2], vec![0_u8; 0]))));
        assert_ne!(hash(&|d| d.value(&Some(0_u8))), hash(&|d| d.value(&None::<u8>)));
        assert_ne!(hash(&|d| d.value(&0_u8)), hash(&|_| {}));
    }

    #[test]
    fn a_trace_that_keeps_nothing_makes_no_text() {
        let mut trace = Trace::default();
        assert_eq!(trace.record(head(1), &1_u8, || unreachable!("nobody will read it")), 1);
        assert!(!trace.keeps());
        assert!(trace.into_records().is_empty());
    }

    #[test]
    fn twenty_five_thousand_records_are_hashed_in_a_blink() {
        let input = loaded("rent");
        let began = Instant::now();
        let mut trace = Trace::default();
        for at in 0..25_000 {
            trace.record(head(at), &input, Note::default);
        }
        let took = began.elapsed();
        eprintln!("25,000 records hashed in {took:?}");
        // Far above what it takes, so that only a change of kind fails here.
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
