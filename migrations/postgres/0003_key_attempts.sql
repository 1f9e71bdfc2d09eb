-- Who holds a pending key: the id of the attempt that reserved it or took it over. command_id stays that of the first one.
ALTER TABLE idempotency_keys ADD COLUMN attempt UUID;
UPDATE idempotency_keys SET attempt = command_id;
ALTER TABLE idempotency_keys ALTER COLUMN attempt SET NOT NULL;
