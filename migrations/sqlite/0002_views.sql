-- The supported names, with readable columns. Times are RFC 3339 text, ids are hyphenated UUIDs; money is exact decimal
-- text, and beside it the integer of minor units, which SUM() adds exactly.

CREATE VIEW wallets_read_model AS
SELECT n.wallet_id,
       s.owner_id,
       n.currency,
       CASE n.scale
           WHEN 0 THEN CAST(s.balance AS TEXT)
           WHEN 2 THEN printf('%d.%02d', s.balance / 100, s.balance % 100)
           WHEN 3 THEN printf('%d.%03d', s.balance / 1000, s.balance % 1000)
           ELSE printf('%d.%04d', s.balance / 10000, s.balance % 10000)
       END AS balance,
       s.balance AS balance_minor,
       s.version,
       strftime('%Y-%m-%dT%H:%M:%S', s.created_us / 1000000, 'unixepoch') || printf('.%06dZ', s.created_us % 1000000)
           AS created_at,
       strftime('%Y-%m-%dT%H:%M:%S', s.updated_us / 1000000, 'unixepoch') || printf('.%06dZ', s.updated_us % 1000000)
           AS updated_at
FROM wallet_states s
JOIN wallet_numbers n ON n.wallet = s.wallet;

CREATE VIEW wallets AS
SELECT wallet_id AS id, owner_id, currency, balance, balance_minor, version, created_at, updated_at
FROM wallets_read_model;

CREATE VIEW ledger_entries AS
SELECT lower(printf('%s-%s-%s-%s-%s', hex(substr(l.event_id, 1, 4)), hex(substr(l.event_id, 5, 2)), hex(substr(l.event_id, 7, 2)),
             hex(substr(l.event_id, 9, 2)), hex(substr(l.event_id, 11)))) AS event_id,
       n.wallet_id,
       l.version,
       CASE l.kind
           WHEN 1 THEN 'create' WHEN 2 THEN 'credit' WHEN 3 THEN 'debit' WHEN 4 THEN 'transfer_in' ELSE 'transfer_out'
       END AS type,
       CASE WHEN l.amount < 0 THEN '-' ELSE '' END || CASE n.scale
           WHEN 0 THEN CAST(abs(l.amount) AS TEXT)
           WHEN 2 THEN printf('%d.%02d', abs(l.amount) / 100, abs(l.amount) % 100)
           WHEN 3 THEN printf('%d.%03d', abs(l.amount) / 1000, abs(l.amount) % 1000)
           ELSE printf('%d.%04d', abs(l.amount) / 10000, abs(l.amount) % 10000)
       END AS amount,
       l.amount AS amount_minor,
       CASE n.scale
           WHEN 0 THEN CAST(l.balance AS TEXT)
           WHEN 2 THEN printf('%d.%02d', l.balance / 100, l.balance % 100)
           WHEN 3 THEN printf('%d.%03d', l.balance / 1000, l.balance % 1000)
           ELSE printf('%d.%04d', l.balance / 10000, l.balance % 10000)
       END AS balance,
       l.balance AS balance_minor,
       n.currency,
       CASE
           WHEN l.transfer_id IS NOT NULL THEN lower(printf('%s-%s-%s-%s-%s', hex(substr(l.transfer_id, 1, 4)), hex(substr(l.transfer_id, 5, 2)), hex(substr(l.transfer_id, 7, 2)),
             hex(substr(l.transfer_id, 9, 2)), hex(substr(l.transfer_id, 11))))
           WHEN l.kind = 5 THEN lower(printf('%s-%s-%s-%s-%s', hex(substr(l.event_id, 1, 4)), hex(substr(l.event_id, 5, 2)), hex(substr(l.event_id, 7, 2)),
             hex(substr(l.event_id, 9, 2)), hex(substr(l.event_id, 11))))
       END AS transfer_id,
       c.wallet_id AS counterparty_wallet_id,
       l.description,
       strftime('%Y-%m-%dT%H:%M:%S', l.occurred_us / 1000000, 'unixepoch') || printf('.%06dZ', l.occurred_us % 1000000)
           AS occurred_at,
       CASE
           WHEN l.command_id IS NOT NULL THEN lower(printf('%s-%s-%s-%s-%s', hex(substr(l.command_id, 1, 4)), hex(substr(l.command_id, 5, 2)), hex(substr(l.command_id, 7, 2)),
             hex(substr(l.command_id, 9, 2)), hex(substr(l.command_id, 11))))
           ELSE lower(printf('%s-%s-%s000-%s-%s', hex(substr(l.event_id, 1, 4)), hex(substr(l.event_id, 5, 2)),
             substr(hex(substr(l.event_id, 7, 1)), 1, 1), hex(substr(l.event_id, 9, 2)), hex(substr(l.event_id, 11))))
       END AS command_id,
       l.correlation_id
