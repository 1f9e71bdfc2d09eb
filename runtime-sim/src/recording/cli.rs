//! `wallex-sim replay-recording`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use wallex_core::id::WalletId;

use super::{ReplayError, Replayed, View, replay};

/// What is replayed, and what of it is shown.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The directory of a run, or the one above it for the newest run
    directory: PathBuf,
    /// Only this step, with the node's state after it as JSON
    #[arg(long, value_name = "STEP")]
    at: Option<u64>,
    /// Only what is about this wallet; of a state only what the node knows of it
    #[arg(long, value_name = "ID", value_parser = |id: &str| WalletId::parse(id).map_err(|error| error.to_string()))]
    wallet: Option<WalletId>,
}

/// Exit code when the node asked for other effects than were recorded.
const NONDETERMINISM: u8 = 6;

/// Replays and shows.
///
/// # Errors
/// When there is no recording, or the output cannot be written.
pub fn main(out: &mut impl Write, arguments: Arguments) -> io::Result<ExitCode> {
    let Arguments { directory, at, wallet } = arguments;
    let mut out = io::BufWriter::new(out);
    let replayed = replay(&directory, &View { at, wallet }, &mut out).map_err(|error| match error {
        ReplayError::Write(error) => error,
        ReplayError::Run(error) => io::Error::other(error),
    })?;
    out.flush()?;
    Ok(match replayed {
        Replayed::Same | Replayed::Partly(_) => ExitCode::SUCCESS,
        Replayed::Differs(_) => ExitCode::from(NONDETERMINISM),
    })
}
