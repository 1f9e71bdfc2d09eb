//! `wallex config check` and `wallex config print`.

use clap::{Args, Subcommand};

use super::{Configured, Exit, complain, emit};

const EXAMPLES: &str = "\
Examples:
  wallex config check --config wallex.toml      is it valid? every mistake is named, with its place
  WALLEX_LISTEN=0.0.0.0:80 wallex config print  the effective configuration, and the source of each value
  wallex config print > wallex.toml             a file to start from";

/// Arguments of `wallex config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether the configuration is valid.
    Check(Configured),
    /// Show the effective configuration as a file, with the source of each value.
    Print(Configured),
}

/// Checks or prints.
pub(super) fn run(args: &ConfigArgs) -> Exit {
    let (Action::Check(configured) | Action::Print(configured)) = &args.action;
    let loaded = match configured.read(Vec::new()) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let text = match &args.action {
        Action::Check(_) => "the configuration is valid\n".to_owned(),
        Action::Print(_) => loaded.print(),
    };
    // A reader that went away has seen what it wanted.
    let _ = emit(text.as_bytes());
    Exit::Done
}
