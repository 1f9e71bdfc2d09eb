//! `wallex serve`: arguments.

use std::process::ExitCode;

use clap::Args;

use super::{Configured, Exit, complain};

const EXAMPLES: &str = "\
Examples:
  wallex serve
  wallex serve --listen 0.0.0.0:3000 --data-dir /var/lib/wallex
  wallex serve --config wallex.toml";

/// Arguments of `wallex serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    configured: Configured,
    /// Which technologies to run on: embedded.
    #[arg(long)]
    profile: Option<String>,
    /// Address and port of the HTTP interface; port 0 takes any free one [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Runs the service until SIGTERM or SIGINT.
pub(super) fn run(args: ServeArgs) -> ExitCode {
    let mut flags = Vec::new();
    flags.extend(args.profile.map(|profile| ("profile", "--profile", profile)));
    flags.extend(args.listen.map(|listen| ("listen", "--listen", listen)));
    match args.configured.read(flags) {
        Ok(_) => Exit::Unavailable.into(),
        Err(error) => {
            complain(&error);
            Exit::Usage.into()
        }
    }
}
