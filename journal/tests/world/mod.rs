//! What the tests share: a naive ledger that makes appends, and readers that take everything back out.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

use std::collections::BTreeMap;
use std::sync::Arc;

use wallex_core::command::{FinalAnswer, Fingerprint, Idempotency, KeyHash, Success};
use wallex_core::currency::Currency;
use wallex_core::effect::{Append, Completion, KeyRecord, StreamWrite};
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{CommandId, CorrelationId, OwnerId, Position, Version, WalletId};
use wallex_core::money::{Amount, Money};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Cause, Create, Operation, Rejection, Transfer, Wallet, Wallets};
use wallex_journal::testing::FaultyStorage;
use wallex_journal::{Journal, Options, Reader, Recovery, Storage};

pub const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
pub const LATER: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);

pub fn wallet(name: &str) -> WalletId {
    WalletId::parse(name).unwrap()
}

pub fn small() -> Options {
    Options { segment_bytes: 8 << 10, ..Options::default() }
}

pub fn open<S: Storage>(storage: &S) -> (Journal<S>, Recovery) {
    Journal::open(storage.clone(), small()).unwrap()
}

pub fn done() -> Completion<()> {
    Completion::Done(())
}

pub fn is_failed(outcome: &Completion<()>) -> bool {
    matches!(outcome, Completion::Failed(_))
}

/// Everything that a reader gives, read in small steps.
pub fn log<S: Storage>(reader: &Reader<S>) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |last| last.position);
        let page = reader.read_all(after, 7).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// The wallets and the log that a journal should have.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub wallets: BTreeMap<WalletId, Wallet>,
    pub events: Vec<Event>,
    commands: u64,
}

impl Wallets for Ledger {
    fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.wallets.get(id)
    }
}

impl Ledger {
    /// An append for one operation, with an idempotency record. The ledger does not count it as done yet.
    pub fn append(&mut self, operation: &Operation) -> Append {
        self.commands += 1;
        let command_id = CommandId::new(NOW, self.commands);
        let correlation_id = CorrelationId::parse(&format!("request-{}", self.commands)).unwrap();
        let cause = Cause { command_id, correlation_id: &correlation_id, trace_parent: None, now: NOW };
        let decided = operation.decide(self, None, &cause, 0);
        let (outcome, events): (Result<Success, Rejection>, Vec<Event>) = match decided {
            Ok(events) => {
                let after = events.iter().map(|event| Wallet::apply(self.wallet(&event.wallet_id).cloned(), event));
                (Ok(Success::of(&events, after)), events.to_vec())
            }
            Err(rejection) => (Err(rejection), Vec::new()),
        };
        let writes = events.into_iter().map(|event| StreamWrite {
            wallet: event.wallet_id.clone(),
            expected: Version(event.version.0 - 1),
            events: vec![event],
        });
        let record = KeyRecord {
            idempotency: key(self.commands),
            command_id,
            expires_at: LATER,
            held_by: None,
            answer: FinalAnswer { outcome, correlation_id: correlation_id.clone() },
        };
        Append { writes: writes.collect(), records: vec![record] }
    }

    /// Counts an append as done.
    pub fn accept(&mut self, append: &Append) {
        for event in append.writes.iter().flat_map(|write| &write.events) {
            let after = Wallet::apply(self.wallets.remove(&event.wallet_id), event);
            self.wallets.insert(event.wallet_id.clone(), after);
            self.events.push(event.clone());
        }
    }

    pub fn create(&mut self, name: &str) -> Append {
        let usd = Currency::parse("USD").unwrap();
        let append = self.append(&Operation::Create(Create {
            wallet_id: wallet(name),
            owner_id: OwnerId::parse(&format!("owner-of-{name}")).unwrap(),
            currency: usd,
            initial_balance: Money::parse("1000", usd).unwrap(),
        }));
        self.accept(&append);
        append
    }

    pub fn transfer(&mut self, from: &str, to: &str, amount: &str) -> Append {
        let append = self.pending_transfer(from, to, amount);
        self.accept(&append);
        append
    }

    /// A transfer that the ledger does not count as done.
    pub fn pending_transfer(&mut self, from: &str, to: &str, amount: &str) -> Append {
        self.append(&Operation::Transfer(Transfer {
            from: wallet(from),
            to: wallet(to),
            amount: Amount::parse(amount).unwrap(),
            description: Some(Arc::from("rent \"May\" – ü")),
        }))
    }

    /// A journal with wallets a, b, c and some transfers, in groups of one.
    pub fn fill<S: Storage>(&mut self, journal: &mut Journal<S>, transfers: usize) {
        for name in ["a", "b", "c"] {
            if !self.wallets.contains_key(&wallet(name)) {
                let append = self.create(name);
                assert_eq!(journal.append(&[append], NOW), [done()]);
            }
        }
        for index in 0..transfers {
            let (from, to) = [("a", "b"), ("b", "c"), ("c", "a")][index % 3];
            let append = self.transfer(from, to, "0.01");
            assert_eq!(journal.append(&[append], NOW), [done()]);
        }
    }

    /// The journal has exactly this, by every way of reading.
    pub fn assert_same<S: Storage>(&self, journal: &Journal<S>) {
        let read: Vec<Recorded> = log(&journal.reader());
        let positions: Vec<u64> = read.iter().map(|recorded| recorded.position.0).collect();
        assert_eq!(positions, (1..=self.events.len() as u64).collect::<Vec<_>>());
        let events: Vec<Event> = read.into_iter().map(|recorded| recorded.event).collect();
        assert_eq!(events, self.events);
        let heads: BTreeMap<WalletId, Wallet> = journal.wallets().map(|head| (head.id.clone(), head.clone())).collect();
        assert_eq!(heads, self.wallets);
        for id in self.wallets.keys() {
            self.assert_stream(&journal.reader(), id);
        }
    }

    pub fn assert_stream<S: Storage>(&self, reader: &Reader<S>, id: &WalletId) {
        let mut expected: Vec<Event> = self.events.iter().filter(|event| event.wallet_id == *id).cloned().collect();
        let stream = reader.read_stream(id, Version(0), usize::MAX).unwrap();
        assert_eq!(stream.into_iter().map(|one| one.event).collect::<Vec<_>>(), expected);
        let backwards = reader.read_stream_backwards(id, None, usize::MAX).unwrap();
        expected.reverse();
        assert_eq!(backwards.into_iter().map(|one| one.event).collect::<Vec<_>>(), expected);
    }
}

pub fn key(number: u64) -> Idempotency {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Idempotency { key: KeyHash(bytes), fingerprint: Fingerprint(bytes) }
}

/// A filled journal on a faulty disk, closed again.
pub fn filled(transfers: usize) -> (FaultyStorage, Ledger) {
    let storage = FaultyStorage::default();
    let mut ledger = Ledger::default();
    let (mut journal, _) = open(&storage);
    ledger.fill(&mut journal, transfers);
    (storage, ledger)
}

/// The name of a file by its ending and its number from the first.
pub fn file(storage: &FaultyStorage, ending: &str, number: usize) -> String {
    let mut names: Vec<String> = storage.list().unwrap().into_iter().filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names[number - 1].clone()
}

/// How many bytes of a file are used.
pub fn used(storage: &FaultyStorage, name: &str) -> u64 {
    let content = storage.content(name).unwrap();
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}
