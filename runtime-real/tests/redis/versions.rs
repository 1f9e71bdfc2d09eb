//! A Redis that was away at the start is asked for its version when it is there: one that is too old is not used.
//!
//! No old Redis can be had here, so a few answers in its protocol stand for one.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use wallex::leases::redis::RedisLeases;
use wallex_core::effect::{Completion, FailureKind};

use crate::outages::{granted_again, lease};
use crate::own::free_ports;

/// Answers every command on this listener as a Redis of the version would.
async fn serve(listener: TcpListener, version: Arc<Mutex<&'static str>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&version)));
    }
}

async fn answer(stream: TcpStream, version: Arc<Mutex<&'static str>>) {
    let mut stream = BufReader::new(stream);
    while let Some(command) = command(&mut stream).await {
        let version = *version.lock().unwrap();
        let said = match command[0].to_ascii_uppercase().as_str() {
            "INFO" => {
                let info = format!("# Server\r\nredis_version:{version}\r\n");
                format!("${}\r\n{info}\r\n", info.len())
            }
            "PING" => "+PONG\r\n".to_owned(),
            "EVALSHA" => "*1\r\n:1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        };
        if stream.get_mut().write_all(said.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The words of the next command; nothing when the client is gone.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(stream, '*').await? {
        let mut word = vec![0; number(stream, '$').await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>, sign: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(sign)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_too_old_and_was_away_at_the_start_is_not_used_until_it_is_newer() {
    let address = format!("127.0.0.1:{}", free_ports()[0]);
    let leases = RedisLeases::new(&format!("redis://{address}"), "old").unwrap();
    assert_eq!(leases.check_version().await, Ok(()), "it may be away when the service starts");
    assert!(matches!(lease(&leases).await, Completion::Failed(_)));

    let version = Arc::new(Mutex::new("5.0.14"));
    let listener = TcpListener::bind(&address).await.unwrap();
    let serving = tokio::spawn(serve(listener, Arc::clone(&version)));
    let health = leases.health().await;
    let too_old = "the lease server is Redis 5.0.14; 6 or newer is needed";
    assert_eq!(health.reason.as_deref(), Some(too_old));
    for _ in 0..3 {
        let Completion::Failed(failure) = lease(&leases).await else { panic!("it is asked for a lease") };
        assert_eq!((failure.kind, failure.reason.as_str()), (FailureKind::Unavailable, too_old));
    }
    assert_eq!(leases.check_version().await.unwrap_err().to_string(), too_old);

    *version.lock().unwrap() = "7.4.0";
    granted_again(&leases).await;
    assert_eq!(leases.health().await.reason, None);
    serving.abort();
}
