//! Independent witnesses: the public Rust clients of KurrentDB write, conflict, read and subscribe, and read what this
//! crate's event store wrote. Nobody marks his own work here.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by unwrapping")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use wallex_contracts::ledger::Ledger;
use wallex_core::effect::{Append, Completion, Effect, Input};
use wallex_core::event::Event;
use wallex_core::id::EffectId;
use wallex_kurrentdb::client::ConnectionString;
use wallex_kurrentdb::server::{self, Server};
use wallex_kurrentdb::store::{EventStore, Options};

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    server: Server,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, directory.path(), server::Options::default()).await.unwrap();
        Self { server, _directory: directory }
    }

    fn url(&self) -> String {
        format!("esdb://127.0.0.1:{}?tls=false", self.server.address().port())
    }

    /// Two wallets and a transfer, written by this crate's event store.
    async fn wallets(&self) -> Ledger {
        let settings = ConnectionString::parse(&self.url()).unwrap();
        let mut options = Options::default();
        options.timing.call = PATIENCE;
        let store = EventStore::connect(&settings, options).await.unwrap();
        let mut ledger = Ledger::default();
        let commands: [fn(&Ledger) -> Append; 3] =
            [|ledger| ledger.create("a"), |ledger| ledger.create("b"), |ledger| ledger.transfer("a", "b", "9.99")];
        for command in commands {
            let written = command(&ledger);
            let input = store.perform(Effect::Append(EffectId(1), Arc::new(written.clone()))).await;
            assert_eq!(input, Some(Input::Appended(EffectId(1), Completion::Done(()))));
            ledger.accept(&written);
        }
        ledger
    }
}

/// An event as a foreign client shows it.
struct Shown {
    id: String,
    stream: String,
    revision: u64,
    kind: String,
    is_json: bool,
    data: serde_json::Value,
    metadata: serde_json::Value,
}

fn assert_shows(shown: &Shown, event: &Event) {
    assert_eq!(shown.id, event.event_id.to_string());
    assert_eq!(shown.stream, format!("wallet-{}", event.wallet_id));
    assert_eq!(shown.revision + 1, event.version.0);
    assert_eq!(shown.kind, event.event_type().name());
    assert!(shown.is_json, "tools show JSON as such");
    assert_eq!(shown.data["walletId"], json!(event.wallet_id.as_str()));
    assert_eq!(shown.data["version"], json!(event.version.0));
    assert_eq!(shown.metadata["commandId"], json!(event.command_id.to_string()));
    for key in ["correlationId", "$correlationId"] {
        assert_eq!(shown.metadata[key], json!(event.correlation_id.as_str()));
    }
    let trace_parent = event.trace_parent.as_ref().map(|trace| trace.as_str());
    assert_eq!(shown.metadata.get("traceparent").and_then(|trace| trace.as_str()), trace_parent);
}

