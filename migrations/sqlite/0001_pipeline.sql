-- The pipeline's tables: outbox, progress of each consumer, read model, ledger, and what was set aside.
--
-- Tables hold what programs need: wallets by number, money in minor units, times in microseconds since 1970 (UTC),
-- event ids as 16 bytes. The names that operators and checks use (outbox, outbox_consumer_processing,
-- wallets_read_model, wallets, ledger_entries, dead_letters) are views with readable columns, so an index entry is a
-- dozen bytes long and the same page of it takes five times as many entries as it would with text ids.

-- A wallet's number, given in log order when its first event reaches the outbox. What never changes about a wallet
-- stands here once.
CREATE TABLE wallet_numbers (
    wallet    INTEGER PRIMARY KEY,
    wallet_id TEXT    NOT NULL UNIQUE,
    currency  TEXT    NOT NULL,
    scale     INTEGER NOT NULL,
    partition INTEGER NOT NULL
);

-- event_type: 1 WalletCreated, 2 WalletCredited, 3 WalletDebited. amount is never negative. What stands in
-- wallet_numbers is not repeated. command_id is NULL when it is the event id with zero in the twelve bits that number a
-- command's events; transfer_id is NULL on a debit whose transfer is named after it. The view outbox makes the event's
-- JSON of these columns: {"data": …, "metadata": …}.
CREATE TABLE outbox_events (
    position       INTEGER PRIMARY KEY,
    wallet         INTEGER NOT NULL,
    event_version  INTEGER NOT NULL,
    event_type     INTEGER NOT NULL,
    event_id       BLOB    NOT NULL,
    created_us     INTEGER NOT NULL,
    amount         INTEGER NOT NULL,
    balance        INTEGER NOT NULL,
    counterparty   INTEGER,
    command_id     BLOB,
    transfer_id    BLOB,
    correlation_id TEXT    NOT NULL,
    description    TEXT,
    owner_id       TEXT,
    trace_parent   TEXT
);

-- The last version of each wallet in the outbox. Rows come in version order, so a (wallet, version, type) that is not
-- after it would be a second one: this is the outbox's unique key, kept in one small row per wallet instead of an index
-- entry per event in a random place. The table is complete up to the row that heads_marks names; later rows speak for
-- themselves.
CREATE TABLE outbox_heads (
    wallet  INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
);

-- Up to which row (position, id) the heads of a table (outbox, ledger) are written.
CREATE TABLE heads_marks (
    name TEXT    PRIMARY KEY,
    last INTEGER NOT NULL
) WITHOUT ROWID;

-- The last position of each partition, so that a partition without new events is not searched for any.
CREATE TABLE outbox_partitions (
    partition     INTEGER PRIMARY KEY,
    last_position INTEGER NOT NULL
);

-- One row for each published batch. What lies after the relay's checkpoint is not published.
CREATE TABLE outbox_published (
    last_position  INTEGER PRIMARY KEY,
    first_position INTEGER NOT NULL,
    published_at   TEXT
);
CREATE INDEX outbox_published_at ON outbox_published (published_at);

-- Progress: outbox-feeder and kafka-publisher in partition 0, each projector in every partition.
CREATE TABLE projector_checkpoints (
    consumer_name TEXT    NOT NULL,
    partition     INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    updated_at    TEXT,
    PRIMARY KEY (consumer_name, partition)
) WITHOUT ROWID;

-- When a projector's checkpoint passed which position: one row for each partition of a transaction.
CREATE TABLE projector_steps (
    consumer_name TEXT    NOT NULL,
    partition     INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    processed_at  TEXT    NOT NULL,
    PRIMARY KEY (consumer_name, partition, last_position)
) WITHOUT ROWID;

-- Events that a consumer set aside: dead letters (reason and attempts) and those that wait behind one (neither).
CREATE TABLE held_events (
    consumer_name TEXT    NOT NULL,
    event_id      BLOB    NOT NULL,
    wallet_id     TEXT    NOT NULL,
    event_version INTEGER NOT NULL,
    partition     INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    event_type    INTEGER,
    payload       TEXT,
    reason        TEXT,
    attempts      INTEGER,
    held_at       TEXT    NOT NULL,
    PRIMARY KEY (consumer_name, event_id)
) WITHOUT ROWID;
CREATE INDEX held_events_wallet ON held_events (consumer_name, wallet_id, event_version);
CREATE INDEX held_events_position ON held_events (consumer_name, position);

CREATE TABLE wallet_states (
    wallet     INTEGER PRIMARY KEY,
    version    INTEGER NOT NULL,
    balance    INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    owner_id   TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX wallet_states_owner ON wallet_states (owner_id, wallet);

-- kind: 1 create, 2 credit, 3 debit, 4 transfer_in, 5 transfer_out. amount is signed.
-- command_id is NULL when it is the event id with zero in the twelve bits that number a command's events;
-- transfer_id is NULL on a transfer_out whose transfer is named after it, as every transfer of this service is.
-- epoch numbers stretches of about 131,072 rows: the index grows within the newest one, whose pages stay in memory,
-- and a wallet's history is one place in each epoch.
CREATE TABLE ledger_rows (
    id             INTEGER PRIMARY KEY,
    epoch          INTEGER NOT NULL,
    wallet         INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    kind           INTEGER NOT NULL,
    amount         INTEGER NOT NULL,
    balance        INTEGER NOT NULL,
    occurred_us    INTEGER NOT NULL,
    event_id       BLOB    NOT NULL,
    command_id     BLOB,
    transfer_id    BLOB,
    counterparty   INTEGER,
    correlation_id TEXT    NOT NULL,
    description    TEXT
);
CREATE UNIQUE INDEX ledger_rows_version ON ledger_rows (epoch, wallet, version);
CREATE UNIQUE INDEX ledger_rows_event ON ledger_rows (event_id);

-- The epochs, with the first and the last time in each.
CREATE TABLE ledger_epochs (
    epoch    INTEGER PRIMARY KEY,
    first_us INTEGER NOT NULL,
    last_us  INTEGER NOT NULL
);

-- The last version of each wallet in the ledger, up to the row that heads_marks names: a second entry for a version is
-- refused whatever its epoch.
CREATE TABLE ledger_heads (
    wallet  INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
);
