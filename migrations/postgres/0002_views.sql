-- The supported names, with readable columns: money as exact decimals, and beside it the integer of minor units.

CREATE FUNCTION wallex_time(us BIGINT) RETURNS TIMESTAMPTZ LANGUAGE SQL STABLE PARALLEL SAFE AS
    $$ SELECT TIMESTAMPTZ 'epoch' + us * INTERVAL '1 microsecond' $$;

CREATE FUNCTION wallex_money(minor BIGINT, scale SMALLINT) RETURNS NUMERIC LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS
    $$ SELECT round(minor::NUMERIC / (10::NUMERIC ^ scale), scale::INTEGER) $$;

CREATE FUNCTION wallex_event_type(code SMALLINT) RETURNS TEXT LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS
    $$ SELECT CASE code WHEN 1 THEN 'WalletCreated' WHEN 2 THEN 'WalletCredited' WHEN 3 THEN 'WalletDebited' END $$;

CREATE VIEW wallets_read_model AS
SELECT wallet_id, owner_id, currency, wallex_money(balance, scale) AS balance, balance AS balance_minor, version,
       wallex_time(created_us) AS created_at, wallex_time(updated_us) AS updated_at
FROM wallet_states;

CREATE VIEW wallets AS
SELECT wallet_id AS id, owner_id, currency, balance, balance_minor, version, created_at, updated_at
FROM wallets_read_model;

CREATE VIEW ledger_entries AS
SELECT event_id, wallet_id, version,
       CASE kind WHEN 1 THEN 'create' WHEN 2 THEN 'credit' WHEN 3 THEN 'debit' WHEN 4 THEN 'transfer_in'
                 ELSE 'transfer_out' END AS type,
       wallex_money(amount, scale) AS amount, amount AS amount_minor,
       wallex_money(balance, scale) AS balance, balance AS balance_minor,
       currency, transfer_id, counterparty AS counterparty_wallet_id, description,
       wallex_time(occurred_us) AS occurred_at, command_id, correlation_id
FROM ledger_rows;

-- Three disjoint parts, so that the condition processed_at IS NULL leaves only what is not published: an index on
-- published_at shows that the first part has no such row, the second starts at the relay's checkpoint, the third is
-- what the relay set aside.
CREATE VIEW outbox AS
SELECT e.position, e.event_id, e.wallet_id AS aggregate_id, e.event_version,
       wallex_event_type(e.event_type) AS event_type, e.partition, e.payload,
       wallex_time(e.created_us) AS created_at, p.published_at AS processed_at
FROM outbox_published p
JOIN outbox_events e ON e.position BETWEEN p.first_position AND p.last_position
WHERE e.position <= (SELECT position FROM projector_checkpoints WHERE consumer_name = 'kafka-publisher' AND partition = 0)
  AND NOT EXISTS (SELECT 1 FROM held_events h WHERE h.consumer_name = 'kafka-publisher' AND h.position = e.position)
UNION ALL
SELECT e.position, e.event_id, e.wallet_id, e.event_version, wallex_event_type(e.event_type), e.partition, e.payload,
       wallex_time(e.created_us), NULL
FROM outbox_events e
WHERE e.position > (SELECT position FROM projector_checkpoints WHERE consumer_name = 'kafka-publisher' AND partition = 0)
UNION ALL
SELECT e.position, e.event_id, e.wallet_id, e.event_version, wallex_event_type(e.event_type), e.partition, e.payload,
       wallex_time(e.created_us), NULL
FROM held_events h
JOIN outbox_events e ON e.position = h.position
WHERE h.consumer_name = 'kafka-publisher'
  AND h.position <= (SELECT position FROM projector_checkpoints WHERE consumer_name = 'kafka-publisher' AND partition = 0);

-- Every event of the outbox for every consumer. Nothing is stored for it: the state follows from what was published,
-- from the version of the read model's row, from the ledger's row, and from what was set aside. For the read model
-- processed_at is when the wallet's row was written last, which is not before the event was.
CREATE VIEW outbox_consumer_processing AS
SELECT 'kafka-publisher' AS consumer_name, e.event_id,
       CASE WHEN h.reason IS NOT NULL THEN 'dead_letter' WHEN h.event_id IS NOT NULL THEN 'held'
            WHEN e.position <= c.position THEN 'completed' ELSE 'pending' END AS status,
       CASE WHEN h.event_id IS NOT NULL THEN coalesce(h.attempts, 0) WHEN e.position <= c.position THEN 1 ELSE 0 END
           AS attempts,
       h.reason AS last_error,
       CASE WHEN h.event_id IS NULL AND e.position <= c.position THEN
           (SELECT p.published_at FROM outbox_published p WHERE p.last_position >= e.position
            ORDER BY p.last_position LIMIT 1) END AS processed_at
FROM outbox_events e
JOIN projector_checkpoints c ON c.consumer_name = 'kafka-publisher' AND c.partition = 0
LEFT JOIN held_events h ON h.consumer_name = 'kafka-publisher' AND h.event_id = e.event_id
UNION ALL
SELECT 'read-model-projector', e.event_id,
       CASE WHEN h.reason IS NOT NULL THEN 'dead_letter' WHEN h.event_id IS NOT NULL THEN 'held'
            WHEN s.version >= e.event_version THEN 'completed' ELSE 'pending' END,
       CASE WHEN h.event_id IS NOT NULL THEN coalesce(h.attempts, 0) WHEN s.version >= e.event_version THEN 1 ELSE 0 END,
       h.reason,
       CASE WHEN h.event_id IS NULL AND s.version >= e.event_version THEN s.projected_at END
FROM outbox_events e
LEFT JOIN wallet_states s ON s.wallet_id = e.wallet_id
LEFT JOIN held_events h ON h.consumer_name = 'read-model-projector' AND h.event_id = e.event_id
UNION ALL
SELECT 'ledger-projector', e.event_id,
       CASE WHEN h.reason IS NOT NULL THEN 'dead_letter' WHEN h.event_id IS NOT NULL THEN 'held'
            WHEN l.version IS NOT NULL THEN 'completed' ELSE 'pending' END,
       CASE WHEN h.event_id IS NOT NULL THEN coalesce(h.attempts, 0) WHEN l.version IS NOT NULL THEN 1 ELSE 0 END,
       h.reason,
       CASE WHEN h.event_id IS NULL THEN l.projected_at END
FROM outbox_events e
LEFT JOIN ledger_rows l ON l.wallet_id = e.wallet_id AND l.version = e.event_version
LEFT JOIN held_events h ON h.consumer_name = 'ledger-projector' AND h.event_id = e.event_id;

CREATE VIEW dead_letters AS
SELECT h.consumer_name, h.event_id, h.wallet_id, h.event_version, wallex_event_type(h.event_type) AS event_type,
       h.partition, h.position, h.attempts, h.reason AS last_error, h.payload, h.held_at AS created_at,
       (SELECT count(*) FROM held_events w
        WHERE w.consumer_name = h.consumer_name AND w.wallet_id = h.wallet_id AND w.event_version > h.event_version)
           AS events_waiting
FROM held_events h
WHERE h.reason IS NOT NULL;
