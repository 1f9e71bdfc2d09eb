//! The contracts of the pipeline's database and of the idempotency keys in it.

mod fake {
    use wallex_sim::fakes::Database;

    use super::super::fake::{Fake, block_on};

    wallex_contracts::database_contract!(run = block_on, { Fake::new(Database::default()) });
}

mod keys {
    use wallex_sim::fakes::Database;

    use super::super::fake::{Fake, block_on};

    wallex_contracts::idempotency_contract!(run = block_on, { Fake::new(Database::default()) });
}

mod fake_that_syncs_later {
    use wallex_sim::fakes::{Database, Durability};

    use super::super::fake::{Fake, block_on};

    wallex_contracts::database_contract!(run = block_on, { Fake::new(Database::new(Durability::AtSync)) });
}
