//! The client against members that are too old, do not lead, do not answer, or go away.

mod member;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use tonic::{Code, Status};
use wallex_kurrentdb::client::settings::Credentials;
use wallex_kurrentdb::client::{CallError, Class, Client, ConnectError, ConnectionString, Host, Timing};
use wallex_kurrentdb::protocol::APPEND_SESSION;
use wallex_kurrentdb::protocol::errors::{self, Any, NodeInfo, NotLeaderNode, reason};
use wallex_kurrentdb::protocol::session::AppendRequest;

use member::{Member, Script};

/// No test waits longer for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn at(port: u16) -> ConnectionString {
    ConnectionString::insecure("127.0.0.1", port)
}

fn cluster(ports: &[u16]) -> ConnectionString {
    let hosts = ports.iter().map(|port| Host { name: "127.0.0.1".to_owned(), port: *port }).collect();
    ConnectionString { hosts, ..at(0) }
}

/// Generous towards a busy machine, where time does not matter.
fn timing() -> Timing {
    Timing { call: Duration::from_secs(30), attempt: Duration::from_secs(20), connect: PATIENCE }
}

async fn append(client: &Client) -> Result<i64, CallError> {
    let request = AppendRequest { stream: "wallet-a".to_owned(), records: Vec::new(), expected_revision: Some(-1) };
    Ok(client.call(&APPEND_SESSION, vec![request]).await?.position)
}

/// Appends until it succeeds, as the core would after failures and unknown outcomes.
async fn append_in_the_end(client: &Client) -> i64 {
    let begin = Instant::now();
    loop {
        match append(client).await {
            Ok(position) => return position,
            Err(error) => assert!(begin.elapsed() < PATIENCE, "still {error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_at_once() {
    let old = Script { version: "24.10.4".to_owned(), ..Script::default() };
    let lacking = Script { sessions_supported: false, ..Script::default() };
    for script in [old, lacking] {
        let member = Member::start(script);
        let error = Client::connect(&at(member.port()), timing()).await.unwrap_err();
        assert!(matches!(error, ConnectError::TooOld { .. }), "{error}");
        assert!(error.to_string().contains("25.1 or newer is needed"), "{error}");
    }
}

#[tokio::test]
async fn where_nothing_listens_the_reason_is_told_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let timing = Timing { connect: Duration::from_millis(200), ..timing() };
    let error = Client::connect(&at(port), timing).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unreachable { host, .. } if host.port == port), "{error}");
}

#[tokio::test]
async fn the_leader_is_found_through_any_member_that_is_there() {
    let leader = Member::start(Script { append: Some(Ok(7)), ..Script::default() });
    leader.change(|script| script.leader = Some(leader.port()));
    let refusal = Status::internal("followers take no writes");
    let follower =
        Member::start(Script { leader: Some(leader.port()), append: Some(Err(refusal)), ..Script::default() });
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::connect(&cluster(&[gone, follower.port(), leader.port()]), timing()).await.unwrap();
    assert_eq!(client.server().map(|(host, _)| host.port), Ok(leader.port()));
    assert_eq!(append(&client).await.unwrap(), 7);
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_told_as_such() {
    let member = Member::start(Script::default());
    let timing = Timing { connect: Duration::from_millis(200), ..timing() };
    let error = Client::connect(&cluster(&[member.port(), member.port()]), timing).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoLeader), "{error}");
}

