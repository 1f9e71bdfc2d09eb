//! What is no HTTP request is still answered, without a body: nothing in it can be relied on to make one.

use crate::harness::Service;

#[test]
fn what_is_no_request_has_an_answer_before_the_end() {
    let service = Service::start();
    let long = format!("GET /{} HTTP/1.1\r\nHost: w\r\n\r\n", "x".repeat(70_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: w\r\n{}\r\n", "X-Padding: x\r\n".repeat(500));
    for (request, status) in [
        ("GARBAGE\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost w\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: w\r\nContent-Length: x\r\n\r\n", 400),
        (wide.as_str(), 431),
        (long.as_str(), 414),
    ] {
        let mut connection = service.connect();
        connection.write(request.as_bytes());
        let answer = connection.receive("GET");
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{}", &request[..request.len().min(60)]);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.is_closed());
    }
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_request_behind_it() {
    let service = Service::start();
    let mut connection = service.connect();
    connection.write(b"GET /health/live HTTP/1.1\r\nHost: w\r\n\r\nGET /health/live HTTP/1.1\r\nHo");
    assert_eq!(connection.receive("GET").status, 200);
    connection.write(b"st: w\r\n\r\n");
    assert_eq!(connection.receive("GET").status, 200);
}
