//! The server keeps the promises of the database port and of the idempotency port.

use wallex::database::PostgresDatabase;
use wallex_contracts::Port;
use wallex_core::effect::{Effect, Input};

use super::server::TestDatabase;

struct OnServer {
    database: PostgresDatabase,
    _dropped_last: TestDatabase,
}

impl Port for OnServer {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.database.perform(effect).await
    }
}

async fn empty() -> OnServer {
    let test = TestDatabase::create().await;
    OnServer { database: test.instance().await, _dropped_last: test }
}

mod database {
    wallex_contracts::database_contract!(
        #[tokio::test]
        {
            super::empty().await
        }
    );
}

mod idempotency {
    wallex_contracts::idempotency_contract!(
        #[tokio::test]
        {
            super::empty().await
        }
    );
}
