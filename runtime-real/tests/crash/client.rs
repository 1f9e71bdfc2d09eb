//! HTTP/1.1 over a plain socket: enough of it to send a request and to know what became of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::whereabouts::Whereabouts;

/// An answer, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nothing was sent.
    NotSent,
    /// The connection ended before the first byte of an answer.
    Closed,
    /// The connection ended in the middle of an answer.
    Torn(String),
}

/// One keep-alive connection.
pub(crate) struct Client {
    whereabouts: Whereabouts,
    deadline: Instant,
    stream: Option<BufReader<TcpStream>>,
}

const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

impl Client {
    pub(crate) fn new(whereabouts: Whereabouts, deadline: Instant) -> Self {
        Self { whereabouts, deadline, stream: None }
    }

    /// Reads a resource of a service that is meant to be up.
    pub(crate) fn get(&mut self, path: &str) -> Result<Reply, Trouble> {
        match self.exchange("GET", path, "", b"") {
            // A keep-alive connection that the service closed in between is not an answer.
            Err(Trouble::Closed | Trouble::NotSent) => self.exchange("GET", path, "", b""),
            other => other,
        }
    }

    /// Writes under a key.
    pub(crate) fn post(&mut self, path: &str, key: &str, correlation: &str, body: &[u8]) -> Result<Reply, Trouble> {
        self.exchange("POST", path, &write_headers(key, correlation), body)
    }

    /// Sends a write, without waiting for the answer.
    pub(crate) fn begin_post(&mut self, path: &str, key: &str, correlation: &str, body: &[u8]) -> Result<(), Trouble> {
        self.send("POST", path, &write_headers(key, correlation), body)
    }

    fn exchange(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Reply, Trouble> {
        self.send(method, path, headers, body)?;
        self.receive()
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(), Trouble> {
        if self.stream.is_none() {
            let address = self.whereabouts.wait(self.deadline);
            let stream = TcpStream::connect(address).map_err(|_| Trouble::NotSent)?;
            stream.set_nodelay(true).map_err(|_| Trouble::NotSent)?;
            stream.set_read_timeout(Some(ANSWER_TIME_MAX)).map_err(|_| Trouble::NotSent)?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().expect("it is open").get_mut();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: wallex\r\n{headers}content-length: {}\r\n\r\n", body.len())
                .into_bytes();
        request.extend_from_slice(body);
        if stream.write_all(&request).is_err() {
            self.stream = None;
            // Some of it may have arrived.
            return Err(Trouble::Closed);
        }
        Ok(())
    }

    /// Waits for the answer to what was sent.
    pub(crate) fn receive(&mut self) -> Result<Reply, Trouble> {
        let Some(mut stream) = self.stream.take() else { return Err(Trouble::Closed) };
        match stream.fill_buf() {
            Ok([]) => return Err(Trouble::Closed),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no answer in {ANSWER_TIME_MAX:?}"),
            Err(_) => return Err(Trouble::Closed),
        }
        let (reply, keep_alive) = read_reply(&mut stream).map_err(|error| Trouble::Torn(error.to_string()))?;
        if keep_alive {
            self.stream = Some(stream);
        }
        Ok(reply)
    }
}

fn write_headers(key: &str, correlation: &str) -> String {
    format!("content-type: application/json\r\nidempotency-key: \"{key}\"\r\nx-correlation-id: {correlation}\r\n")
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| invalid("a header line without end"))
}

fn read_reply(stream: &mut BufReader<TcpStream>) -> io::Result<(Reply, bool)> {
    let status_line = read_line(stream)?;
    let status =
        status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| invalid(&status_line))?;
    let (mut length, mut chunked, mut replayed, mut keep_alive) = (None, false, false, true);
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<usize>().map_err(|_| invalid(&line))?),
            "transfer-encoding" => chunked = value.contains("chunked"),
            "idempotent-replayed" => replayed = value == "true",
            "connection" => keep_alive = value != "close",
            _ => {}
        }
    }
    let body = match (chunked, length) {
        (true, _) => read_chunks(stream)?,
        (false, Some(length)) => {
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            body
        }
        (false, None) => return Err(invalid("an answer without length")),
    };
    Ok((Reply { status, replayed, body }, keep_alive))
}

fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| invalid(&line))?;
        let at = body.len();
        body.resize(at + size, 0);
        stream.read_exact(&mut body[at..])?;
        if !read_line(stream)?.is_empty() {
            return Err(invalid("a chunk without end"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}
