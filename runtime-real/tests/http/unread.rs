//! Answers to requests whose body the service has no use for reach clients that send all of it before they read.

use hyper::body::Bytes;

use crate::harness::{Answer, Service};

/// More than the buffers of a connection hold, so that whoever does not read it blocks the client.
const LARGE: usize = 5 << 20;

/// `(method, path, media type, bytes, status, code)`
const REFUSED: &[(&str, &str, &str, usize, u16, &str)] = &[
    ("POST", "/nowhere", "application/json", LARGE, 404, "not-found"),
    ("POST", "/health", "application/json", LARGE, 405, "method-not-allowed"),
    ("POST", "/wallets/a%20b/credit", "application/json", LARGE, 400, "validation-failed"),
    ("POST", "/wallets", "application/json", LARGE, 413, "body-too-large"),
    ("POST", "/batch", "text/plain", LARGE, 413, "body-too-large"),
    ("POST", "/wallets", "text/plain", 2 << 20, 415, "unsupported-media-type"),
];

fn head(method: &str, path: &str, media_type: &str, framing: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: w\r\nContent-Type: {media_type}\r\n{framing}\r\n\r\n")
}

/// Sends everything, and only then looks for the answer; the connection serves another request afterwards.
fn answered(service: &Service, head: &str, body: &[u8]) -> Answer {
    let mut connection = service.connect();
    connection.write(head.as_bytes());
    connection.write(body);
    let answer = connection.receive("POST");
    connection.send("GET", "/health/live", &[], None);
    assert_eq!(connection.receive("GET").status, 200);
    answer
}

#[test]
fn a_refusal_reaches_who_sends_a_body_with_its_length() {
    let service = Service::start();
    for (method, path, media_type, bytes, status, code) in REFUSED {
        let head = head(method, path, media_type, &format!("Content-Length: {bytes}"));
        answered(&service, &head, &vec![b' '; *bytes]).expect_problem(*status, code);
    }
}

#[test]
fn a_refusal_reaches_who_sends_a_body_in_chunks() {
    let service = Service::start();
    for (method, path, media_type, bytes, status, code) in REFUSED {
        let mut body = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000)).repeat(bytes / 0x1_0000);
        body.push_str("0\r\n\r\n");
        let head = head(method, path, media_type, "Transfer-Encoding: chunked");
        answered(&service, &head, body.as_bytes()).expect_problem(*status, code);
    }
}

#[test]
fn a_refusal_over_http_2_lets_the_body_come_to_its_end() {
    let service = Service::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (method, path, media_type, bytes, status, code) in REFUSED {
        let request = hyper::Request::builder().method(*method).uri(format!("http://wallex{path}"));
        let request = request.header("content-type", *media_type).body(()).unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(service.address()).await.unwrap();
            let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let (response, mut body) = sender.send_request(request, false).unwrap();
            let mut left = *bytes;
            body.reserve_capacity(left);
            // A stream that the service resets gives no more room.
            while left > 0 {
                let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
                let room = room.expect("the stream is reset").unwrap_or_else(|error| panic!("{path}: {error}"));
                left -= room;
                body.send_data(Bytes::from(vec![b' '; room]), left == 0).unwrap();
            }
            let (head, mut answer) = response.await.unwrap().into_parts();
            assert_eq!(head.status.as_u16(), *status, "{path}");
            let problem = answer.data().await.unwrap().unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
            assert_eq!(problem["code"], *code);
        });
    }
}

#[test]
fn who_waits_for_leave_to_send_is_refused_without_it() {
    let service = Service::start();
    let mut connection = service.connect();
    let framing = format!("Content-Length: {LARGE}\r\nExpect: 100-continue");
    connection.write(head("POST", "/wallets", "application/json", &framing).as_bytes());
    connection.receive("POST").expect_problem(413, "body-too-large");
    // Whether the body still comes is not known, so no other request can be told from it.
    assert!(connection.is_closed());
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let service = Service::start();
    let mut connection = service.connect();
    connection.write(head("POST", "/nowhere", "application/json", "Content-Length: 10").as_bytes());
    connection.receive("POST").expect_problem(404, "not-found");
    connection.write(b"0123456789");
    connection.send("GET", "/health/live", &[], None);
    assert_eq!(connection.receive("GET").status, 200);
}
