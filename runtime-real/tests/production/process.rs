//! One process of the binary: start, kill, terminate, and the address in its ready line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_wallex");

/// A process that is killed with the value.
pub(crate) struct Process {
    child: Child,
    ready: Receiver<SocketAddr>,
    log: PathBuf,
}

impl Process {
    /// Starts `wallex` with these arguments and settings; its log goes into a file of this name.
    pub(crate) fn start(directory: &Path, name: &str, arguments: &[&str], settings: &[(String, String)]) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new(BINARY);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).current_dir(directory);
        without_settings(&mut command);
        command.envs(settings.iter().cloned());
        let mut child = command.spawn().expect("the process starts");
        let out = child.stdout.take().expect("standard output is a pipe");
        let (told, ready) = channel();
        // Ends when the process does: then the pipe is closed.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    let _nobody_listens = told.send(address);
                }
            }
        });
        Self { child, ready, log }
    }

    /// The address that it listens on, once it takes requests.
    pub(crate) fn wait_until_ready(&mut self, deadline: Instant) -> SocketAddr {
        loop {
            if let Ok(address) = self.ready.recv_timeout(Duration::from_millis(50)) {
                return address;
            }
            if let Some(status) = self.child.try_wait().expect("its state can be asked for") {
                panic!("it ended with {status} before it was ready:\n{}", self.log_tail());
            }
            assert!(Instant::now() < deadline, "it is not ready in time:\n{}", self.log_tail());
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is dead");
    }

    /// SIGTERM; it must end with code 0.
    pub(crate) fn terminate(mut self, deadline: Instant) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.expect("a shell").success(), "SIGTERM is sent");
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its state can be asked for") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end after SIGTERM:\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(0), "after SIGTERM: {status}\n{}", self.log_tail());
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = (self.child.kill(), self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log_tail());
        }
    }
}

/// The surroundings of whoever runs the tests are not those of the service.
pub(crate) fn without_settings(command: &mut Command) {
    for (variable, _) in std::env::vars().filter(|(name, _)| is_setting(name)) {
        command.env_remove(variable);
    }
}

fn is_setting(variable: &str) -> bool {
    variable.starts_with("WALLEX_") || variable == "PROJECTORS_AUTO_START" || variable == "IDEMPOTENCY_TTL_HOURS"
}

/// The first socket address that a line names, with or without a scheme before it.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split(|c: char| c.is_whitespace() || c == ',' || c == '(' || c == ')')
        .map(|word| word.split_once("://").map_or(word, |(_, rest)| rest).trim_end_matches(['/', '.', ';']))
        .find_map(|word| word.parse().ok())
}
