//! A client of KurrentDB: finds the member that leads, stays connected, and tells how calls ended.
//!
//! A call never waits longer than its own timeout. While there is no connection, calls wait for one as long as that, and
//! then fail as *known not done*; a task of the client looks for the leader again, with backoff and jitter, for ever.
//! Nothing is retried in here: what may have happened is told as such ([`outcome`]), and the caller decides.
//!
//! | module | owns |
//! |---|---|
//! | [`settings`] | connection strings |
//! | [`connection`] | the connection, and the task that renews it |
//! | `discovery` | endpoints, version gate, who leads |
//! | `call` | one call: deadline, credentials, trouble reported |
//! | [`outcome`] | the classes of errors |

pub(crate) mod backoff;
mod call;
pub mod connection;
mod discovery;
pub mod outcome;
pub mod settings;
#[cfg(test)]
mod settings_tests;

pub use call::Answers;
pub use connection::{Client, ConnectError, Timing};
pub use outcome::{CallError, Class};
pub use settings::{ConnectionString, ConnectionStringError, Host};
