//! How to reach the server, and the bounds of doing so.
//!
//! The timeouts stand together because they have to fit each other: the server ends a statement before the transaction
//! is given up here, and that comes before the core takes the effect for lost. Neither errors nor `Debug` show the
//! password.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use super::error::DatabaseError;

/// Connections of one instance, unless it is told otherwise. The pipeline uses four at most, the rest is for keys and
/// readers.
const CONNECTIONS: u32 = 16;
/// How long the start waits for a server that is away.
const STARTUP_WAIT: Duration = Duration::from_secs(10);
/// How long an effect waits for a connection of the pool.
const ACQUIRE_WAIT: Duration = Duration::from_secs(2);
/// How long one statement may take, on the server.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(3_500);
/// How long a statement waits for another transaction's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// After this silence inside a transaction the server takes its locks back.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole transaction may take as seen from here, before its connection is given up. Below the time after
/// which the core takes an effect for lost ([`wallex_core::limits::EFFECT_TIMEOUT`]).
const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(4_500);

/// How to reach the server.
#[derive(Clone)]
pub struct PostgresOptions {
    connect: PgConnectOptions,
    pub(super) connections_max: u32,
    pub(super) startup_wait: Duration,
    pub(super) acquire_wait: Duration,
}

impl PostgresOptions {
    /// Reads `postgres://user:password@host:port/database?sslmode=…`.
    ///
    /// # Errors
    /// [`DatabaseError::Url`], which does not repeat the URL.
    pub fn parse(url: &str) -> Result<Self, DatabaseError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(DatabaseError::Url("it must begin with postgres://".to_owned()));
        }
        let connect = PgConnectOptions::from_str(url).map_err(|error| DatabaseError::Url(error.to_string()))?;
        Ok(Self { connect, connections_max: CONNECTIONS, startup_wait: STARTUP_WAIT, acquire_wait: ACQUIRE_WAIT })
    }

    /// Most connections at once.
    #[must_use]
    pub fn connections_max(self, connections_max: u32) -> Self {
        Self { connections_max: connections_max.max(1), ..self }
    }

    /// How long [`super::PostgresDatabase::connect`] waits for a server that is away.
    #[must_use]
    pub fn startup_wait(self, startup_wait: Duration) -> Self {
        Self { startup_wait, ..self }
    }

    /// The name that the server shows for this instance's connections.
    #[must_use]
    pub fn application_name(self, name: &str) -> Self {
        Self { connect: self.connect.application_name(name), ..self }
    }

    /// Host, port and database, for messages.
    pub(super) fn server(&self) -> String {
        let database = self.connect.get_database().unwrap_or_else(|| self.connect.get_username());
        format!("{}:{}/{database}", self.connect.get_host(), self.connect.get_port())
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        let named = match self.connect.get_application_name() {
            Some(_) => self.connect.clone(),
            None => self.connect.clone().application_name("wallex"),
        };
        let millis = |timeout: Duration| timeout.as_millis().to_string();
        named
            .options([
                ("statement_timeout", millis(STATEMENT_TIMEOUT)),
                ("lock_timeout", millis(LOCK_TIMEOUT)),
                ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION_TIMEOUT)),
                ("tcp_keepalives_idle", "10".to_owned()),
                // Statements are prepared and short: compiling them costs more than running them.
                ("jit", "off".to_owned()),
                // They look up by key what a list of values names. A plan that was made while a table was small, or
                // before anybody counted its rows, would read all of it for each of them, and stays.
                ("enable_seqscan", "off".to_owned()),
                ("enable_hashjoin", "off".to_owned()),
                ("enable_mergejoin", "off".to_owned()),
                // Ids compare by their bytes, and texts come back as they went in, whatever the server's defaults.
                ("timezone", "UTC".to_owned()),
            ])
            .disable_statement_logging()
    }
}

/// How long a transaction may take as seen from here.
pub(super) const fn transaction_timeout() -> Duration {
    TRANSACTION_TIMEOUT
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("server", &self.server())
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_shows_the_password() {
        for url in ["postgres://me:s3cret@db:99999/wallex", "postgres://me:s3cret@[::/wallex", "mysql://me:s3cret@db/x"]
        {
            let error = PostgresOptions::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        let options = PostgresOptions::parse("postgres://me:s3cret@db:5433/wallex").unwrap();
        assert!(!format!("{options:?}").contains("s3cret"));
        assert_eq!(options.server(), "db:5433/wallex");
    }
}
