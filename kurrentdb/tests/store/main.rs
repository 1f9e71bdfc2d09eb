//! The event store when answers are lost, the server goes away and comes back, or others write beside it.

mod counting;
mod front;
mod proxy;
mod secure;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::Code;
use wallex_contracts::ledger::{Ledger, wallet};
use wallex_core::effect::{Append, Completion, Effect, FailureKind, Input, Load, Loaded};
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{EffectId, Position, Version};
use wallex_kurrentdb::client::{Client, ConnectionString};
use wallex_kurrentdb::protocol::append::{AppendContent, AppendReq, Expected, ProposedMessage, StreamOptions};
use wallex_kurrentdb::protocol::errors::{self, Any, NodeInfo, NotLeaderNode, reason};
use wallex_kurrentdb::protocol::shared::{StreamIdentifier, Uuid};
use wallex_kurrentdb::protocol::{APPEND, APPEND_SESSION};
use wallex_kurrentdb::server::{self, Server};
use wallex_kurrentdb::store::{EventStore, Options};

use front::Front;
use proxy::Proxy;

const ID: EffectId = EffectId(3);
/// No test waits longer for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

async fn serve(address: &str, directory: &Path) -> Server {
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port");
    Server::start(listener, directory, server::Options::default()).await.expect("a server")
}

fn options(call: Duration) -> Options {
    let mut options = Options::default();
    options.timing.call = call;
    options.timing.connect = PATIENCE;
    options
}

async fn connect(port: u16, call: Duration) -> EventStore {
    let settings = ConnectionString::insecure("127.0.0.1", port);
    EventStore::connect(&settings, options(call)).await.expect("a connection")
}

async fn append(store: &EventStore, append: &Append) -> Completion<()> {
    let input = store.perform(Effect::Append(ID, Arc::new(append.clone()))).await;
    let Some(Input::Appended(ID, completion)) = input else { panic!("{input:?}") };
    completion
}

/// What the core does: the same append again, until it knows.
async fn append_in_the_end(store: &EventStore, written: &Append) {
    let begin = Instant::now();
    loop {
        match append(store, written).await {
            Completion::Done(()) => return,
            Completion::Conflict => panic!("a repeat is no conflict"),
            Completion::Failed(_) | Completion::Unknown => assert!(begin.elapsed() < PATIENCE, "never done"),
        }
    }
}

async fn log(store: &EventStore, after: Position) -> Completion<Vec<Recorded>> {
    let input = store.perform(Effect::ReadLog { effect: ID, after, limit: 1_000 }).await;
    let Some(Input::LogRead(ID, completion)) = input else { panic!("{input:?}") };
    completion
}

async fn events(store: &EventStore) -> Vec<Event> {
    let Completion::Done(log) = log(store, Position(0)).await else { panic!("the log cannot be read") };
    log.into_iter().map(|recorded| recorded.event).collect()
}

async fn load(store: &EventStore, name: &str) -> Completion<Vec<Loaded>> {
    let load = Load { wallet: wallet(name), known: Version(0) };
    let input = store.perform(Effect::Load(ID, vec![load])).await;
    let Some(Input::Loaded(ID, completion)) = input else { panic!("{input:?}") };
    completion
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_unknown_and_its_repeat_is_done_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve("127.0.0.1:0", directory.path()).await;
    let proxy = Proxy::before(server.address()).await;
    let store = connect(proxy.port, Duration::from_secs(2)).await;
    let witness = connect(server.address().port(), PATIENCE).await;

    let mut ledger = Ledger::default();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        append_in_the_end(&store, &created).await;
        ledger.accept(&created);
    }
    let commands: [fn(&Ledger) -> Append; 2] =
        [|ledger| ledger.credit("a", "5"), |ledger| ledger.transfer("b", "a", "7")];
    for command in commands {
        let written = command(&ledger);
        proxy.swallow_answers(true);
        assert_eq!(append(&store, &written).await, Completion::Unknown);
        let begin = Instant::now();
        while events(&witness).await.len() < ledger.events.len() + written.writes.len() {
            assert!(begin.elapsed() < PATIENCE, "it was written nevertheless");
        }
        proxy.swallow_answers(false);
        append_in_the_end(&store, &written).await;
        ledger.accept(&written);
        assert_eq!(events(&witness).await, ledger.events, "once");
    }
}

