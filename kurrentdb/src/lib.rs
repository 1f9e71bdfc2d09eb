//! KurrentDB's protocol: a client, an event store on it, and a server over the journal.
//!
//! | module | owns |
//! |---|---|
//! | [`protocol`] | the messages and methods that are used, for both sides |

pub mod protocol;
