//! A database of a test's own on the server, dropped with the test, and connections to it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use wallex::database::{PostgresDatabase, PostgresOptions};

const DEFAULT: &str = "postgres://postgres@127.0.0.1:25434/postgres";
/// Anything on a busy machine is done before.
pub(crate) const LONG: Duration = Duration::from_secs(120);

static NUMBER: AtomicU32 = AtomicU32::new(0);

fn admin() -> PgConnectOptions {
    let url = std::env::var("WALLEX_TEST_POSTGRES").unwrap_or_else(|_| DEFAULT.to_owned());
    url.parse().expect("WALLEX_TEST_POSTGRES is a URL of Postgres")
}

/// An empty database.
pub(crate) struct TestDatabase {
    name: String,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let name = format!("wallex_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut connection = admin().connect().await.expect(
            "Postgres answers (./scripts/services.sh up postgres starts one, WALLEX_TEST_POSTGRES names another)",
        );
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.expect("a new database");
        Self { name }
    }

    /// The address of the server.
    pub(crate) fn address(&self) -> (String, u16) {
        (admin().get_host().to_owned(), admin().get_port())
    }

    fn url(&self, host: &str, port: u16) -> String {
        format!("postgres://{}@{host}:{port}/{}", admin().get_username(), self.name)
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        let (host, port) = self.address();
        PostgresOptions::parse(&self.url(&host, port)).expect("a URL")
    }

    /// The same database through a port of this machine.
    pub(crate) fn options_through(&self, port: u16) -> PostgresOptions {
        PostgresOptions::parse(&self.url("127.0.0.1", port)).expect("a URL")
    }

    /// An instance of the service's database.
    pub(crate) async fn instance(&self) -> PostgresDatabase {
        PostgresDatabase::connect(&self.options().startup_wait(LONG)).await.expect("a migrated database")
    }

    /// A connection for looking at tables.
    pub(crate) async fn sql(&self) -> PgConnection {
        admin().database(&self.name).connect().await.expect("a connection")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // Beside the test's runtime, which may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let mut connection = admin().connect().await?;
                sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await.map(|_| ())
            })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} of a test is left behind", self.name);
        }
    }
}
