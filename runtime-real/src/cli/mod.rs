//! The command line: one file per verb.
//!
//! Owns the arguments, their help, and the exit codes (`Exit`). The verbs parse, call the module that does the work,
//! and print what it returns; standard output is for results, standard error for everything else.

// Printing results is what a command line is for.
#![allow(clippy::print_stdout)]

mod config;
mod events;
mod eventstore;
mod load;
mod serve;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Loaded, Profile, Sources};

/// How a verb ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done.
    Done,
    /// 1: the check found something.
    Finding,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: a dependency is unavailable.
    Unavailable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0_u8,
            Exit::Finding => 1,
            Exit::Usage => 2,
            Exit::Unavailable => 3,
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  wallex serve                                       the service on 127.0.0.1:3000, data in ./wallex-data
  wallex load --wallets 1000 --operations 20000 --workers 20
  wallex verify                                      proves the invariants on ./wallex-data
  wallex events --wallet alice --follow              what happens to a wallet, as it happens
  wallex eventstore                                  KurrentDB's protocol on 127.0.0.1:2113
  wallex config print                                every setting, its value and where it came from

Exit codes:
  0  done                       2  wrong usage or configuration
  1  the check found something  3  a dependency is unavailable";

/// A durable wallet service: money in, money out, money between wallets, and their history.
#[derive(Debug, Parser)]
#[command(name = "wallex", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service.
    Serve(serve::ServeArgs),
    /// Put a service under load and check the money at the end.
    Load(load::LoadArgs),
    /// Prove that event log, outbox, read model and ledger agree.
    Verify(verify::VerifyArgs),
    /// Show raw events of the log.
    Events(events::EventsArgs),
    /// Run an event store that speaks KurrentDB's protocol.
    Eventstore(eventstore::EventStoreArgs),
    /// Check or show the configuration.
    Config(config::ConfigArgs),
}

/// Where the configuration comes from; shared by the verbs that read one.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Configured {
    /// Configuration file (TOML). Environment variables and flags go over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the journal and the database [default: ./wallex-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl Configured {
    /// The sources of the configuration, with `flags` of the verb over them: setting, flag, value.
    #[must_use]
    pub(crate) fn sources(&self, flags: Vec<(&'static str, &'static str, String)>) -> Sources {
        let mut all = flags;
        if let Some(directory) = &self.data_dir {
            all.push(("data_dir", "--data-dir", directory.display().to_string()));
        }
        let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        Sources { file: self.config.clone(), environment, flags: all }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// What is wrong with it, naming the setting and its source.
    pub(crate) fn read(&self, flags: Vec<(&'static str, &'static str, String)>) -> Result<Loaded, ConfigError> {
        Loaded::read(&self.sources(flags))
    }

    /// Whether a tool is to look at the servers of a production system, and not at a data directory: a directory that is
    /// named is meant, whatever the profile.
    #[must_use]
    pub(crate) fn means_servers(&self, config: &Config) -> bool {
        self.data_dir.is_none() && config.profile == Profile::Production
    }
}

/// Runs the command line of this process. Wrong usage ends with code 2, help and version with 0.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Load(args) => load::run(&args).into(),
        Verb::Verify(args) => verify::run(&args).into(),
        Verb::Events(args) => events::run(&args).into(),
        Verb::Eventstore(args) => eventstore::run(&args).into(),
        Verb::Config(args) => config::run(&args).into(),
    }
}

/// Says on standard error why a verb failed.
fn complain(trouble: &dyn std::fmt::Display) {
    eprintln!("wallex: {trouble}");
}

/// Writes to standard output; a reader that went away ends the process quietly, as other tools do.
fn emit(bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_an_example() {
        for verb in Cli::command().get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            assert!(help.contains("Example"), "{} has no example:\n{help}", verb.get_name());
        }
    }
}
