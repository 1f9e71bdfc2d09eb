//! KurrentDB's protocol: a client, an event store on it, and a server over the journal.
//!
//! | module | owns |
//! |---|---|
//! | [`protocol`] | the messages and methods that are used, for both sides |
//! | [`client`] | the connection to a KurrentDB server or cluster |
//! | [`store`] | the event store port on a client |
//! | [`server`] | a server of the protocol over the embedded log |

pub mod client;
pub mod protocol;
pub mod server;
pub mod store;
