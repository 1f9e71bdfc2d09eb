//! Servers of a test's own: other ports, other data, killed and restarted without disturbing anybody, and gone with the
//! value, also when the test fails.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

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
        let directory = tempfile::tempdir().unwrap();
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

/// Ports that were free a moment ago, all different.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}
