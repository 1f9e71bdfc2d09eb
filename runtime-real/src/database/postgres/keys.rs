//! Idempotency keys: reserved before a command runs, answered after, released when it is known not to have run
//! (INV-05).
//!
//! A new key is whoever inserts its row first. A pending key whose attempt is dead passes on by compare-and-set, to one
//! attempt only, under the first attempt's command id; an expired one is as good as new. The first answer stands. What
//! is dead and what has expired, the server's clock says, and never an instance's (docs/adr/0014). Rows are locked in
//! the order of keys, so instances wait for each other and do not deadlock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use wallex_core::command::{FinalAnswer, Fingerprint, KeyHash};
use wallex_core::effect::{KeyRecord, Reservation, Reserve};
use wallex_core::id::CommandId;
use wallex_core::time::Timestamp;

use super::error::{DatabaseError, Stop};
use super::form::{int, uuid_bytes};

/// What stands under a key.
struct Stored {
    fingerprint: Fingerprint,
    command_id: CommandId,
    reserved_at: Timestamp,
    attempted_at: Timestamp,
    expires_at: Timestamp,
    /// When this was read.
    read_at: Timestamp,
    answer: Option<FinalAnswer>,
}

/// What a record means to somebody who comes with its key.
#[derive(PartialEq, Eq)]
enum State {
    /// As good as not there.
    Expired,
    /// Its attempt is dead, and this one is for the same payload.
    Dead,
    /// It stands.
    Valid,
}

impl Stored {
    fn state_for(&self, item: &Reserve) -> State {
        let pending = self.answer.is_none() && self.fingerprint == item.idempotency.fingerprint;
        if self.expires_at <= self.read_at {
            State::Expired
        } else if pending && self.attempted_at.plus(item.dead_after) <= self.read_at {
            State::Dead
        } else {
            State::Valid
        }
    }
}

/// Looks up the keys that [`reserve_new`] did not reserve, and reserves those that may be; one entry for each item, in
/// order.
pub(super) async fn reserve(
    connection: &mut PgConnection,
    items: &[Reserve],
    new: &BTreeSet<KeyHash>,
) -> Result<Vec<Reservation>, Stop> {
    let others: Vec<&Reserve> = items.iter().filter(|item| !new.contains(&item.idempotency.key)).collect();
    let repeated = new.len() + others.len() < items.len();
    let mut stored = BTreeMap::new();
    if !others.is_empty() || repeated {
        stored = look_up(connection, items).await?;
    }
    let there = |item: &&&Reserve| stored.get(&item.idempotency.key).map(|found| found.state_for(item));
    let expired: Vec<&Reserve> = others.iter().filter(|item| there(item) == Some(State::Expired)).copied().collect();
    let dead: Vec<&Reserve> = others.iter().filter(|item| there(item) == Some(State::Dead)).copied().collect();
    lock(connection, expired.iter().chain(&dead).copied()).await?;
    let expired = renew(connection, &expired).await?;
    let taken_over = take_over(connection, &dead).await?;
    // Of two items with one key in one batch, the second meets the first.
    let mut given = BTreeSet::new();
    let found = items.iter().map(|item| {
        let key = item.idempotency.key;
        let first = given.insert(key);
        if first && (new.contains(&key) || expired.contains(&key)) {
            return Reservation::New;
        }
        // A row that was there a moment ago and is gone now was released: that attempt was running when this one came.
        let Some(stored) = stored.get(&key) else {
            return Reservation::Pending { fingerprint: item.idempotency.fingerprint };
        };
        let fingerprint = stored.fingerprint;
        if first && taken_over.contains(&key) {
            let (command_id, reserved_at) = (stored.command_id, stored.reserved_at);
            return Reservation::TakenOver { fingerprint, command_id, reserved_at };
        }
        match &stored.answer {
            Some(answer) => Reservation::Finished { fingerprint, answer: answer.clone() },
            None => Reservation::Pending { fingerprint },
        }
    });
    Ok(found.collect())
}

