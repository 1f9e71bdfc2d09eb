//! KurrentDB's protocol: a client, an event store on it, and a server over the journal.