FROM wallet_numbers n
CROSS JOIN ledger_epochs p
CROSS JOIN ledger_rows l ON l.epoch = p.epoch AND l.wallet = n.wallet
LEFT JOIN wallet_numbers c ON c.wallet = l.counterparty;

-- Every event of the outbox in readable columns; payload is the JSON that the topic carries.
CREATE VIEW outbox_readable AS
SELECT e.position,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(e.event_id, 1, 4)), hex(substr(e.event_id, 5, 2)), hex(substr(e.event_id, 7, 2)),
             hex(substr(e.event_id, 9, 2)), hex(substr(e.event_id, 11)))) AS event_id,
       n.wallet_id AS aggregate_id,
       e.event_version,
       CASE e.event_type WHEN 1 THEN 'WalletCreated' WHEN 2 THEN 'WalletCredited' ELSE 'WalletDebited' END AS event_type,
       '{"data":{"schemaVersion":2,"walletId":"' || n.wallet_id || '","version":' || e.event_version || ',"occurredAt":"'
           || strftime('%Y-%m-%dT%H:%M:%S', e.created_us / 1000000, 'unixepoch') || printf('.%06dZ', e.created_us % 1000000)
           || '","currency":"' || n.currency || '","amount":"' || CASE n.scale
               WHEN 0 THEN CAST(e.amount AS TEXT)
               WHEN 2 THEN printf('%d.%02d', e.amount / 100, e.amount % 100)
               WHEN 3 THEN printf('%d.%03d', e.amount / 1000, e.amount % 1000)
               ELSE printf('%d.%04d', e.amount / 10000, e.amount % 10000)
           END
           || '","balance":"' || CASE n.scale
               WHEN 0 THEN CAST(e.balance AS TEXT)
               WHEN 2 THEN printf('%d.%02d', e.balance / 100, e.balance % 100)
               WHEN 3 THEN printf('%d.%03d', e.balance / 1000, e.balance % 1000)
               ELSE printf('%d.%04d', e.balance / 10000, e.balance % 10000)
           END || '"'
           || coalesce(',"ownerId":"' || e.owner_id || '"', '')
           || coalesce(',"transferId":"' || CASE WHEN e.counterparty IS NOT NULL THEN
             lower(printf('%s-%s-%s-%s-%s', hex(substr(coalesce(e.transfer_id, e.event_id), 1, 4)), hex(substr(coalesce(e.transfer_id, e.event_id), 5, 2)), hex(substr(coalesce(e.transfer_id, e.event_id), 7, 2)),
             hex(substr(coalesce(e.transfer_id, e.event_id), 9, 2)), hex(substr(coalesce(e.transfer_id, e.event_id), 11))))
             END || '","counterpartyWalletId":"' || (SELECT c.wallet_id FROM wallet_numbers c WHERE c.wallet = e.counterparty) || '"', '')
           || CASE WHEN e.description IS NULL THEN '' ELSE ',"description":' || json_quote(e.description) END
           || '},"metadata":{"commandId":"' || CASE
               WHEN e.command_id IS NOT NULL THEN lower(printf('%s-%s-%s-%s-%s', hex(substr(e.command_id, 1, 4)), hex(substr(e.command_id, 5, 2)), hex(substr(e.command_id, 7, 2)),
             hex(substr(e.command_id, 9, 2)), hex(substr(e.command_id, 11))))
               ELSE lower(printf('%s-%s-%s000-%s-%s', hex(substr(e.event_id, 1, 4)), hex(substr(e.event_id, 5, 2)),
                 substr(hex(substr(e.event_id, 7, 1)), 1, 1), hex(substr(e.event_id, 9, 2)), hex(substr(e.event_id, 11))))
           END || '","correlationId":"' || e.correlation_id
           || coalesce('","traceparent":"' || e.trace_parent, '') || '"}}' AS payload,
       strftime('%Y-%m-%dT%H:%M:%S', e.created_us / 1000000, 'unixepoch') || printf('.%06dZ', e.created_us % 1000000) AS created_at
