//! The whole of it: Postgres, Redis and Kafka of this test's own, an event store, and instances of the service, each
//! server behind a proxy that can cut and swallow.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::own::{OwnServer, free_ports};
use crate::process::{Process, without_settings};
use crate::proxy::{Fault, Proxy};
use crate::whereabouts::Whereabouts;

/// How long a server or an instance may take to be there.
const READY_TIME_MAX: Duration = Duration::from_secs(120);

/// The servers that the instances stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    EventStore,
    Postgres,
    Kafka,
    Redis,
}

/// Everything, running; it ends with the value.
pub(crate) struct System {
    instances: Vec<Option<Process>>,
    store: Option<Process>,
    store_address: SocketAddr,
    proxies: [(Server, Proxy); 4],
    postgres: OwnServer,
    kafka: OwnServer,
    redis: OwnServer,
    whereabouts: Whereabouts,
    /// Where instances send their traces, all of them.
    collector: Option<SocketAddr>,
    directory: TempDir,
    // The proxies run on it, so it goes last.
    runtime: Runtime,
}

impl System {
    /// Starts the servers and so many instances.
    pub(crate) fn start(instances: usize) -> Self {
        Self::begin(instances, None)
    }

    /// The same, with every request traced.
    pub(crate) fn traced(instances: usize, collector: SocketAddr) -> Self {
        Self::begin(instances, Some(collector))
    }

    fn begin(instances: usize, collector: Option<SocketAddr>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let runtime = Runtime::new().expect("a runtime");
        let (postgres, kafka, redis) = std::thread::scope(|scope| {
            let postgres = scope.spawn(|| OwnServer::start("postgres"));
            let kafka = scope.spawn(|| OwnServer::start("kafka"));
            let redis = scope.spawn(|| OwnServer::start("redis"));
            let joined = (postgres.join(), kafka.join(), redis.join());
            (joined.0.expect("Postgres"), joined.1.expect("Kafka"), joined.2.expect("Redis"))
        });
        let mut store = event_store(&directory, &format!("127.0.0.1:{}", free_ports()[0]));
        let store_address = store.wait_until_ready(Instant::now() + READY_TIME_MAX);
        let (kafka_ports, local) = (kafka.ports(), |port: u16| format!("127.0.0.1:{port}"));
        let proxy = |listen: String, target: String| runtime.block_on(Proxy::start(&listen, target));
        let proxies = [
            (Server::EventStore, proxy(local(0), store_address.to_string())),
            (Server::Postgres, proxy(local(0), local(postgres.ports().port))),
            (Server::Kafka, proxy(local(kafka_ports.proxy), local(kafka_ports.proxied))),
            (Server::Redis, proxy(local(0), local(redis.ports().port))),
        ];
        let mut system = Self {
            instances: (0..instances).map(|_| None).collect(),
            store: Some(store),
            store_address,
            proxies,
            postgres,
            kafka,
            redis,
            whereabouts: Whereabouts::of(instances),
            collector,
            directory,
            runtime,
        };
        for instance in 0..instances {
            system.start_instance(instance);
        }
        system
    }

    pub(crate) fn whereabouts(&self) -> Whereabouts {
        self.whereabouts.clone()
    }

    /// The brokers, without the proxy.
    pub(crate) fn kafka(&self) -> String {
        format!("127.0.0.1:{}", self.kafka.ports().port)
    }

    /// Starts an instance and waits until it takes requests.
    pub(crate) fn start_instance(&mut self, instance: usize) {
        let name = format!("instance-{instance}");
        let arguments = ["serve", "--profile", "production", "--listen", "127.0.0.1:0"];
        let mut process = Process::start(self.directory.path(), &name, &arguments, &self.settings());
        let address = process.wait_until_ready(Instant::now() + READY_TIME_MAX);
        self.instances[instance] = Some(process);
        self.whereabouts.set(instance, Some(address));
    }

    /// `kill -9` of an instance.
    pub(crate) fn kill_instance(&mut self, instance: usize) {
        self.whereabouts.set(instance, None);
        self.instances[instance].take().expect("it runs").kill();
    }

