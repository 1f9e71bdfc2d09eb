//! Start, end, and what the server says about itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use wallex_kurrentdb::protocol::append::Expected;
use wallex_kurrentdb::protocol::cluster::MemberState;
use wallex_kurrentdb::protocol::{GOSSIP, SUPPORTED_METHODS};
use wallex_kurrentdb::server::{Options, SERVER_VERSION, Server, ServerError};

use crate::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_can_do_and_that_it_leads() {
    let world = World::start().await;
    let features = world.unary(&SUPPORTED_METHODS, ()).await.unwrap();
    assert_eq!(features.server_version, SERVER_VERSION);
    let has = |service: &str, method: &str| {
        features.methods.iter().any(|one| one.service_name == service && one.method_name == method)
    };
    assert!(has("event_store.client.streams.streams", "batchappend"));
    assert!(has("kurrentdb.protocol.v2.streams.streamsservice", "appendsession"));
    let cluster = world.unary(&GOSSIP, ()).await.unwrap();
    let [member] = cluster.members.as_slice() else { panic!("{cluster:?}") };
    assert_eq!((member.state, member.is_alive), (MemberState::Leader as i32, true));
    assert_eq!(member.http_end_point.as_ref().unwrap().port, u32::from(world.server.address().port()));
    assert_eq!(world.unary(&GOSSIP, ()).await.unwrap().members[0].instance_id, member.instance_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_unimplemented_and_health_is_plain_http() {
    let world = World::start().await;
    let mut grpc = tonic::client::Grpc::new(world.channel.clone());
    grpc.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/event_store.client.users.Users/Create");
    let call = grpc.unary(tonic::Request::new(()), path, SUPPORTED_METHODS.client_codec());
    assert_eq!(call.await.unwrap_err().code(), Code::Unimplemented);
    for (path, expected) in [("/health/live", "HTTP/1.1 204"), ("/elsewhere", "HTTP/1.1 404")] {
        let mut plain = TcpStream::connect(world.server.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        plain.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, plain.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(expected), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused_with_the_name_of_its_user() {
    let world = World::start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let error = Server::start(listener, world.directory.path(), Options::default()).await.unwrap_err();
    assert!(matches!(error, ServerError::Log { .. }));
    let text = error.to_string();
    assert!(text.contains("in use by") && text.contains(&world.server.address().to_string()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_waits_for_clients_no_longer_than_it_is_told_and_loses_nothing() {
    let world = World::with(Options { drain_timeout: Duration::from_millis(200), ..Options::default() }).await;
    world.done("s", Expected::Any(()), &[1]).await;
    // A connection that is open and silent holds nothing up.
    let _silent = TcpStream::connect(world.server.address()).await.unwrap();
    let world = world.restarted().await;
    assert_eq!(world.server.recovered().position, 1);
    assert_eq!(world.server.recovered().torn, None);
    assert_eq!(world.done("s", Expected::Revision(0), &[2]).await, (1, 2));
}