#[tokio::test]
async fn the_log_is_followed_through_a_restart_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve("127.0.0.1:0", directory.path()).await;
    let address: SocketAddr = server.address();
    let reader = connect(address.port(), Duration::from_secs(5)).await;
    let mut head = reader.follow();
    let mut ledger = Ledger::default();
    let mut last = Position(0);
    let mut server = Some(server);

    for round in 0..2 {
        let writer = connect(address.port(), Duration::from_secs(5)).await;
        for name in [format!("a{round}"), format!("b{round}")] {
            let created = ledger.create(&name);
            append_in_the_end(&writer, &created).await;
            ledger.accept(&created);
        }
        let transferred = ledger.transfer(&format!("a{round}"), &format!("b{round}"), "3");
        append_in_the_end(&writer, &transferred).await;
        ledger.accept(&transferred);

        let before = last;
        let Completion::Done(log) = log(&writer, last).await else { panic!("the log cannot be read") };
        last = log[log.len() - 1].position;
        let grown = tokio::time::timeout(PATIENCE, head.wait_for(|head| *head >= last)).await;
        assert_eq!(*grown.expect("the hint comes").unwrap(), last);
        assert_eq!(events(&reader).await, ledger.events);
        assert!(reader.health().await.unwrap().following);
        assert_eq!(reader.count_after(before).await.unwrap(), 4, "events, not positions");
        assert_eq!(reader.count_after(last).await.unwrap(), 0);
        if round == 0 {
            let stopped = server.take().expect("it runs");
            stopped.stop().await.unwrap();
            server = Some(serve(&address.to_string(), directory.path()).await);
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_noticed_and_the_log_is_followed_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve("127.0.0.1:0", directory.path()).await;
    let proxy = Proxy::before(server.address()).await;
    let writer = connect(server.address().port(), PATIENCE).await;
    // Only the watchdog is there to notice.
    let settings =
        ConnectionString { keep_alive_interval: None, ..ConnectionString::insecure("127.0.0.1", proxy.port) };
    let watchful = Options { watchdog: Duration::from_millis(300), ..options(Duration::from_secs(1)) };
    let reader = EventStore::connect(&settings, watchful).await.unwrap();
    let mut head = reader.follow();
    let mut ledger = Ledger::default();
    for name in ["a", "b"] {
        let created = ledger.create(name);
        append_in_the_end(&writer, &created).await;
        ledger.accept(&created);
        let seen = tokio::time::timeout(PATIENCE, head.wait_for(|head| head.0 >= ledger.events.len() as u64)).await;
        seen.expect("it comes").unwrap();

        proxy.swallow_answers(true);
        let credited = ledger.credit(name, "5");
        append_in_the_end(&writer, &credited).await;
        ledger.accept(&credited);
        assert!(reader.health().await.is_err(), "no answer comes through");
        proxy.swallow_answers(false);
        let seen = tokio::time::timeout(PATIENCE, head.wait_for(|head| head.0 >= ledger.events.len() as u64)).await;
        seen.expect("it comes in the end").unwrap();
    }
    assert_eq!(events(&writer).await, ledger.events);
}

#[tokio::test]
async fn an_append_that_a_follower_refuses_is_done_by_the_leader_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let leader = serve("127.0.0.1:0", directory.path()).await;
    let port = leader.address().port();
    let follower = Front::before(leader.address(), None, move |request| {
        let path = request.uri().path();
        if path == APPEND.path_text() {
            let beside = [(errors::LEADER_HOST, "127.0.0.1"), (errors::LEADER_PORT, &port.to_string())];
            return Some(errors::exception(Code::NotFound, "not here", errors::NOT_LEADER, &beside));
        }
        let leads = Some(NodeInfo { host: "127.0.0.1".to_owned(), port: i32::from(port) });
        let detail = Any::pack(&NotLeaderNode { leader: leads });
        let refusal = || errors::rich(Code::FailedPrecondition, "not here", reason::NOT_LEADER_NODE, Some(detail));
        (path == APPEND_SESSION.path_text()).then(refusal)
    })
    .await;

    let mut ledger = Ledger::default();
    let commands: [fn(&Ledger) -> Append; 3] =
        [|ledger| ledger.create("a"), |ledger| ledger.create("b"), |ledger| ledger.transfer("a", "b", "7")];
    for command in commands {
        let store = connect(follower.port, PATIENCE).await;
        assert_eq!(store.health().await.unwrap().host.port, follower.port);
        let written = command(&ledger);
        let Completion::Failed(failure) = append(&store, &written).await else { panic!("a follower wrote it") };
        assert_eq!(failure.kind, FailureKind::Unavailable, "it may be tried again");
        assert_eq!(events(&store).await, ledger.events);
        append_in_the_end(&store, &written).await;
        ledger.accept(&written);
        assert_eq!(events(&store).await, ledger.events, "once");
        assert_eq!(store.health().await.unwrap().host.port, port);
    }
}