/// The two crates have the same interface but for some names.
macro_rules! witness {
    ($name:ident, $client:ident, $state:ident, $exact:ident, $with:ident, $stream:expr) => {
        mod $name {
            use super::*;
            use $client::{
                AppendToStreamOptions, Client, Error, EventData, ReadAllOptions, ReadStreamOptions, RecordedEvent,
                StreamPosition, SubscribeToAllOptions, SubscribeToStreamOptions, SubscriptionFilter, $state,
            };

            fn client(world: &World) -> Client {
                Client::new(world.url().parse().unwrap()).unwrap()
            }

            fn shown(event: &RecordedEvent) -> Shown {
                let stream_of: fn(&RecordedEvent) -> String = $stream;
                Shown {
                    id: event.id.to_string(),
                    stream: stream_of(event),
                    revision: event.revision,
                    kind: event.event_type.clone(),
                    is_json: event.is_json,
                    data: serde_json::from_slice(&event.data).unwrap(),
                    metadata: serde_json::from_slice(&event.custom_metadata).unwrap(),
                }
            }

            async fn write(client: &Client, stream: &str, state: $state, number: u64) -> Result<u64, Error> {
                let event = EventData::json("Counted", &json!({ "number": number })).unwrap();
                let options = AppendToStreamOptions::default().$with(state);
                let written = client.append_to_stream(stream, &options, event).await?;
                Ok(written.next_expected_version)
            }

            #[tokio::test]
            async fn it_appends_conflicts_and_reads_both_ways() {
                let world = World::new().await;
                let client = client(&world);
                assert_eq!(write(&client, "count", $state::NoStream, 1).await.unwrap(), 0);
                assert_eq!(write(&client, "count", $state::$exact(0), 2).await.unwrap(), 1);
                assert_eq!(write(&client, "count", $state::Any, 3).await.unwrap(), 2);
                for stale in [$state::NoStream, $state::$exact(1), $state::$exact(9)] {
                    let error = write(&client, "count", stale, 4).await.unwrap_err();
                    assert!(matches!(error, Error::WrongExpectedVersion { .. }), "{error}");
                }
                let forwards = ReadStreamOptions::default();
                let backwards = ReadStreamOptions::default().backwards().position(StreamPosition::End);
                for (options, expected) in [(forwards, [1, 2, 3]), (backwards, [3, 2, 1])] {
                    let mut stream = client.read_stream("count", &options).await.unwrap();
                    for number in expected {
                        let event = stream.next().await.unwrap().expect("an event");
                        let data: serde_json::Value = event.get_original_event().as_json().unwrap();
                        assert_eq!(data, json!({ "number": number }));
                    }
                    assert!(stream.next().await.unwrap().is_none());
                }
                let missing = match client.read_stream("missing", &ReadStreamOptions::default()).await {
                    Ok(mut stream) => stream.next().await.map(drop).unwrap_err(),
                    Err(error) => error,
                };
                assert!(matches!(missing, Error::ResourceNotFound), "{missing}");
            }

            #[tokio::test]
            async fn it_reads_what_the_event_store_wrote() {
                let world = World::new().await;
                let ledger = world.wallets().await;
                let client = client(&world);
                for name in ["a", "b"] {
                    let options = ReadStreamOptions::default();
                    let mut stream = client.read_stream(format!("wallet-{name}"), &options).await.unwrap();
                    for event in ledger.stream(name) {
                        let read = stream.next().await.unwrap().expect("an event");
                        assert_shows(&shown(read.get_original_event()), &event);
                    }
                    assert!(stream.next().await.unwrap().is_none());
                }
                let mut all = client.read_all(&ReadAllOptions::default()).await.unwrap();
                for event in &ledger.events {
                    assert_shows(&shown(all.next().await.unwrap().expect("an event").get_original_event()), event);
                }
            }

            #[tokio::test]
            async fn it_subscribes_to_what_is_there_and_what_comes() {
                let world = World::new().await;
                let client = client(&world);
                write(&client, "count", $state::NoStream, 1).await.unwrap();
                let from_start = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
                let mut counted = client.subscribe_to_stream("count", &from_start).await;
                let filter = SubscriptionFilter::on_stream_name().add_prefix("wallet-");
                let wallets = SubscribeToAllOptions::default().position(StreamPosition::Start).filter(filter);
                let mut wallets = client.subscribe_to_all(&wallets).await;
                for number in 1..=3 {
                    let next = timeout(PATIENCE, counted.next()).await.expect("an event in time").unwrap();
                    let data: serde_json::Value = next.get_original_event().as_json().unwrap();
                    assert_eq!(data, json!({ "number": number }));
                    write(&client, "count", $state::Any, number + 1).await.unwrap();
                }
                for event in world.wallets().await.events {
                    let next = timeout(PATIENCE, wallets.next()).await.expect("an event in time").unwrap();
                    assert_shows(&shown(next.get_original_event()), &event);
                }
            }
        }
    };
}

witness!(kurrentdb_client, kurrentdb, StreamState, StreamRevision, stream_state, |event| event.stream_id().to_owned());
witness!(eventstore_client, eventstore, ExpectedRevision, Exact, expected_revision, |event| event.stream_id.clone());