    /// SIGTERM to an instance, which must end well.
    pub(crate) fn terminate_instance(&mut self, instance: usize) {
        let process = self.instances[instance].take().expect("it runs");
        process.terminate(Instant::now() + READY_TIME_MAX);
        self.whereabouts.set(instance, None);
    }

    /// `kill -9` of a server.
    pub(crate) fn kill(&mut self, server: Server) {
        match server {
            Server::EventStore => self.store.take().expect("it runs").kill(),
            Server::Postgres => self.postgres.kill(),
            Server::Kafka => self.kafka.kill(),
            Server::Redis => self.redis.kill(),
        }
    }

    /// Starts it again over what it has on its disk.
    pub(crate) fn restart(&mut self, server: Server) {
        match server {
            Server::EventStore => {
                let mut store = event_store(&self.directory, &self.store_address.to_string());
                store.wait_until_ready(Instant::now() + READY_TIME_MAX);
                self.store = Some(store);
            }
            Server::Postgres => self.postgres.restart(),
            Server::Kafka => self.kafka.restart(),
            Server::Redis => self.redis.restart(),
        }
    }

    /// Spoils the way to a server for a while, and mends it.
    pub(crate) fn spoil(&self, server: Server, fault: Fault, how_long: Duration) {
        let (_, proxy) = self.proxies.iter().find(|(one, _)| *one == server).expect("each server has a proxy");
        proxy.set(fault);
        std::thread::sleep(how_long);
        // What hangs in the way now is not coming back.
        proxy.set(Fault::Cut);
        std::thread::sleep(Duration::from_millis(100));
        proxy.set(Fault::None);
    }

    /// The proof of the invariants over the event store and Postgres, which must hold.
    pub(crate) fn verify(&self) {
        let (code, said) = self.verify_said();
        assert_eq!(code, Some(0), "{said}");
    }

    /// How `wallex verify` ends, and what it says.
    pub(crate) fn verify_said(&self) -> (Option<i32>, String) {
        let output = self.tool(&["verify", "--json"]);
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), text)
    }

    /// The events of a wallet, as `wallex events` lists them.
    pub(crate) fn events(&self, wallet: &str) -> Vec<Value> {
        let output = self.tool(&["events", "--json", "--wallet", wallet]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Changes tables behind the back of everybody.
    pub(crate) fn tamper(&self, sql: &str) {
        let server = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.postgres.ports().port);
        self.runtime.block_on(async {
            let mut connection =
                server.username("postgres").database("postgres").connect().await.expect("a connection");
            let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        });
    }

    /// A verb of the command line with the settings of the instances.
    fn tool(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wallex"));
        without_settings(&mut command);
        command.args(arguments).current_dir(self.directory.path()).envs(self.settings());
        command.env("WALLEX_PROFILE", "production").output().expect("the binary runs")
    }

    fn settings(&self) -> Vec<(String, String)> {
        let address = |server: Server| {
            let (_, proxy) = self.proxies.iter().find(|(one, _)| *one == server).expect("each server has a proxy");
            proxy.address()
        };
        let setting = |name: &str, value: String| (format!("WALLEX_{name}"), value);
        let mut settings = vec![
            setting("KURRENTDB_URL", format!("kurrentdb://{}?tls=false", address(Server::EventStore))),
            setting("POSTGRES_URL", format!("postgres://postgres@{}/postgres", address(Server::Postgres))),
            // Kafka tells its clients to come through the proxy.
            setting("KAFKA_BROKERS", address(Server::Kafka).to_string()),
            setting("REDIS_URL", format!("redis://{}", address(Server::Redis))),
            setting("LOG_FORMAT", "text".to_owned()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ];
        if let Some(collector) = self.collector {
            settings.push(setting("OTLP_ENDPOINT", format!("http://{collector}")));
            settings.push(setting("OTLP_SAMPLE_RATIO", "1".to_owned()));
        }
        settings
    }
}

fn event_store(directory: &TempDir, listen: &str) -> Process {
    Process::start(directory.path(), "eventstore", &["eventstore", "--listen", listen, "--data-dir", "events"], &[])
}
