//! The journal, as the embedded service uses it: one writer, readers beside it, files in a directory of their own.

use std::sync::{Mutex, PoisonError};

use wallex_contracts::Port;
use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input};
use wallex_core::time::Timestamp;
use wallex_journal::{Journal, Options, OsStorage, Reader};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

struct Embedded {
    journal: Mutex<Journal<OsStorage>>,
    reader: Reader<OsStorage>,
    _directory: tempfile::TempDir,
}

impl Embedded {
    fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = OsStorage::create(directory.path()).expect("a storage");
        let options = Options { segment_bytes: 1 << 20, ..Options::default() };
        let (journal, _) = Journal::open(storage, options).expect("a journal");
        Self { reader: journal.reader(), journal: Mutex::new(journal), _directory: directory }
    }
}

fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> Completion<T> {
    match result {
        Ok(value) => Completion::Done(value),
        Err(error) => Completion::Failed(Failure { kind: FailureKind::Unavailable, reason: error.to_string() }),
    }
}

impl Port for Embedded {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else there may be, the statements do not ask for it")]
    async fn perform(&self, effect: Effect) -> Option<Input> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match effect {
            Effect::Append(id, append) => Input::Appended(id, journal.append(&[append], NOW).pop()?),
            Effect::Load(id, loads) => {
                Input::Loaded(id, Completion::Done(loads.iter().map(|load| journal.load(load)).collect()))
            }
            Effect::FindCommand { effect, wallet, command, not_before } => {
                Input::Found(effect, done(self.reader.find_command(&wallet, command, not_before)))
            }
            Effect::ReadLog { effect, after, limit } => {
                Input::LogRead(effect, done(self.reader.read_all(after, limit)))
            }
            Effect::ReadStream { effect, wallet, from, to } => {
                let limit = usize::try_from(to.0 - from.0 + 1).expect("a limit");
                let stream = self.reader.read_stream(&wallet, from, limit);
                let events = stream.map(|events| events.into_iter().map(|recorded| recorded.event).collect());
                Input::StreamRead(effect, done(events))
            }
            other => panic!("not an effect of the event store: {other:?}"),
        })
    }
}

wallex_contracts::event_store_contract!(
    #[tokio::test]
    {
        Embedded::empty()
    }
);
