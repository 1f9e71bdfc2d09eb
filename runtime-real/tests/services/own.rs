//! Servers of a test's own: other ports, other data, killed and restarted without disturbing anybody, and gone with the
//! value, also when the test fails.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// One server of `scripts/services.sh`, started for this test alone.
pub(crate) struct OwnServer {
    name: &'static str,
    directory: TempDir,
    ports: Ports,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Its port.
    pub(crate) port: u16,
    controller: u16,
    /// Kafka's listener for clients behind a proxy.
    pub(crate) proxied: u16,
    /// What that listener advertises: the proxy has to listen here.
    pub(crate) proxy: u16,
}

impl OwnServer {
    /// Installs, starts, and waits until it answers.
    pub(crate) fn start(name: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [port, controller, proxied, proxy] = free_ports();
        let server = Self { name, directory, ports: Ports { port, controller, proxied, proxy } };
        server.run(&["up", name]);
        server
    }

    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.run(&["kill", self.name]);
    }

    /// Starts it again over the same data, and waits until it answers.
    pub(crate) fn restart(&self) {
        self.run(&["restart", self.name]);
    }

    fn run(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().expect("scripts/services.sh runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "services.sh {arguments:?} failed:\n{text}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut command = Command::new(root.join("scripts/services.sh"));
        command.args(arguments).stdin(Stdio::null()).env("SERVICES_DIR", self.directory.path());
        let Ports { port, controller, proxied, proxy } = self.ports;
        command.env(format!("SERVICES_{}_PORT", self.name.to_uppercase()), port.to_string());
        command.env("SERVICES_KAFKA_CONTROLLER_PORT", controller.to_string());
        command.env("SERVICES_KAFKA_PROXIED_PORT", proxied.to_string());
        command.env("SERVICES_KAFKA_PROXY_PORT", proxy.to_string());
        command
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // No assertion: the test may be failing already.
        let _output = self.command(&["down", self.name]).output();
    }
}

/// Ports that nobody has, all different, for servers that are killed and started again: none of those that the system
/// gives to outgoing connections, or one of these could sit on the port while its server is down.
pub(crate) fn free_ports() -> [u16; 4] {
    let mut held: Vec<TcpListener> = Vec::new();
    let lowest_given_away = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next().and_then(|low| low.parse::<u32>().ok()))
        .unwrap_or(32_768);
    let span = lowest_given_away.clamp(12_000, 60_000) - 10_000;
    // Tests run at once, in several processes: each begins elsewhere.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let begin = (nanos / 1_000).wrapping_add(std::process::id().wrapping_mul(7_919));
    for step in 0..span {
        let port = 10_000 + begin.wrapping_add(step) % span;
        if let Ok(port) = u16::try_from(port)
            && let Ok(listener) = TcpListener::bind(("127.0.0.1", port))
        {
            held.push(listener);
        }
        if held.len() == 4 {
            break;
        }
    }
    let ports: Vec<u16> = held.iter().map(|one| one.local_addr().expect("its address").port()).collect();
    ports.try_into().expect("four free ports")
}
