//! What the benches and the programs of the load comparison share.
//!
//! | module | owns |
//! |---|---|
//! | [`requests`] | requests over a set of wallets |
//! | [`machine`] | a command machine whose effects are answered at once and in memory |
//! | [`events`] | events as a log would hold them |
//! | [`topic`] | a pipeline whose effects are answered at once and in memory |
//! | [`process`] | what the kernel says about this process |
//! | [`wire`] | HTTP as the load generator speaks it |
//! | [`report`] | the table, the chart and the JSON of the load comparison |

pub mod events;
pub mod machine;
pub mod process;
pub mod report;
pub mod requests;
pub mod topic;
pub mod wire;
