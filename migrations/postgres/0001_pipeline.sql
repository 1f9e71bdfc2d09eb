-- The pipeline's tables: outbox, progress of each consumer, read model, ledger, what was set aside, idempotency keys.
--
-- Money is an integer of minor units beside the currency's scale, times are microseconds since 1970 (UTC). The names
-- that operators and checks use (outbox, outbox_consumer_processing, wallets_read_model, wallets, ledger_entries,
-- dead_letters) are views with exact decimals and timestamps; idempotency_keys and projector_checkpoints are tables.
-- Wallet ids compare by bytes: their order matters for locks, not for people.

-- payload: {"data": …, "metadata": …}, as the event store has them.
CREATE TABLE outbox_events (
    position      BIGINT   PRIMARY KEY,
    wallet_id     TEXT     COLLATE "C" NOT NULL,
    event_version BIGINT   NOT NULL,
    event_type    SMALLINT NOT NULL,
    event_id      UUID     NOT NULL,
    partition     SMALLINT NOT NULL,
    created_us    BIGINT   NOT NULL,
    payload       JSON     NOT NULL,
    CONSTRAINT outbox_events_version UNIQUE (wallet_id, event_version)
);

-- How many events each partition ever got: what a projector has applied, taken off it, is its lag.
CREATE TABLE outbox_partitions (
    partition SMALLINT PRIMARY KEY,
    events    BIGINT   NOT NULL
);

-- One row for each published batch. What lies after the relay's checkpoint is not published.
CREATE TABLE outbox_published (
    last_position  BIGINT      PRIMARY KEY,
    first_position BIGINT      NOT NULL,
    published_at   TIMESTAMPTZ
);
CREATE INDEX outbox_published_at ON outbox_published (published_at);

-- Progress: outbox-feeder and kafka-publisher in partition 0, each projector in every partition. position is the log's
-- for feeder and relay, and the broker's offset for projectors. applied counts the events that became rows.
CREATE TABLE projector_checkpoints (
    consumer_name TEXT     COLLATE "C" NOT NULL,
    partition     SMALLINT NOT NULL,
    position      BIGINT   NOT NULL,
    applied       BIGINT   NOT NULL DEFAULT 0,
    updated_at    TIMESTAMPTZ,
    PRIMARY KEY (consumer_name, partition)
) WITH (fillfactor = 50);

-- Events that a consumer set aside: dead letters (reason and attempts) and those that wait behind one (neither).
CREATE TABLE held_events (
    consumer_name TEXT     COLLATE "C" NOT NULL,
    event_id      UUID     NOT NULL,
    wallet_id     TEXT     COLLATE "C" NOT NULL,
    event_version BIGINT   NOT NULL,
    partition     SMALLINT NOT NULL,
    position      BIGINT   NOT NULL,
    event_type    SMALLINT,
    payload       JSON,
    reason        TEXT,
    attempts      BIGINT,
    held_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (consumer_name, event_id)
);
CREATE INDEX held_events_wallet ON held_events (consumer_name, wallet_id, event_version);
CREATE INDEX held_events_position ON held_events (consumer_name, position);

-- number is the order of lists.
CREATE TABLE wallet_states (
    wallet_id    TEXT     COLLATE "C" PRIMARY KEY,
    number       BIGINT   GENERATED ALWAYS AS IDENTITY UNIQUE,
    owner_id     TEXT     COLLATE "C" NOT NULL,
    currency     TEXT     NOT NULL,
    scale        SMALLINT NOT NULL,
    balance      BIGINT   NOT NULL,
    version      BIGINT   NOT NULL,
    created_us   BIGINT   NOT NULL,
    updated_us   BIGINT   NOT NULL,
    projected_at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX wallet_states_owner ON wallet_states (owner_id, number);

-- kind: 1 create, 2 credit, 3 debit, 4 transfer_in, 5 transfer_out. amount is signed.
CREATE TABLE ledger_rows (
    wallet_id      TEXT     COLLATE "C" NOT NULL,
    version        BIGINT   NOT NULL,
    kind           SMALLINT NOT NULL,
    scale          SMALLINT NOT NULL,
    currency       TEXT     NOT NULL,
    amount         BIGINT   NOT NULL,
    balance        BIGINT   NOT NULL,
    occurred_us    BIGINT   NOT NULL,
    event_id       UUID     NOT NULL,
    command_id     UUID     NOT NULL,
    transfer_id    UUID,
    counterparty   TEXT     COLLATE "C",
    correlation_id TEXT     NOT NULL,
    description    TEXT,
    projected_at   TIMESTAMPTZ NOT NULL,
    CONSTRAINT ledger_rows_version PRIMARY KEY (wallet_id, version),
    CONSTRAINT ledger_rows_event UNIQUE (event_id)
);

-- status: pending, completed (done) or failed (refused by the domain: that too is an answer). reserved_us is when the
-- first attempt began, attempted_us when the newest did.
CREATE TABLE idempotency_keys (
    key          BYTEA  PRIMARY KEY,
    fingerprint  BYTEA  NOT NULL,
    command_id   UUID   NOT NULL,
    status       TEXT   NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    reserved_us  BIGINT NOT NULL,
    attempted_us BIGINT NOT NULL,
    expires_us   BIGINT NOT NULL,
    answer       TEXT,
    CHECK ((status = 'pending') = (answer IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_us);