/// Columns of items, in the order of the parameters below.
macro_rules! bind_items {
    ($query:expr, $items:expr) => {
        $query
            .bind($items.iter().map(|item| item.idempotency.key.0.to_vec()).collect::<Vec<_>>())
            .bind($items.iter().map(|item| item.idempotency.fingerprint.0.to_vec()).collect::<Vec<_>>())
            .bind($items.iter().map(|item| item.command_id.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind($items.iter().map(|item| micros(item.dead_after)).collect::<Vec<_>>())
            .bind($items.iter().map(|item| micros(item.kept_for)).collect::<Vec<_>>())
    };
}

fn micros(duration: Duration) -> i64 {
    int(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// The server's time, as a row of its own that a statement may join.
macro_rules! clock {
    () => {
        "(SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS now_us) AS clock"
    };
}

/// Reserves the keys that are new, in one statement, and gives them.
pub(super) async fn reserve_new(connection: &mut PgConnection, items: &[Reserve]) -> Result<BTreeSet<KeyHash>, Stop> {
    let query = sqlx::query_scalar(concat!(
        "INSERT INTO idempotency_keys
                 (key, fingerprint, command_id, attempt, status, reserved_us, attempted_us, expires_us)
             SELECT key, fingerprint, encode(command, 'hex')::uuid, encode(command, 'hex')::uuid, 'pending',
                    now_us, now_us, now_us + kept
             FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[])
                  WITH ORDINALITY AS item (key, fingerprint, command, dead, kept, nth), ",
        clock!(),
        " ORDER BY key, nth ON CONFLICT (key) DO NOTHING RETURNING key"
    ));
    let new: Vec<Vec<u8>> = bind_items!(query, items).fetch_all(connection).await?;
    keys(new)
}

fn keys(rows: Vec<Vec<u8>>) -> Result<BTreeSet<KeyHash>, Stop> {
    Ok(rows.iter().map(|key| uuid_bytes(key).map(KeyHash)).collect::<Result<_, DatabaseError>>()?)
}

async fn look_up(connection: &mut PgConnection, items: &[Reserve]) -> Result<BTreeMap<KeyHash, Stored>, Stop> {
    let rows = sqlx::query(concat!(
        "SELECT key, fingerprint, uuid_send(command_id), reserved_us, attempted_us, expires_us, answer, now_us
             FROM idempotency_keys, ",
        clock!(),
        " WHERE key = ANY($1::bytea[])"
    ))
    .bind(items.iter().map(|item| item.idempotency.key.0.to_vec()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(stored).collect::<Result<_, DatabaseError>>()?)
}

fn stored(row: &PgRow) -> Result<(KeyHash, Stored), DatabaseError> {
    let answer: Option<&str> = row.try_get(6)?;
    let answer = answer.map(serde_json::from_str).transpose();
    let time = |column: usize| row.try_get(column).map(Timestamp::from_micros);
    let stored = Stored {
        fingerprint: Fingerprint(uuid_bytes(row.try_get(1)?)?),
        command_id: CommandId::from_bytes(uuid_bytes(row.try_get(2)?)?),
        reserved_at: time(3)?,
        attempted_at: time(4)?,
        expires_at: time(5)?,
        read_at: time(7)?,
        answer: answer.map_err(|error| DatabaseError::Damaged(format!("the answer under a key: {error}")))?,
    };
    Ok((KeyHash(uuid_bytes(row.try_get(0)?)?), stored))
}

/// Locks rows in the order of keys, before any of them changes.
async fn lock(connection: &mut PgConnection, items: impl Iterator<Item = &Reserve>) -> Result<(), Stop> {
    let keys: Vec<Vec<u8>> = items.map(|item| item.idempotency.key.0.to_vec()).collect();
    if !keys.is_empty() {
        sqlx::query("SELECT FROM idempotency_keys WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE")
            .bind(keys)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Reserves keys whose record has expired; gives those that this attempt won.
async fn renew(connection: &mut PgConnection, items: &[&Reserve]) -> Result<BTreeSet<KeyHash>, Stop> {
    if items.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = sqlx::query_scalar(concat!(
        "UPDATE idempotency_keys k
             SET fingerprint = item.fingerprint, command_id = encode(item.command, 'hex')::uuid,
                 attempt = encode(item.command, 'hex')::uuid, status = 'pending', answer = NULL,
                 reserved_us = now_us, attempted_us = now_us, expires_us = now_us + item.kept
             FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[])
                  AS item (key, fingerprint, command, dead, kept), ",
        clock!(),
        " WHERE k.key = item.key AND k.expires_us <= now_us RETURNING k.key"
    ));
    keys(bind_items!(query, items).fetch_all(connection).await?)
}

/// Takes over keys whose attempt is dead; gives those that this attempt won.
async fn take_over(connection: &mut PgConnection, items: &[&Reserve]) -> Result<BTreeSet<KeyHash>, Stop> {
    if items.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = sqlx::query_scalar(concat!(
        "UPDATE idempotency_keys k
             SET attempt = encode(item.command, 'hex')::uuid, attempted_us = now_us,
                 expires_us = greatest(k.expires_us, now_us + item.kept)
             FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[])
                  AS item (key, fingerprint, command, dead, kept), ",
        clock!(),
        " WHERE k.key = item.key AND k.status = 'pending' AND k.attempted_us + item.dead <= now_us
                AND k.fingerprint = item.fingerprint AND k.expires_us > now_us RETURNING k.key"
    ));
    keys(bind_items!(query, items).fetch_all(connection).await?)
}

/// Whether events vouch for every one of these answers: then none depends on its reservation, and one that a crash of
/// the server takes back is found again in the event store by whoever takes the key over.
pub(super) fn are_vouched_for(records: &[KeyRecord]) -> bool {
    records.iter().all(|record| record.held_by.is_none() && record.answer.is_vouched_for())
}

/// Stores answers where the key is still reserved by their command and has none; elsewhere nothing changes. Whether none
/// was kept out by somebody else's reservation. Answers that events vouch for do not wait for the server's disk.
pub(super) async fn store(connection: &mut PgConnection, records: &[KeyRecord]) -> Result<bool, Stop> {
    let mut answers = Vec::with_capacity(records.len());
    for record in records {
        let text = serde_json::to_string(&record.answer);
        answers.push(text.map_err(|error| Stop::Rejected(format!("an answer cannot be written down: {error}")))?);
    }
    let statuses = records.iter().map(|record| if record.answer.outcome.is_ok() { "completed" } else { "failed" });
    sqlx::query(
        "WITH locked AS MATERIALIZED (
             SELECT key, CASE WHEN $7 THEN set_config('synchronous_commit', 'off', true) END FROM idempotency_keys
             WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE)
         UPDATE idempotency_keys k SET status = record.status, answer = record.answer, expires_us = record.expires
         FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::bytea[])
              AS record (key, command, status, answer, expires, held)
         JOIN locked l ON l.key = record.key
         WHERE k.key = record.key AND k.status = 'pending' AND k.command_id = encode(record.command, 'hex')::uuid
           AND (record.held IS NULL OR encode(record.held, 'hex')::uuid = k.attempt)",
    )
    .bind(records.iter().map(|record| record.idempotency.key.0.to_vec()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.command_id.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(statuses.collect::<Vec<_>>())
    .bind(answers)
    .bind(records.iter().map(|record| record.expires_at.as_micros()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.held_by.map(|attempt| attempt.as_bytes().to_vec())).collect::<Vec<_>>())
    .bind(are_vouched_for(records))
    .execute(&mut *connection)
    .await?;
    all_held(connection, records).await
}

/// Whether every answer that depends on its reservation still has it. A takeover waits for this transaction, so what is
/// seen here is what the answers were stored under.
async fn all_held(connection: &mut PgConnection, records: &[KeyRecord]) -> Result<bool, Stop> {
    let fenced = || records.iter().filter_map(|record| Some((record, record.held_by?)));
    let keys: Vec<Vec<u8>> = fenced().map(|(record, _)| record.idempotency.key.0.to_vec()).collect();
    if keys.is_empty() {
        return Ok(true);
    }
    let commands: Vec<Vec<u8>> = fenced().map(|(record, _)| record.command_id.as_bytes().to_vec()).collect();
    let attempts: Vec<Vec<u8>> = fenced().map(|(_, attempt)| attempt.as_bytes().to_vec()).collect();
    let count = keys.len();
    let held: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS record (key, command, held)
         JOIN idempotency_keys k ON k.key = record.key AND k.attempt = encode(record.held, 'hex')::uuid
              AND k.command_id = encode(record.command, 'hex')::uuid",
    )
    .bind(keys)
    .bind(commands)
    .bind(attempts)
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(held).is_ok_and(|held| held == count))
}

/// Forgets reservations that these attempts have made and still hold. One that was taken over is released by nobody: the
/// first attempt may have happened, whatever the one that took over knows of itself.
pub(super) async fn release(connection: &mut PgConnection, released: &[(KeyHash, CommandId)]) -> Result<(), Stop> {
    sqlx::query(
        "WITH locked AS MATERIALIZED (
             SELECT key FROM idempotency_keys WHERE key = ANY($1::bytea[]) ORDER BY key FOR UPDATE)
         DELETE FROM idempotency_keys k
         USING unnest($1::bytea[], $2::bytea[]) AS released (key, attempt), locked l
         WHERE l.key = k.key AND k.key = released.key AND k.status = 'pending'
           AND k.attempt = encode(released.attempt, 'hex')::uuid AND k.command_id = k.attempt",
    )
    .bind(released.iter().map(|(key, _)| key.0.to_vec()).collect::<Vec<_>>())
    .bind(released.iter().map(|(_, attempt)| attempt.as_bytes().to_vec()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets up to `limit` expired keys; says how many. A key that somebody uses at this moment waits for the next time.
pub(super) async fn delete_expired(connection: &mut PgConnection, now: Timestamp, limit: usize) -> Result<u64, Stop> {
    let deleted = sqlx::query(
        "DELETE FROM idempotency_keys WHERE key = ANY (ARRAY(
             SELECT key FROM idempotency_keys WHERE expires_us <= $1 ORDER BY expires_us LIMIT $2
             FOR UPDATE SKIP LOCKED))",
    )
    .bind(now.as_micros())
    .bind(int(limit as u64))
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