#[tokio::test]
async fn without_a_server_appends_are_known_not_to_be_done_and_reads_fail() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve("127.0.0.1:0", directory.path()).await;
    let store = connect(server.address().port(), Duration::from_millis(500)).await;
    let created = Ledger::default().create("a");
    server.stop().await.unwrap();

    let begin = Instant::now();
    // The first call may meet the broken connection, about which nothing is known.
    while append(&store, &created).await == Completion::Unknown {
        assert!(begin.elapsed() < PATIENCE, "never known");
    }
    let Completion::Failed(failure) = append(&store, &created).await else { panic!("no server, no append") };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    let Completion::Failed(failure) = load(&store, "a").await else { panic!("no server, no load") };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(store.health().await.is_err());
}

#[tokio::test]
async fn what_others_write_into_a_wallets_stream_is_reported_and_not_taken_for_an_event() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve("127.0.0.1:0", directory.path()).await;
    let port = server.address().port();
    let store = connect(port, PATIENCE).await;
    let settings = ConnectionString::insecure("127.0.0.1", port);
    let client = Client::connect(&settings, options(PATIENCE).timing).await.unwrap();
    for stream in ["orders-1", "wallet-x"] {
        let stream = Some(StreamIdentifier::new(stream));
        let options = StreamOptions { stream, expected: Some(Expected::Any(())) };
        let event = ProposedMessage {
            id: Some(Uuid::text(uuid::Uuid::from_u128(7))),
            metadata: [("type", "Noise"), ("content-type", "application/json")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            data: b"{}".as_slice().into(),
            ..ProposedMessage::default()
        };
        let contents = [AppendContent::Options(options), AppendContent::Event(event)];
        let messages = contents.map(|content| AppendReq { content: Some(content) });
        client.call(&APPEND, messages.into()).await.unwrap();
        if events_or_failure(&store).await.is_ok() {
            assert_eq!(events(&store).await, [], "other streams are none of our business");
        }
    }
    let failure = events_or_failure(&store).await.unwrap_err();
    assert!(failure.contains("wallet-x") && failure.contains("Noise"), "{failure}");
    let Completion::Failed(failure) = load(&store, "x").await else { panic!("x is no wallet") };
    assert_eq!(failure.kind, FailureKind::Rejected);
}

async fn events_or_failure(store: &EventStore) -> Result<(), String> {
    match log(store, Position(0)).await {
        Completion::Done(_) => Ok(()),
        Completion::Failed(failure) => Err(failure.reason),
        Completion::Conflict | Completion::Unknown => panic!("a read is never that"),
    }
}
