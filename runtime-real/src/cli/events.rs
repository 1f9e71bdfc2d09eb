//! `wallex events`: the raw events of the log, read beside a running service or without one: a journal or KurrentDB.
//!
//! Only reads, from the first event on, in log order. Which of the two it reads follows from the arguments and the
//! configuration (`Configured`); JSON lines come from [`crate::http`], so they look as the service writes them.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use wallex_core::event::{Event, Recorded};
use wallex_core::id::{Position, WalletId};
use wallex_journal::{OsStorage, Reader};

use crate::config::Config;
use crate::layout;
use crate::server_log::ServerLog;

use super::{Configured, Exit, complain, emit};

const EXAMPLES: &str = "\
Examples:
  wallex events --wallet alice
  wallex events --follow --json | jq .data.amount
  wallex events --data-dir /var/lib/wallex --json > events.jsonl
  wallex events --config production.toml --follow      from KurrentDB, as the file names it

JSON lines have the shape of GET /wallets/{id}/events: eventId, stream, version, type, schemaVersion, occurredAt, data,
metadata.";

/// Events read at once.
const CHUNK: usize = 4_096;
/// How often the end of the log is looked at while following.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Arguments of `wallex events`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    configured: Configured,
    /// Only the events of this wallet.
    #[arg(long, value_name = "ID", value_parser = wallet_id)]
    wallet: Option<WalletId>,
    /// Wait for more at the end of the log, until interrupted.
    #[arg(long)]
    follow: bool,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

fn wallet_id(text: &str) -> Result<WalletId, String> {
    WalletId::parse(text).map_err(|error| error.to_string())
}

/// Shows events.
pub(super) fn run(args: &EventsArgs) -> Exit {
    let loaded = match args.configured.read(Vec::new()) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let opened = if args.configured.means_servers(&loaded.config) {
        Source::on_servers(&loaded.config)
    } else {
        Source::in_directory(&loaded.config.data_dir)
    };
    let source = match opened {
        Ok(source) => source,
        Err(error) => {
            complain(&error);
            return Exit::Unavailable;
        }
    };
    let mut after = Position(0);
    loop {
        let events: Vec<Recorded> = match source.read(after) {
            Ok(events) => events,
            Err(error) => {
                complain(&error);
                return Exit::Unavailable;
            }
        };
        let Some(last) = events.last() else {
            if !args.follow {
                return Exit::Done;
            }
            std::thread::sleep(FOLLOW_INTERVAL);
            if let Err(error) = source.refresh() {
                complain(&error);
                return Exit::Unavailable;
            }
            continue;
        };
        after = last.position;
        if let Err(error) = show(args, &events) {
            // A reader that went away (`| head`) has seen what it wanted.
            return if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Unavailable };
        }
    }
}

/// Where the events are.
enum Source {
    Journal(Reader<OsStorage>),
    Server(Runtime, ServerLog),
}

impl Source {
    fn in_directory(directory: &Path) -> Result<Self, Box<dyn Error>> {
        if !directory.is_dir() {
            return Err(format!("there is no data directory {}", directory.display()).into());
        }
        Ok(Self::Journal(layout::read_journal(directory)?))
    }

    fn on_servers(config: &Config) -> Result<Self, Box<dyn Error>> {
        // The connection is kept by a task of its own.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let log = runtime.block_on(ServerLog::connect(config))?;
        Ok(Self::Server(runtime, log))
    }

    /// What comes after a position; nothing at the end.
    fn read(&self, after: Position) -> Result<Vec<Recorded>, Box<dyn Error>> {
        Ok(match self {
            Self::Journal(log) => log.read_all(after, CHUNK)?,
            Self::Server(runtime, log) => runtime.block_on(log.read_all(after, CHUNK))?,
        })
    }

    /// Looks for a new end.
    fn refresh(&self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Journal(log) => Ok(log.refresh().map(drop)?),
            Self::Server(..) => Ok(()),
        }
    }
}

fn show(args: &EventsArgs, events: &[Recorded]) -> io::Result<()> {
    let mut out = Vec::new();
    for Recorded { position, event } in events {
        if args.wallet.as_ref().is_some_and(|wanted| *wanted != event.wallet_id) {
            continue;
        }
        if args.json {
            crate::http::render::event(event, &mut out);
        } else {
            line(*position, event, &mut out);
        }
        out.push(b'\n');
    }
    emit(&out)
}

/// One event for people: when, where in the log, whose, what, how much, and what was left.
fn line(position: Position, event: &Event, out: &mut Vec<u8>) {
    let kind = event.event_type().name();
    let text = format!(
        "{} #{:<8} {} v{:<5} {kind:<14} {:>14} {} balance {}",
        event.occurred_at,
        position.0,
        event.wallet_id,
        event.version.0,
        event.amount.to_string(),
        event.currency,
        event.balance
    );
    out.extend_from_slice(text.as_bytes());
    if let Some(leg) = event.transfer() {
        let direction = if kind == "WalletDebited" { "to" } else { "from" };
        out.extend_from_slice(format!("  {direction} {}", leg.counterparty).as_bytes());
    }
    if let Some(description) = &event.description {
        out.extend_from_slice(format!("  {description:?}").as_bytes());
    }
}
