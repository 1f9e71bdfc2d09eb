//! Connections: keep-alive, pipelining, HTTP/2, slow clients, and the drain.

use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::harness::{Service, eventually};

const CREDIT: &str = "POST /wallets/w/credit HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\n";

#[test]
fn a_connection_serves_many_requests_and_survives_problems() {
    let service = Service::start();
    service.create("w", "0");
    let mut connection = service.connect();
    let json = [("Content-Type", "application/json")];
    for (body, status) in [(r#"{"amount":1}"#, 200), ("{", 400), (r#"{"amount":1}"#, 200), (r#"{"amount":0}"#, 400)] {
        connection.send("POST", "/wallets/w/credit", &json, Some(body));
        assert_eq!(connection.receive("POST").status, status);
    }
    connection.send("GET", "/wallets/w/events", &[], None);
    assert_eq!(connection.receive("GET").json()["items"].as_array().unwrap().len(), 3);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let service = Service::start();
    service.create("w", "0");
    let mut connection = service.connect();
    let one = format!("{CREDIT}Content-Length: 12\r\n\r\n{{\"amount\":1}}");
    connection.write(one.repeat(20).as_bytes());
    for version in 2..22 {
        assert_eq!(connection.receive("POST").json()["version"], version);
    }
}

#[test]
fn http_2_is_spoken_without_tls() {
    let service = Service::start();
    service.create("w", "10");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(service.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://wallex/wallets/w?version=1").body(http_body_util::Empty::<Bytes>::new());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
        assert_eq!(response.headers()["etag"], "\"1\"");
    });
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let service = Service::start_with(&[("WALLEX_HTTP_HEADER_TIMEOUT_MS", "100")]);
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET /health/live HT", "GET /health/live HTTP/1.1\r\nHost: w\r\n"] {
        let mut connection = service.connect();
        connection.write(begun.as_bytes());
        assert!(connection.is_closed(), "{begun:?}");
    }
    let mut idle = service.connect();
    idle.send("GET", "/health/live", &[], None);
    assert_eq!(idle.receive("GET").status, 200);
    assert!(idle.is_closed());
}

#[test]
fn connections_above_the_limit_wait_for_one_to_close() {
    let service = Service::start_with(&[("WALLEX_HTTP_CONNECTIONS_MAX", "1")]);
    let mut first = service.connect();
    first.send("GET", "/health/live", &[], None);
    assert_eq!(first.receive("GET").status, 200);
    let mut second = service.connect();
    second.send("GET", "/health/live", &[], None);
    first.send("GET", "/health/live", &[], None);
    assert_eq!(first.receive("GET").status, 200);
    drop(first);
    assert_eq!(second.receive("GET").status, 200);
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let service =
        Service::start_with(&[("WALLEX_HTTP_REQUEST_TIMEOUT_MS", "100"), ("WALLEX_HTTP_MIN_VERSION_WAIT_MS", "50")]);
    let mut connection = service.connect();
    connection.write(format!("{CREDIT}Content-Length: 12\r\n\r\n{{\"amo").as_bytes());
    connection.receive("POST").expect_problem(408, "request-timeout");
}

#[test]
fn a_stop_lets_requests_in_flight_finish_and_nothing_is_lost() {
    let mut service = Service::start();
    service.create("w", "0");
    let mut idle = service.connect();
    idle.send("GET", "/health/live", &[], None);
    assert_eq!(idle.receive("GET").status, 200);
    let mut busy = service.connect();
    // The service answers this one only when it has read the head.
    busy.write(format!("{CREDIT}Content-Length: 12\r\nExpect: 100-continue\r\n\r\n").as_bytes());
    assert_eq!(busy.receive("POST").status, 100);
    service.terminate();
    assert!(idle.is_closed());
    busy.write(b"{\"amount\":1}");
    let answer = busy.receive("POST");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(busy.is_closed());
    assert_eq!(service.exit_code(), Some(0));
}

/// Whoever distributes requests finds out from readiness, and until then what it sends is answered.
#[test]
fn after_sigterm_requests_are_answered_for_a_while_and_readiness_says_no() {
    // Longer than the test takes: the second signal ends it.
    let mut service = Service::start_with(&[("WALLEX_HTTP_DRAIN_DELAY_MS", "600000")]);
    let mut kept = service.connect();
    service.terminate();
    let ready = eventually("readiness says no", || {
        let ready = service.get("/health/ready");
        (ready.status == 503).then_some(ready)
    });
    assert_eq!(ready.json()["status"], "draining");
    service.create("late", "5");
    kept.send("GET", "/wallets/late?version=1", &[], None);
    assert_eq!(kept.receive("GET").status, 200);
    assert_eq!(service.get("/health/live").status, 200);
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));
}
