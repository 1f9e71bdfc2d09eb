//! The event store's contract.

mod fake {
    use wallex_sim::fakes::EventStore;

    use super::super::fake::{Fake, block_on};

    wallex_contracts::event_store_contract!(run = block_on, { Fake::new(EventStore::default()) });
}

mod journal_on_a_faulty_disk {
    use wallex_sim::fakes::{Disk, EmbeddedStore};

    use super::super::fake::{Fake, block_on};

    wallex_contracts::event_store_contract!(run = block_on, {
        Fake::new(EmbeddedStore::open(Disk::default(), 8 << 10).unwrap().0)
    });
}
