//! The service as a process: start, kill, terminate, and its address, which changes with every start.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::whereabouts::Whereabouts;

const BINARY: &str = env!("CARGO_BIN_EXE_wallex");

/// The service on a directory of its own, which goes away with it.
pub(crate) struct Service {
    root: TempDir,
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
    whereabouts: Whereabouts,
    starts: u64,
    kills: u64,
    /// Whether it survives the signal that comes with a write beyond the limit on files.
    meets_limits: bool,
}

impl Service {
    /// Starts it and waits until it takes requests.
    pub(crate) fn start(deadline: Instant) -> Self {
        Self::begin(false, deadline)
    }

    /// The same, for [`Service::limit_files`].
    pub(crate) fn start_with_limits(deadline: Instant) -> Self {
        Self::begin(true, deadline)
    }

    fn begin(meets_limits: bool, deadline: Instant) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let whereabouts = Whereabouts::of(1);
        let mut service = Self { root, child: None, reader: None, whereabouts, starts: 0, kills: 0, meets_limits };
        service.spawn();
        service.wait_until_ready(deadline);
        service
    }

    pub(crate) fn whereabouts(&self) -> Whereabouts {
        self.whereabouts.clone()
    }

    /// Journal and database.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn kills(&self) -> u64 {
        self.kills
    }

    /// Starts the process, without waiting for anything.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.starts += 1;
        let log = File::create(self.log()).expect("a log file");
        let mut child = self.command("serve").args(["--listen", "127.0.0.1:0"]).stderr(log).spawn().expect("it starts");
        let out = child.stdout.take().expect("standard output is a pipe");
        let whereabouts = self.whereabouts.clone();
        // Ends when the process does: then the pipe is closed.
        self.reader = Some(std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    whereabouts.set(0, Some(address));
                }
            }
        }));
        self.child = Some(child);
    }

    /// Waits for the line that says that requests are taken.
    pub(crate) fn wait_until_ready(&mut self, deadline: Instant) {
        let ready_by = deadline.min(Instant::now() + Duration::from_secs(30));
        while self.whereabouts.address(0).is_none() {
            let child = self.child.as_mut().expect("it was started");
            if let Some(status) = child.try_wait().expect("its state can be asked for") {
                panic!("start {} ended with {status} before it was ready:\n{}", self.starts, self.log_tail());
            }
            assert!(Instant::now() < ready_by, "start {} is not ready in time:\n{}", self.starts, self.log_tail());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// From now on no write of the process reaches beyond so many bytes of a file; nothing lifts the limit. To the
    /// process that is a disk without space.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let child = self.child.as_ref().expect("it runs");
        let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let (pid, limit) = (child.id().to_string(), format!("--fsize={soft}:"));
        let limited = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(limited.expect("prlimit, of util-linux").success(), "the limit is set");
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        // Forgotten first: somebody else may get the dead one's port.
        self.whereabouts.set(0, None);
        child.kill().expect("it can be killed");
        child.wait().expect("it is dead");
        // A ready line that was under way when it died.
        self.reader.take().expect("its output is read").join().expect("its output is read to the end");
        self.whereabouts.set(0, None);
        self.kills += 1;
    }

    /// SIGTERM; it must end with code 0.
    pub(crate) fn terminate(&mut self, deadline: Instant) {
        let mut child = self.child.take().expect("it runs");
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
        assert!(sent.expect("a shell").success(), "SIGTERM is sent");
        let status = loop {
            if let Some(status) = child.try_wait().expect("its state can be asked for") {
                break status;
            }
            if Instant::now() >= deadline {
                child.kill().expect("it can be killed");
                panic!("it does not end after SIGTERM:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.reader.take().expect("its output is read").join().expect("its output is read to the end");
        self.whereabouts.set(0, None);
        assert_eq!(status.code(), Some(0), "after SIGTERM: {status}\n{}", self.log_tail());
    }

    /// Starts another service on the same directory; its exit code and what it says.
    pub(crate) fn start_second(&self, deadline: Instant) -> (Option<i32>, String) {
        let mut second =
            self.command("serve").args(["--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().expect("it starts");
        while second.try_wait().expect("its state can be asked for").is_none() {
            if Instant::now() >= deadline {
                second.kill().expect("it can be killed");
                panic!("the second service keeps running");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = second.wait_with_output().expect("its output");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// `wallex verify` on the stopped directory must find nothing.
    pub(crate) fn verify(&self) {
        let output = self.command("verify").stderr(Stdio::piped()).output().expect("verify runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.code(), Some(0), "verify:\n{}{}", text(&output.stdout), text(&output.stderr));
        println!("{}", text(&output.stdout));
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(BINARY);
        if self.meets_limits {
            command = Command::new("sh");
            command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BINARY]);
        }
        command.arg(verb).arg("--data-dir").arg(self.data_dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).current_dir(self.root.path());
        // The surroundings of whoever runs the tests are not those of the service.
        for (name, _) in std::env::vars().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.root.path().join(format!("service-{}.log", self.starts))
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of start {}:\n{}", self.starts, self.log_tail());
        }
    }
}

fn is_setting(variable: &str) -> bool {
    variable.starts_with("WALLEX_") || variable == "PROJECTORS_AUTO_START" || variable == "IDEMPOTENCY_TTL_HOURS"
}

/// The socket address that a line names, with or without a scheme before it.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split(|c: char| c.is_whitespace() || c == ',' || c == '"' || c == '=')
        .map(|word| word.trim_start_matches("http://").trim_end_matches(['/', '.', ';', ')']))
        .find_map(|word| word.parse().ok())
}
