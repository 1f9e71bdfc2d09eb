//! The retry rule against a peer that answers from a script.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What the peer does with one request.
#[derive(Clone, Copy)]
enum Does {
    /// Answers with a status and a body.
    Answer(u16, &'static str),
    /// Closes the connection without an answer.
    HangUp,
}

/// Serves the script and gives back the requests as text.
async fn peer(listener: TcpListener, script: Vec<Does>) -> Vec<String> {
    let mut requests = Vec::new();
    let mut stream = None;
    for does in script {
        let mut open = match stream.take() {
            Some(open) => open,
            None => listener.accept().await.unwrap().0,
        };
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut part = [0; 1024];
            let length = open.read(&mut part).await.unwrap();
            request.extend_from_slice(&part[..length]);
        }
        requests.push(String::from_utf8(request).unwrap());
        if let Does::Answer(status, body) = does {
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            open.write_all(answer.as_bytes()).await.unwrap();
            stream = Some(open);
        }
    }
    requests
}

async fn deliver(script: &[Does]) -> (Delivery, u64, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let peer = tokio::spawn(peer(listener, script.to_vec()));
    let mut retries = 0;
    let mut connection = Connection::new(target);
    connection.backoff = Backoff { min_ms: 1, max_ms: 2 };
    let delivery = connection.deliver("/p", "the-key", Bytes::from_static(b"{}"), &mut retries, |_| 0).await;
    (delivery, retries, peer.await.unwrap())
}

#[tokio::test]
async fn a_write_without_outcome_is_repeated_under_its_key_until_there_is_one() {
    let in_flight = Does::Answer(409, r#"{"code":"idempotency-key-in-flight"}"#);
    let script = [Does::Answer(503, "{}"), Does::HangUp, Does::Answer(504, "{}"), in_flight, Does::Answer(200, "{}")];
    let (delivery, retries, requests) = deliver(&script).await;
    assert!(matches!(delivery, Delivery::Accepted(_)), "{delivery:?}");
    assert_eq!(retries, 4);
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request.contains("idempotency-key: the-key")), "{requests:?}");
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_names_its_code() {
    let (delivery, retries, _) = deliver(&[Does::Answer(422, r#"{"code":"insufficient-funds"}"#)]).await;
    assert!(matches!(&delivery, Delivery::Refused { reason } if reason == "422 insufficient-funds"), "{delivery:?}");
    assert_eq!(retries, 0);
}

#[tokio::test]
async fn giving_up_says_whether_the_write_may_have_happened() {
    let not_done = vec![Does::Answer(503, "{}"); ATTEMPTS_MAX as usize];
    let (delivery, _, _) = deliver(&not_done).await;
    assert!(matches!(delivery, Delivery::GaveUp { maybe_done: false, .. }), "{delivery:?}");
    let mut unknown = not_done;
    unknown[3] = Does::HangUp;
    let (delivery, _, _) = deliver(&unknown).await;
    assert!(matches!(delivery, Delivery::GaveUp { maybe_done: true, .. }), "{delivery:?}");
}

#[test]
fn a_url_names_a_host_and_nothing_else() {
    for (url, authority) in
        [("http://127.0.0.1:3000", "127.0.0.1:3000"), ("http://wallets/", "wallets:80"), ("http://[::1]:1", "[::1]:1")]
    {
        assert_eq!(Target::parse(url).unwrap().authority(), authority);
    }
    for url in ["", "127.0.0.1:3000", "https://a", "http://", "http://a/path", "http://user@a"] {
        assert!(Target::parse(url).is_err(), "{url}");
    }
}
