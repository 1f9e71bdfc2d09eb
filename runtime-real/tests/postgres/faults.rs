//! Faults on the wire: what is lost before COMMIT did not happen, what is lost during it is unknown.

use std::time::Duration;

use tokio::time::Instant;
use wallex::database::{DatabaseError, PostgresDatabase};
use wallex_contracts::database::Log;
use wallex_core::effect::{Completion, Effect, Failure, FailureKind, Input, Reservation};
use wallex_core::id::Position;

use super::pipeline::{EFFECT, feeder, write};
use super::proxy::{Fault, Proxy};
use super::races::{attempt, key};
use super::server::{LONG, TestDatabase};

async fn behind_a_proxy() -> (TestDatabase, Proxy, PostgresDatabase) {
    let test = TestDatabase::create().await;
    let proxy = Proxy::start(test.address(), Fault::None).await;
    let options = test.options_through(proxy.port).startup_wait(LONG);
    let database = PostgresDatabase::connect(&options).await.expect("a migrated database");
    (test, proxy, database)
}

fn is_unavailable<T>(completion: &Completion<T>) -> bool {
    matches!(completion, Completion::Failed(Failure { kind: FailureKind::Unavailable, .. }))
}

/// Asks until the database answers again.
async fn answered(database: &PostgresDatabase) -> Position {
    let deadline = Instant::now() + LONG;
    loop {
        match feeder(database).await {
            Completion::Done(position) => return position,
            failed @ Completion::Failed(_) => assert!(Instant::now() < deadline, "{failed:?}"),
            never @ (Completion::Conflict | Completion::Unknown) => panic!("{never:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_it_happened() {
    let (_test, proxy, database) = behind_a_proxy().await;
    let log = Log::of_two();
    proxy.set(Fault::CommitAnswerLost);
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Unknown);
    proxy.set(Fault::None);
    assert_eq!(answered(&database).await, log.end());
    // Whoever repeats it finds out.
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Conflict);
}

#[tokio::test]
async fn a_reservation_whose_answer_is_lost_is_unknown_and_it_happened() {
    let (_test, proxy, database) = behind_a_proxy().await;
    let reserve = async |command: u64, keys: &[u64]| {
        let items = keys.iter().map(|key| attempt(*key, command)).collect();
        match database.perform(Effect::Reserve(EFFECT, items)).await {
            Some(Input::Reserved(EFFECT, completion)) => completion,
            other => panic!("{other:?}"),
        }
    };
    proxy.set(Fault::AnswerLost);
    assert_eq!(reserve(1, &[1, 2]).await, Completion::Unknown);
    proxy.set(Fault::None);
    answered(&database).await;
    let pending = |number: u64| Reservation::Pending { fingerprint: key(number).fingerprint };
    assert_eq!(reserve(2, &[1, 2]).await, Completion::Done(vec![pending(1), pending(2)]));
    // One key is new and reserved, and whether the others are is not answered.
    proxy.set(Fault::CommitAnswerLost);
    assert_eq!(reserve(3, &[1, 3]).await, Completion::Unknown);
    proxy.set(Fault::None);
    answered(&database).await;
    assert_eq!(reserve(4, &[3]).await, Completion::Done(vec![pending(3)]));
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_commit_reached_the_server_leaves_nothing() {
    let (test, proxy, database) = behind_a_proxy().await;
    let log = Log::of_two();
    proxy.set(Fault::CutBeforeCommit);
    // Nobody here can tell this from the fault above: the request for the COMMIT was sent.
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Unknown);
    proxy.set(Fault::None);
    assert_eq!(answered(&database).await, Position(0));
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut test.sql().await).await.expect("a count");
    assert_eq!(rows, 0);
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_commit_was_asked_for_is_a_failure() {
    let (_test, proxy, database) = behind_a_proxy().await;
    let log = Log::of_two();
    proxy.set(Fault::Away);
    let failed = write(&database, 0, &log.rows).await;
    assert!(is_unavailable(&failed), "{failed:?}");
    proxy.set(Fault::None);
    assert_eq!(answered(&database).await, Position(0));
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_before_the_core_gives_up_the_effect() {
    let (_test, proxy, database) = behind_a_proxy().await;
    let log = Log::of_two();
    proxy.set(Fault::SilentAfterCommit);
    assert_eq!(write(&database, 0, &log.rows[..3]).await, Completion::Unknown);
    proxy.set(Fault::None);
    assert_eq!(answered(&database).await, log.row(2).position);
    proxy.set(Fault::Silent);
    let failed = write(&database, log.row(2).position.0, &log.rows[3..]).await;
    assert!(is_unavailable(&failed), "{failed:?}");
    proxy.set(Fault::None);
    assert_eq!(answered(&database).await, log.row(2).position);
    assert_eq!(write(&database, log.row(2).position.0, &log.rows[3..]).await, Completion::Done(()));
}

/// Whatever raises it, at a statement or at the COMMIT itself: the server has rolled back, and says so.
#[tokio::test]
async fn a_serialization_failure_is_known_not_to_be_done() {
    let test = TestDatabase::create().await;
    let database = test.instance().await;
    let log = Log::of_two();
    let mut sql = test.sql().await;
    sqlx::raw_sql(
        "CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END $$",
    )
    .execute(&mut sql)
    .await
    .expect("a function");
    for trigger in [
        "CREATE TRIGGER collides BEFORE INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION collide()",
        "CREATE CONSTRAINT TRIGGER collides AFTER INSERT ON outbox_events DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION collide()",
    ] {
        sqlx::raw_sql(trigger).execute(&mut sql).await.expect("a trigger");
        let failed = write(&database, 0, &log.rows).await;
        assert!(is_unavailable(&failed), "{trigger}: {failed:?}");
        assert_eq!(feeder(&database).await, Completion::Done(Position(0)), "{trigger}");
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM outbox_events").fetch_one(&mut sql).await.expect("a count");
        assert_eq!(rows, 0, "{trigger}");
        sqlx::raw_sql("DROP TRIGGER collides ON outbox_events").execute(&mut sql).await.expect("no trigger");
    }
    assert_eq!(write(&database, 0, &log.rows).await, Completion::Done(()));
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    let test = TestDatabase::create().await;
    let proxy = Proxy::start(test.address(), Fault::Away).await;
    let options = test.options_through(proxy.port).startup_wait(LONG);
    let connecting = tokio::spawn(async move { PostgresDatabase::connect(&options).await });
    tokio::time::timeout(Duration::from_millis(300), std::future::pending::<()>()).await.unwrap_err();
    assert!(!connecting.is_finished(), "it waits");
    proxy.set(Fault::None);
    let database = connecting.await.expect("no panic").expect("a migrated database");
    assert_eq!(feeder(&database).await, Completion::Done(Position(0)));
}

#[tokio::test]
async fn a_server_that_does_not_come_is_named() {
    let test = TestDatabase::create().await;
    let proxy = Proxy::start(test.address(), Fault::Away).await;
    let options = test.options_through(proxy.port).startup_wait(Duration::from_millis(300));
    let error = PostgresDatabase::connect(&options).await.err().expect("nobody answers");
    assert!(matches!(error, DatabaseError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{}", proxy.port)), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let (_test, proxy, database) = behind_a_proxy().await;
    let log = Log::of_two();
    for (from, row) in log.rows.iter().enumerate() {
        let before = if from == 0 { 0 } else { log.row(from - 1).position.0 };
        proxy.set(Fault::Away);
        assert!(is_unavailable(&feeder(&database).await));
        assert!(database.queries().ping().await.is_err());
        proxy.set(Fault::None);
        assert_eq!(answered(&database).await, Position(before));
        assert_eq!(write(&database, before, std::slice::from_ref(row)).await, Completion::Done(()));
    }
}