FROM outbox_events e
JOIN wallet_numbers n ON n.wallet = e.wallet;

-- Three disjoint parts, so that the condition processed_at IS NULL leaves only what is not published: an index on
-- published_at shows that the first part has no such row, the second starts at the relay's checkpoint, the third is
-- what the relay set aside.
CREATE VIEW outbox AS
SELECT e.position, e.event_id, e.aggregate_id, e.event_version, e.event_type, e.payload, e.created_at,
       p.published_at AS processed_at
FROM outbox_published p
JOIN outbox_readable e ON e.position BETWEEN p.first_position AND p.last_position
WHERE e.position <= (SELECT position FROM projector_checkpoints WHERE consumer_name = 'kafka-publisher' AND partition = 0)
  AND NOT EXISTS (SELECT 1 FROM held_events h WHERE h.consumer_name = 'kafka-publisher' AND h.position = e.position)
UNION ALL
SELECT e.position, e.event_id, e.aggregate_id, e.event_version, e.event_type, e.payload, e.created_at, NULL
FROM outbox_readable e
WHERE e.position > (SELECT position FROM projector_checkpoints WHERE consumer_name = 'kafka-publisher' AND partition = 0)
UNION ALL
SELECT e.position, e.event_id, e.aggregate_id, e.event_version, e.event_type, e.payload, e.created_at, NULL
FROM held_events h
JOIN outbox_readable e ON e.position = h.position
WHERE h.consumer_name = 'kafka-publisher'
  AND h.position <= (SELECT position FROM projector_checkpoints WHERE consumer_name = 'kafka-publisher' AND partition = 0);

-- Every event of the outbox for every consumer. Nothing is stored for it: the state follows from what was published,
-- from the version of the read model's row, from the ledger's checkpoint, and from what was set aside.
CREATE VIEW outbox_consumer_processing AS
SELECT 'kafka-publisher' AS consumer_name,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(e.event_id, 1, 4)), hex(substr(e.event_id, 5, 2)), hex(substr(e.event_id, 7, 2)),
             hex(substr(e.event_id, 9, 2)), hex(substr(e.event_id, 11)))) AS event_id,
       CASE
           WHEN h.reason IS NOT NULL THEN 'dead_letter'
           WHEN h.event_id IS NOT NULL THEN 'held'
           WHEN e.position <= (SELECT position FROM projector_checkpoints
                WHERE consumer_name = 'kafka-publisher' AND partition = 0) THEN 'completed'
           ELSE 'pending'
       END AS status,
       CASE WHEN h.event_id IS NOT NULL THEN coalesce(h.attempts, 0) WHEN e.position <= (SELECT position FROM projector_checkpoints
                WHERE consumer_name = 'kafka-publisher' AND partition = 0) THEN 1 ELSE 0 END AS attempts,
       h.reason AS last_error,
       CASE WHEN h.event_id IS NULL AND e.position <= (SELECT position FROM projector_checkpoints
                WHERE consumer_name = 'kafka-publisher' AND partition = 0) THEN
           (SELECT p.published_at FROM outbox_published p WHERE p.last_position >= e.position ORDER BY p.last_position LIMIT 1)
       END AS processed_at
