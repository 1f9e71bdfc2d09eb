-- The transfer of the comparison as a stored procedure: one call, one transaction, the guarantees of the service.
--
--   a key takes effect at most once     primary key of transfers; a repeat gets the stored answer
--   both legs or none                   one transaction
--   no balance below zero               check on accounts
--   versions 1, 2, 3, … per wallet      accounts.version, primary key of ledger
--   running balance in the history      ledger.balance
--
-- As fast as that allows: whole cents in a bigint, integer ids, rows locked in id order (no deadlocks), room in the
-- pages of accounts so that updates stay on their page.

create table accounts (
    id bigint primary key,
    owner_id text not null,
    currency text not null,
    balance bigint not null check (balance >= 0),
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
) with (fillfactor = 50);

create table transfers (
    key uuid primary key,
    from_id bigint not null,
    to_id bigint not null,
    amount bigint not null,
    from_balance bigint not null,
    to_balance bigint not null,
    from_version bigint not null,
    to_version bigint not null,
    created_at timestamptz not null
);

create table ledger (
    account_id bigint not null,
    version bigint not null,
    transfer_key uuid not null,
    amount bigint not null,
    balance bigint not null,
    created_at timestamptz not null,
    primary key (account_id, version)
);

create function transfer(p_key uuid, p_from bigint, p_to bigint, p_amount bigint) returns transfers
language plpgsql as $$
declare
    done transfers;
    at timestamptz := clock_timestamp();
begin
    select * into done from transfers where key = p_key;
    if found then
        if (done.from_id, done.to_id, done.amount) is distinct from (p_from, p_to, p_amount) then
            raise exception 'key % was used for another transfer', p_key;
        end if;
        return done;
    end if;
    if p_from < p_to then
        update accounts set balance = balance - p_amount, version = version + 1, updated_at = at
            where id = p_from returning balance, version into done.from_balance, done.from_version;
        update accounts set balance = balance + p_amount, version = version + 1, updated_at = at
            where id = p_to returning balance, version into done.to_balance, done.to_version;
    else
        update accounts set balance = balance + p_amount, version = version + 1, updated_at = at
            where id = p_to returning balance, version into done.to_balance, done.to_version;
        update accounts set balance = balance - p_amount, version = version + 1, updated_at = at
            where id = p_from returning balance, version into done.from_balance, done.from_version;
    end if;
    if done.from_version is null or done.to_version is null then
        raise exception 'no such wallet';
    end if;
    insert into ledger values
        (p_from, done.from_version, p_key, -p_amount, done.from_balance, at),
        (p_to, done.to_version, p_key, p_amount, done.to_balance, at);
    -- The answer is kept with the key. When another attempt under this key was faster, this fails and undoes all of
    -- the above; the client's retry finds the answer.
    insert into transfers values
        (p_key, p_from, p_to, p_amount, done.from_balance, done.to_balance, done.from_version, done.to_version, at)
        returning * into done;
    return done;
end
$$;