#[tokio::test]
async fn a_member_that_does_not_lead_says_who_does_and_the_next_call_goes_there() {
    let leader = Member::start(Script { append: Some(Ok(9)), ..Script::default() });
    let port = leader.port().to_string();
    let beside = [(errors::LEADER_HOST, "127.0.0.1"), (errors::LEADER_PORT, port.as_str())];
    let node = NodeInfo { host: "127.0.0.1".to_owned(), port: i32::from(leader.port()) };
    let detail = Any::pack(&NotLeaderNode { leader: Some(node) });
    for refusal in [
        errors::exception(Code::NotFound, "not here", errors::NOT_LEADER, &beside),
        errors::rich(Code::FailedPrecondition, "not here", reason::NOT_LEADER_NODE, Some(detail)),
    ] {
        let follower = Member::start(Script { append: Some(Err(refusal)), ..Script::default() });
        let client = Client::connect(&at(follower.port()), timing()).await.unwrap();
        let error = append(&client).await.unwrap_err();
        assert_eq!(error.class(), Class::Unavailable, "a follower did not write it: {error}");
        assert_eq!(append_in_the_end(&client).await, 9);
        assert_eq!(client.server().map(|(host, _)| host.port), Ok(leader.port()));
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_is_unknown_after_its_deadline() {
    let member = Member::start(Script { append: None, ..Script::default() });
    let timing = Timing { call: Duration::from_millis(300), ..timing() };
    let client = Client::connect(&at(member.port()), timing).await.unwrap();
    let begin = Instant::now();
    let error = append(&client).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error}");
    assert_eq!(error.class(), Class::Unknown);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    member.change(|script| script.append = Some(Ok(3)));
    assert_eq!(append_in_the_end(&client).await, 3, "the client goes on");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let member = Member::start(Script::default());
    let address = member.address;
    let timing = Timing { call: Duration::from_millis(500), ..timing() };
    let client = Client::connect(&at(address.port()), timing).await.unwrap();
    assert_eq!(append(&client).await.unwrap(), 1);
    member.stop().await;

    // At first a call may meet the broken connection; once that is known, calls fail as not done.
    let begin = Instant::now();
    loop {
        let error = append(&client).await.unwrap_err();
        if matches!(error, CallError::NotConnected(_)) {
            assert_eq!(error.class(), Class::Unavailable);
            break;
        }
        assert_eq!(error.class(), Class::Unknown, "{error}");
        assert!(begin.elapsed() < PATIENCE, "still {error}");
    }
    assert!(client.server().is_err(), "the loss is known");

    let listener = TcpListener::bind(address).unwrap();
    let _again = Member::listen(listener, Script { append: Some(Ok(2)), ..Script::default() });
    assert_eq!(append_in_the_end(&client).await, 2);
}

#[tokio::test]
async fn a_server_that_comes_back_too_old_is_not_used_and_calls_say_why() {
    let member = Member::start(Script::default());
    let address = member.address;
    let timing = Timing { call: Duration::from_millis(500), ..timing() };
    let client = Client::connect(&at(address.port()), timing).await.unwrap();
    member.stop().await;
    let begin = Instant::now();
    // As long as the loss is not known, the connection may be taken up again where it broke.
    while client.server().is_ok() {
        let error = append(&client).await.unwrap_err();
        assert!(begin.elapsed() < PATIENCE, "still {error}");
    }

    let old = Script { version: "24.10.4".to_owned(), ..Script::default() };
    let _old = Member::listen(TcpListener::bind(address).unwrap(), old);
    loop {
        let error = append(&client).await.unwrap_err();
        if error.to_string().contains("25.1 or newer is needed") {
            assert_eq!(error.class(), Class::Unavailable);
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "still {error}");
    }
}

#[tokio::test]
async fn when_the_leader_is_gone_the_others_are_asked_who_leads_now() {
    let leader = Member::start(Script { append: Some(Ok(1)), ..Script::default() });
    let successor = Member::start(Script { leader: Some(leader.port()), append: Some(Ok(2)), ..Script::default() });
    leader.change(|script| script.leader = Some(leader.port()));
    let settings = ConnectionString { discover: true, ..cluster(&[successor.port(), leader.port()]) };
    let timing = Timing { call: Duration::from_millis(500), ..timing() };
    let client = Client::connect(&settings, timing).await.unwrap();
    assert_eq!(append(&client).await.unwrap(), 1);

    leader.stop().await;
    let begin = Instant::now();
    // Gossip still names the one that is gone.
    while client.server().is_ok() {
        let error = append(&client).await.unwrap_err();
        assert!(begin.elapsed() < PATIENCE, "still {error}");
    }
    successor.change(|script| script.leader = Some(successor.port()));
    assert_eq!(append_in_the_end(&client).await, 2);
    assert_eq!(client.server().map(|(host, _)| host.port), Ok(successor.port()));
}

#[tokio::test]
async fn the_deadline_of_the_connection_string_is_kept() {
    let member = Member::start(Script { append: None, ..Script::default() });
    let text = format!("kurrentdb://127.0.0.1:{}?tls=false&defaultDeadline=300", member.port());
    let client = Client::connect(&ConnectionString::parse(&text).unwrap(), timing()).await.unwrap();
    let error = append(&client).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(patience) if patience == Duration::from_millis(300)), "{error}");
}

#[tokio::test]
async fn every_call_carries_the_credentials() {
    let member = Member::start(Script::default());
    let credentials = Credentials { user: "admin".to_owned(), password: "changeit".to_owned() };
    let settings = ConnectionString { credentials: Some(credentials), ..at(member.port()) };
    let client = Client::connect(&settings, timing()).await.unwrap();
    append(&client).await.unwrap();
    assert_eq!(member.authorizations(), ["Basic YWRtaW46Y2hhbmdlaXQ="; 2], "a probe and an append");
}
