//! A service as a process on a directory of its own, and enough HTTP to talk to it over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_wallex");
/// Below the service's own directory.
const RECORDINGS: &str = "flight";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running service; it ends with this value.
pub(crate) struct Service {
    child: Child,
    address: SocketAddr,
    root: TempDir,
    arguments: &'static [&'static str],
}

impl Service {
    /// Starts one with the default configuration.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one that records what it is fed.
    pub(crate) fn start_recorded() -> Self {
        Self::start_as(&["--flight-recorder", RECORDINGS], &[])
    }

    /// Starts one with settings from the environment, such as `("WALLEX_HTTP_THREADS", "2")`.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_as(&[], settings)
    }

    fn start_as(arguments: &'static [&'static str], settings: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (child, address) = spawn(root.path(), arguments, settings);
        Self { child, address, root, arguments }
    }

    /// Stops it with SIGTERM, expects exit code 0, and starts it again on the same directory.
    pub(crate) fn restart(&mut self) {
        self.terminate();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        (self.child, self.address) = spawn(self.root.path(), self.arguments, &[]);
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Where its data is.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Where it records what it is fed, when it does.
    pub(crate) fn recordings(&self) -> PathBuf {
        self.root.path().join(RECORDINGS)
    }

    /// The exit code, once it has ended.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    /// One request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut connection = self.connect();
        connection.send(method, path, headers, body);
        connection.receive(method)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], None)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, &[], body)
    }

    /// A JSON request with more headers.
    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        self.request("POST", path, &all, Some(body))
    }

    /// Creates a wallet in US dollars.
    pub(crate) fn create(&self, id: &str, balance: &str) {
        let body = format!(r#"{{"walletId":"{id}","ownerId":"owner-of-{id}","initialBalance":"{balance}"}}"#);
        assert_eq!(self.post("/wallets", &body).status, 201);
    }

    /// The balance of a wallet at exactly this version, as its digits stand in the answer.
    pub(crate) fn balance_at(&self, id: &str, version: u64) -> String {
        let answer = self.get(&format!("/wallets/{id}?version={version}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        text.split("\"balance\":").nth(1).unwrap().split(',').next().unwrap().to_owned()
    }

    /// How many events a wallet has.
    pub(crate) fn versions(&self, id: &str) -> usize {
        self.get(&format!("/wallets/{id}/events?limit=500")).json()["items"].as_array().unwrap().len()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(root: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> (Child, SocketAddr) {
    let mut command = Command::new(BINARY);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(root.join("data")).args(arguments);
    command.current_dir(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // The surroundings of whoever runs the tests are not those of the service.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WALLEX_")) {
        command.env_remove(name);
    }
    command.env_remove("PROJECTORS_AUTO_START").env_remove("IDEMPOTENCY_TTL_HOURS");
    command.env("WALLEX_JOURNAL_SEGMENT_BYTES", "1048576").envs(settings.iter().copied());
    let mut child = command.spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let (found, address) = mpsc::channel();
    // Ends with the process, which closes the pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let words = line.split(|c: char| c.is_whitespace() || matches!(c, ',' | '"' | '='));
            let bare = words.map(|word| word.trim_start_matches("http://").trim_end_matches(['/', '.', ';', ')']));
            for address in bare.filter_map(|word| word.parse::<SocketAddr>().ok()) {
                let _ = found.send(address);
            }
        }
    });
    match address.recv_timeout(PATIENCE) {
        Ok(address) => (child, address),
        Err(_) => {
            let _ = child.kill();
            panic!("the service does not become ready: {:?}", child.wait());
        }
    }
}

/// One keep-alive connection.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: wallex\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        self.write(request.as_bytes());
    }

    /// The answer to a request with this method.
    pub(crate) fn receive(&mut self, method: &str) -> Answer {
        let head = self.line();
        let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {head:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method == "HEAD" || status == 304 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                answer.body.extend(self.exactly(size));
                assert_eq!(self.line(), "");
                if size == 0 {
                    return answer;
                }
            }
        }
        let length = answer.header("content-length").unwrap_or("0").parse().unwrap();
        answer.body = self.exactly(length);
        answer
    }

    /// Whether the service has closed it.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// An answer, as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// Checks that this is a problem of this kind, with everything that problems have.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        for member in ["title", "detail", "correlationId"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
        }
        if !self.replayed() {
            assert_eq!(self.header("x-correlation-id"), problem["correlationId"].as_str());
        }
        problem
    }
}

/// Asks again until there is an answer: for what the service does after it has answered.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} does not come");
    }
}

/// The mistakes of a problem, as `field code`.
pub(crate) fn mistakes(problem: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| format!("{} {}", text(&error["field"]), text(&error["code"]))).collect()
}
