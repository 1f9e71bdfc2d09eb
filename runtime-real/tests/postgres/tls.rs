//! Connections that must be encrypted: refused by a server that cannot, made by one that can.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};
use wallex::database::{DatabaseError, PostgresDatabase, PostgresOptions};

use super::own::OwnServer;

/// The server makes its own certificate: the file is in its directory and belongs to it, whoever runs the tests.
const CERTIFICATE: &str = "COPY (SELECT 1) TO PROGRAM 'openssl req -x509 -newkey ec -pkeyopt \
     ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout server.key -out server.crt'";

async fn connect(port: u16, settings: &str) -> Result<PostgresDatabase, DatabaseError> {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?application_name=encrypted&{settings}");
    let options = PostgresOptions::parse(&url).expect("a URL").startup_wait(Duration::from_secs(20));
    PostgresDatabase::connect(&options).await
}

async fn sql(port: u16) -> PgConnection {
    let options = PgConnectOptions::new().host("127.0.0.1").port(port).username("postgres").database("postgres");
    options.connect().await.expect("a connection")
}

/// How many connections of the service there are, and how many of them are encrypted.
async fn connections(port: u16) -> (i64, i64) {
    let row = sqlx::query(
        "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
         WHERE application_name = 'encrypted'",
    )
    .fetch_one(&mut sql(port).await)
    .await
    .expect("two numbers");
    (row.get(0), row.get(1))
}

async fn switch_tls_on(port: u16) {
    let mut connection = sql(port).await;
    for statement in [CERTIFICATE, "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        sqlx::query(statement).execute(&mut connection).await.expect(statement);
    }
    let started = Instant::now();
    while sqlx::query_scalar::<_, String>("SHOW ssl").fetch_one(&mut connection).await.expect("a setting") != "on" {
        assert!(started.elapsed() < Duration::from_secs(60), "the server does not take the certificate");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn encryption_that_is_required_is_had_or_the_connection_is_refused() {
    let server = OwnServer::start("postgres");
    let port = server.ports().port;
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused = connect(port, &format!("sslmode={mode}")).await.err().expect("it has no TLS");
        assert!(matches!(refused, DatabaseError::Connect { .. }), "{mode}: {refused}");
        let said = refused.to_string();
        assert!(said.contains(&format!("127.0.0.1:{port}")), "{mode}: {said}");
        assert!(said.contains("server does not support TLS"), "{mode}: {said}");
    }
    assert_eq!(connections(port).await, (0, 0));

    switch_tls_on(port).await;
    let database = connect(port, "sslmode=require").await.expect("it has TLS now");
    let (all, encrypted) = connections(port).await;
    assert!(all > 0 && all == encrypted, "{encrypted} of {all} connections are encrypted");
    database.queries().ping().await.expect("it answers");
    // Nobody of those whom this machine trusts vouches for the certificate.
    let refused = connect(port, "sslmode=verify-full").await.err().expect("the certificate is nobody's");
    assert!(refused.to_string().contains("certificate"), "{refused}");
}
