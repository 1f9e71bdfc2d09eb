//! Statements over many rows at once: the text is built once for each chunk size, so it stays prepared.
//!
//! A batch is cut into chunks of 256, 32, 8, 2 and 1 rows. Each statement is one trip to SQLite's thread; the sizes bound
//! both the number of trips and the number of statements that the connection keeps.

use std::sync::{Arc, OnceLock};

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use super::error::Stop;

const CHUNKS: [usize; 5] = [256, 32, 8, 2, 1];

/// A statement whose VALUES list grows with the number of rows.
pub(super) struct RowsStatement {
    before: &'static str,
    columns: usize,
    after: &'static str,
    texts: [OnceLock<Arc<str>>; CHUNKS.len()],
}

impl RowsStatement {
    /// `before (?, …), (?, …) after`, with `columns` parameters in each row.
    pub(super) const fn new(before: &'static str, columns: usize, after: &'static str) -> Self {
        Self { before, columns, after, texts: [const { OnceLock::new() }; CHUNKS.len()] }
    }

    fn text(&self, chunk: usize) -> Arc<str> {
        let text = self.texts[chunk].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(","));
            let rows = vec![row; CHUNKS[chunk]].join(",");
            Arc::from(format!("{} {rows} {}", self.before, self.after))
        });
        Arc::clone(text)
    }

    /// Runs the statement over all `items`. `bind` adds exactly the columns of one row.
    ///
    /// # Errors
    /// The first chunk that failed or did not affect each of its rows; what follows it is not run.
    pub(super) async fn execute<'i, T>(
        &self,
        connection: &mut SqliteConnection,
        items: &'i [T],
        mut bind: impl FnMut(&'i T, &mut Row),
    ) -> Result<(), Stopped<'i, T>> {
        let (mut rest, mut chunk) = (items, 0);
        let mut next = self.take(&mut rest, &mut chunk, &mut bind);
        while let Some((rows, query)) = next {
            // SQLite has a thread of its own: while it works, the next rows are bound.
            let bind_next = async { self.take(&mut rest, &mut chunk, &mut bind) };
            let (done, following) = tokio::join!(biased; query.execute(&mut *connection), bind_next);
            match done {
                Ok(done) if done.rows_affected() == rows.len() as u64 => next = following,
                Ok(_) => return Err(Stopped { chunk: rows, error: None }),
                Err(error) => return Err(Stopped { chunk: rows, error: Some(error) }),
            }
        }
        Ok(())
    }

    /// Takes the next chunk off `rest` and binds it; `chunk` is the size that fits, and never grows again.
    fn take<'i, T>(
        &self,
        rest: &mut &'i [T],
        chunk: &mut usize,
        bind: &mut impl FnMut(&'i T, &mut Row),
    ) -> Option<(&'i [T], Query<'static, Sqlite, SqliteArguments>)> {
        while rest.len() < *CHUNKS.get(*chunk)? {
            *chunk += 1;
        }
        let (rows, later) = rest.split_at(CHUNKS[*chunk]);
        *rest = later;
        let mut row = Row(SqliteArguments::default());
        row.0.reserve(rows.len() * self.columns, 0);
        for item in rows {
            bind(item, &mut row);
        }
        debug_assert_eq!(row.0.len(), rows.len() * self.columns);
        Some((rows, sqlx::query_with(AssertSqlSafe(self.text(*chunk)), row.0)))
    }
}

/// Where a statement over many rows stopped.
pub(super) struct Stopped<'i, T> {
    /// The rows of the chunk.
    pub(super) chunk: &'i [T],
    /// Nothing when a row was not affected.
    pub(super) error: Option<sqlx::Error>,
}

impl<T> From<Stopped<'_, T>> for sqlx::Error {
    fn from(stopped: Stopped<'_, T>) -> Self {
        stopped.error.unwrap_or(Self::RowNotFound)
    }
}

impl<T> From<Stopped<'_, T>> for Stop {
    fn from(stopped: Stopped<'_, T>) -> Self {
        Self::Sql(stopped.into())
    }
}

/// Takes the parameters of rows.
pub(super) struct Row(SqliteArguments);

impl Row {
    fn add<'t, T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(&mut self, value: T) {
        self.0.add(value).expect("integers, text and bytes are encoded as they are");
    }

    pub(super) fn int(&mut self, value: i64) {
        self.add(value);
    }

    pub(super) fn optional_int(&mut self, value: Option<i64>) {
        self.add(value);
    }

    pub(super) fn text(&mut self, value: String) {
        self.add(value);
    }

    pub(super) fn shared_text(&mut self, value: Option<Arc<str>>) {
        self.add(value);
    }

    pub(super) fn bytes(&mut self, value: &[u8; 16]) {
        self.add(value.to_vec());
    }

    pub(super) fn optional_bytes(&mut self, value: Option<&[u8; 16]>) {
        self.add(value.map(|bytes| bytes.to_vec()));
    }
}