FROM outbox_events e
LEFT JOIN held_events h ON h.consumer_name = 'kafka-publisher' AND h.event_id = e.event_id
UNION ALL
SELECT 'read-model-projector' AS consumer_name,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(e.event_id, 1, 4)), hex(substr(e.event_id, 5, 2)), hex(substr(e.event_id, 7, 2)),
             hex(substr(e.event_id, 9, 2)), hex(substr(e.event_id, 11)))) AS event_id,
       CASE
           WHEN h.reason IS NOT NULL THEN 'dead_letter'
           WHEN h.event_id IS NOT NULL THEN 'held'
           WHEN m.version >= e.event_version THEN 'completed'
           ELSE 'pending'
       END AS status,
       CASE WHEN h.event_id IS NOT NULL THEN coalesce(h.attempts, 0) WHEN m.version >= e.event_version THEN 1 ELSE 0 END AS attempts,
       h.reason AS last_error,
       CASE WHEN h.event_id IS NULL AND m.version >= e.event_version THEN
           (SELECT s.processed_at FROM projector_steps s
            WHERE s.consumer_name = 'read-model-projector' AND s.last_position >= e.position
              AND s.partition = (SELECT partition FROM wallet_numbers n WHERE n.wallet = e.wallet)
            ORDER BY s.last_position LIMIT 1)
       END AS processed_at
FROM outbox_events e
LEFT JOIN wallet_states m ON m.wallet = e.wallet
LEFT JOIN held_events h ON h.consumer_name = 'read-model-projector' AND h.event_id = e.event_id
UNION ALL
SELECT 'ledger-projector' AS consumer_name,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(e.event_id, 1, 4)), hex(substr(e.event_id, 5, 2)), hex(substr(e.event_id, 7, 2)),
             hex(substr(e.event_id, 9, 2)), hex(substr(e.event_id, 11)))) AS event_id,
       CASE
           WHEN h.reason IS NOT NULL THEN 'dead_letter'
           WHEN h.event_id IS NOT NULL THEN 'held'
           WHEN e.position <= c.position THEN 'completed'
           ELSE 'pending'
       END AS status,
       CASE WHEN h.event_id IS NOT NULL THEN coalesce(h.attempts, 0) WHEN e.position <= c.position THEN 1 ELSE 0 END AS attempts,
       h.reason AS last_error,
       CASE WHEN h.event_id IS NULL AND e.position <= c.position THEN
           (SELECT s.processed_at FROM projector_steps s
            WHERE s.consumer_name = 'ledger-projector' AND s.last_position >= e.position
              AND s.partition = (SELECT partition FROM wallet_numbers n WHERE n.wallet = e.wallet)
            ORDER BY s.last_position LIMIT 1)
       END AS processed_at
FROM outbox_events e
JOIN wallet_numbers n ON n.wallet = e.wallet
LEFT JOIN projector_checkpoints c ON c.consumer_name = 'ledger-projector' AND c.partition = n.partition
LEFT JOIN held_events h ON h.consumer_name = 'ledger-projector' AND h.event_id = e.event_id;

CREATE VIEW dead_letters AS
SELECT h.consumer_name,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(h.event_id, 1, 4)), hex(substr(h.event_id, 5, 2)), hex(substr(h.event_id, 7, 2)),
             hex(substr(h.event_id, 9, 2)), hex(substr(h.event_id, 11)))) AS event_id,
       h.wallet_id, h.event_version,
       CASE h.event_type WHEN 1 THEN 'WalletCreated' WHEN 2 THEN 'WalletCredited' WHEN 3 THEN 'WalletDebited' END
           AS event_type,
       h.partition, h.position, h.attempts, h.reason AS last_error, h.payload, h.held_at AS created_at,
       (SELECT count(*) FROM held_events w
        WHERE w.consumer_name = h.consumer_name AND w.wallet_id = h.wallet_id AND w.event_version > h.event_version)
           AS events_waiting
FROM held_events h
WHERE h.reason IS NOT NULL;
