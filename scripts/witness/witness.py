"""The Python client of KurrentDB writes, conflicts, reads and subscribes; see scripts/witness.sh.

Usage: witness.py URL. With WITNESS_WALLETS=1 the server is expected to hold the wallets a and b and a transfer between
them, and nothing else. Every step is printed; the first that fails ends the program with a traceback.
"""

import json
import os
import sys
import uuid

from kurrentdbclient import KurrentDBClient, NewEvent, NewEvents, StreamState
from kurrentdbclient.exceptions import NotFoundError, StreamIsDeletedError, WrongCurrentVersionError

DEADLINE_SECONDS = 60


def event(number):
    data = json.dumps({"number": number}).encode()
    return NewEvent(type="Counted", data=data, metadata=b'{"by": "python"}', id=uuid.uuid4())


def numbers(events):
    return [json.loads(each.data)["number"] for each in events]


def refused(expected, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except expected:
        return
    raise AssertionError(f"{call.__name__} was not refused with {expected}")


def reads_wallets(client):
    legs = {}
    for name in ("a", "b"):
        events = client.get_stream(f"wallet-{name}")
        assert [each.type for each in events][0] == "WalletCreated", events
        assert [json.loads(each.data)["version"] for each in events] == [1, 2], events
        legs[name] = events[1]
    debit, credit = (json.loads(legs[name].data) for name in ("a", "b"))
    assert (legs["a"].type, legs["b"].type) == ("WalletDebited", "WalletCredited"), legs
    assert debit["transferId"] == credit["transferId"] and debit["amount"] == credit["amount"], legs
    commands = {json.loads(leg.metadata)["commandId"] for leg in legs.values()}
    assert len(commands) == 1, "both legs come from one command"


def appends_and_conflicts(client, stream):
    first = event(1)
    client.append_to_stream(stream, events=first, current_version=StreamState.NO_STREAM)
    client.append_to_stream(stream, events=[event(2), event(3)], current_version=0)
    client.append_to_stream(stream, events=event(4), current_version=StreamState.ANY)
    client.append_to_stream(stream, events=first, current_version=StreamState.NO_STREAM)
    for stale in (StreamState.NO_STREAM, 0, 9):
        refused(WrongCurrentVersionError, client.append_to_stream, stream, events=event(5), current_version=stale)
        refused(WrongCurrentVersionError, client.append_to_stream, stream, events=[event(5)], current_version=stale)
    assert client.get_current_version(stream) == 3


def reads(client, stream):
    assert numbers(client.get_stream(stream)) == [1, 2, 3, 4]
    assert numbers(client.get_stream(stream, backwards=True, limit=2)) == [4, 3]
    assert numbers(client.get_stream(stream, stream_position=1, limit=2)) == [2, 3]
    assert all(json.loads(each.metadata) == {"by": "python"} for each in client.get_stream(stream))
    everything = list(client.read_all(filter_include=[stream], filter_by_stream_name=True))
    assert numbers(everything) == [1, 2, 3, 4]
    positions = [each.commit_position for each in everything]
    assert positions == sorted(set(positions)), positions
    after_two = client.read_all(commit_position=positions[2], filter_include=[stream], filter_by_stream_name=True)
    assert numbers(after_two) == [3, 4]
    assert client.get_commit_position() >= positions[-1]
    refused(NotFoundError, client.get_stream, f"{stream}-missing")


def subscribes(client, stream):
    with client.subscribe_to_stream(stream, timeout=DEADLINE_SECONDS) as subscription:
        assert numbers(next(subscription) for _ in range(4)) == [1, 2, 3, 4]
        client.append_to_stream(stream, events=event(5), current_version=3)
        assert numbers([next(subscription)]) == [5]
    included = {"filter_include": [stream], "filter_by_stream_name": True, "timeout": DEADLINE_SECONDS}
    with client.subscribe_to_all(**included) as subscription:
        assert numbers(next(subscription) for _ in range(5)) == [1, 2, 3, 4, 5]
        client.append_to_stream(stream, events=event(6), current_version=4)
        assert numbers([next(subscription)]) == [6]


def appends_to_several(client, stream):
    here, there = f"{stream}-here", f"{stream}-there"
    none = StreamState.NO_STREAM
    both = [NewEvents(here, [event(1)], none), NewEvents(there, [event(2), event(3)], none)]
    client.multi_append_to_stream(both)
    client.multi_append_to_stream(both)
    stale = [NewEvents(here, [event(4)], 0), NewEvents(there, [event(5)], 0)]
    refused(WrongCurrentVersionError, client.multi_append_to_stream, stale)
    assert numbers(client.get_stream(here)) == [1], "all or nothing"
    assert numbers(client.get_stream(there)) == [2, 3]


def deletes(client, stream):
    client.delete_stream(stream, current_version=5)
    refused(NotFoundError, client.get_stream, stream)
    client.append_to_stream(stream, events=event(7), current_version=StreamState.ANY)
    assert numbers(client.get_stream(stream)) == [7], "a deleted stream may be written again"
    client.tombstone_stream(stream, current_version=StreamState.ANY)
    refused(StreamIsDeletedError, client.get_stream, stream)


def main():
    client = KurrentDBClient(uri=sys.argv[1] if len(sys.argv) > 1 else os.environ["WITNESS_URL"])
    stream = f"python-{uuid.uuid4()}"
    try:
        if os.environ.get("WITNESS_WALLETS") == "1":
            reads_wallets(client)
            print("ok: reads wallets and a transfer")
        for step in (appends_and_conflicts, reads, subscribes, appends_to_several, deletes):
            step(client, stream)
            print(f"ok: {step.__name__.replace('_', ' ')}")
    finally:
        client.close()


if __name__ == "__main__":
    main()
