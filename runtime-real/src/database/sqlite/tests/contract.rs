//! The file keeps the promises of the database port.

use tempfile::TempDir;
use wallex_contracts::Port;
use wallex_core::effect::{Effect, Input};

use super::world::database;
use crate::database::sqlite::SqliteDatabase;

struct InDirectory {
    _directory: TempDir,
    database: SqliteDatabase,
}

impl Port for InDirectory {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.database.perform(effect).await
    }
}

async fn empty() -> InDirectory {
    let (directory, database) = database().await;
    InDirectory { _directory: directory, database }
}

wallex_contracts::database_contract!(
    #[tokio::test]
    {
        empty().await
    }
);
