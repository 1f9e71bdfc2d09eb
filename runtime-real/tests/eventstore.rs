//! `wallex eventstore` as a process: what scripts see, and what `kill -9` cannot take away (INV-04, INV-14).

// A test may stop at the first surprise, and says what it does.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wallex_kurrentdb::client::{Client, ConnectionString, Timing};
use wallex_kurrentdb::protocol::append::{
    AppendContent, AppendReq, AppendResult, Expected, ProposedMessage, StreamOptions,
};
use wallex_kurrentdb::protocol::read::{
    AllSource, AllStart, Amount, Direction, Filtering, ReadContent, ReadOptions, ReadReq, Source, UuidContent,
    UuidOption,
};
use wallex_kurrentdb::protocol::shared::uuid_form::{Form, Structured};
use wallex_kurrentdb::protocol::shared::{StreamIdentifier, Uuid};
use wallex_kurrentdb::protocol::{APPEND, READ};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often the process is killed under appends.
const KILLS: u64 = 8;
/// Appends in flight at once.
const WRITERS: u64 = 8;

/// A process that is killed when the test is over, however it ends.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wallex"));
        command.args(["eventstore", "--listen", "127.0.0.1:0", "--data-dir"]).arg(directory);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("no ready line: {line:?}")).parse().unwrap();
        Self { child, address }
    }

    async fn client(&self) -> Client {
        let settings = ConnectionString::insecure(self.address.ip().to_string(), self.address.port());
        Client::connect(&settings, Timing::default()).await.unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn id(round: u64, writer: u64, number: u64) -> u128 {
    u128::from(round) << 96 | u128::from(writer) << 64 | u128::from(number)
}

fn append(stream: &str, expected: Expected, id: u128) -> Vec<AppendReq> {
    let options = StreamOptions { stream: Some(StreamIdentifier::new(stream)), expected: Some(expected) };
    let halves = Structured { most_significant_bits: (id >> 64) as i64, least_significant_bits: id as i64 };
    let metadata = BTreeMap::from([("type".to_owned(), "T".to_owned())]);
    let uuid = Uuid { form: Some(Form::Structured(halves)) };
    let event = ProposedMessage { id: Some(uuid), metadata, ..ProposedMessage::default() };
    [AppendContent::Options(options), AppendContent::Event(event)]
        .map(|content| AppendReq { content: Some(content) })
        .into()
}

/// Appends one event after another to a stream of its own, until the process is gone; the numbers that were acknowledged.
async fn write(client: Client, round: u64, writer: u64, answers: Arc<AtomicUsize>) -> u64 {
    let stream = format!("s-{round}-{writer}");
    let mut acknowledged = 0;
    loop {
        let expected = match acknowledged {
            0 => Expected::NoStream(()),
            count => Expected::Revision(count - 1),
        };
        match client.call(&APPEND, append(&stream, expected, id(round, writer, acknowledged))).await {
            Ok(answer) => {
                assert!(matches!(answer.result, Some(AppendResult::Success(_))), "{stream}: {answer:?}");
                acknowledged += 1;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return acknowledged,
        }
    }
}

async fn log(client: &Client) -> Vec<(String, u64, u128)> {
    let options = ReadOptions {
        source: Some(Source::All(AllSource { start: Some(AllStart::Start(())) })),
        direction: Direction::Forwards as i32,
        amount: Some(Amount::Count(u64::MAX)),
        filtering: Some(Filtering::Nothing(())),
        uuid: Some(UuidOption { content: Some(UuidContent::Structured(())) }),
        ..ReadOptions::default()
    };
    let mut answers = client.stream(&READ, ReadReq { options: Some(options) }).await.unwrap();
    let mut all = Vec::new();
    while let Some(answer) = answers.next(PATIENCE).await.unwrap() {
        if let Some(ReadContent::Event(read)) = answer.content {
            let event = read.event.unwrap();
            let name = event.stream.unwrap().name().unwrap().to_owned();
            let Some(Form::Structured(halves)) = event.id.unwrap().form else { panic!("an id as text") };
            let high = u128::from(halves.most_significant_bits as u64) << 64;
            all.push((name, event.revision, high | u128::from(halves.least_significant_bits as u64)));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut moments = std::process::id().into();
    println!("moments begin with {moments}");
    for round in 0..KILLS {
        let mut process = Process::start(directory.path());
        let client = process.client().await;
        let answers = Arc::new(AtomicUsize::new(0));
        let writing: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(client.clone(), round, writer, answers.clone()))).collect();
        moments = u64::wrapping_mul(moments, 6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let enough = 1 + (moments >> 33) as usize % 400;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while answers.load(Ordering::Relaxed) < enough {
            assert!(tokio::time::Instant::now() < deadline, "no answers");
            tokio::task::yield_now().await;
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        for (writer, task) in (0..).zip(writing) {
            acknowledged.insert((round, writer), task.await.unwrap());
        }
    }
    let process = Process::start(directory.path());
    let found = log(&process.client().await).await;
    let mut streams: BTreeMap<String, Vec<u128>> = BTreeMap::new();
    for (stream, revision, id) in found {
        let events = streams.entry(stream).or_default();
        assert_eq!(revision, events.len() as u64);
        events.push(id);
    }
    let mut total = 0;
    for ((round, writer), count) in acknowledged {
        let events = streams.remove(&format!("s-{round}-{writer}")).unwrap_or_default();
        let number = events.len() as u64;
        assert!(number == count || number == count + 1, "{count} acknowledged, {number} there");
        let expected: Vec<u128> = (0..number).map(|number| id(round, writer, number)).collect();
        assert_eq!(events, expected);
        total += count;
    }
    assert!(streams.is_empty(), "streams that nobody wrote: {streams:?}");
    println!("{total} acknowledged appends, {KILLS} kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_with_zero_and_the_next_start_finds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path());
    let client = process.client().await;
    client.call(&APPEND, append("s", Expected::NoStream(()), 1)).await.unwrap();
    process.signal("-TERM");
    let code = tokio::task::spawn_blocking(move || process.child.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
    let process = Process::start(directory.path());
    assert_eq!(log(&process.client().await).await, [("s".to_owned(), 0, 1)]);
}

fn refused(listen: &str, directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wallex"));
    command.args(["eventstore", "--listen", listen, "--data-dir"]).arg(directory).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn a_directory_or_an_address_in_use_is_named_and_ends_with_three() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let output = refused("127.0.0.1:0", directory.path());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    let pid = process.child.id().to_string();
    assert!(text.contains("in use by process") && text.contains(&pid), "{text}");

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = refused(&address, tempfile::tempdir().unwrap().path());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
}
