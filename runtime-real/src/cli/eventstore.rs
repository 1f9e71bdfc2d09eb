//! `wallex eventstore`: KurrentDB's protocol over an embedded log, as a process of its own.
//!
//! Owns the flags, the line that says it is ready, and the end at SIGTERM or SIGINT; there is no configuration file.
//! The server itself is [`wallex_kurrentdb::server`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use wallex_kurrentdb::server::{Options, Server, ServerError};

use super::{Exit, complain};

const EXAMPLES: &str = "\
Examples:
  wallex eventstore
  wallex eventstore --listen 127.0.0.1:2113 --data-dir /var/lib/wallex-events

KurrentDB's clients connect to kurrentdb://127.0.0.1:2113?tls=false. One node, without users and without encryption:
listen on an address that only trusted machines reach.";

/// Arguments of `wallex eventstore`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EventStoreArgs {
    /// Address and port; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2113")]
    listen: SocketAddr,
    /// Directory of the log, which is made when it is missing. Not the directory of `wallex serve`.
    #[arg(long, value_name = "DIR", default_value = "wallex-eventstore")]
    data_dir: PathBuf,
}

/// Why the event store ended other than by a signal.
#[derive(Debug, thiserror::Error)]
enum EventStoreError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the event store cannot go on: {0}")]
    Io(#[from] std::io::Error),
}

/// Runs the event store until SIGTERM or SIGINT.
pub(super) fn run(args: &EventStoreArgs) -> Exit {
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    // A line that cannot be written (a full disk) is lost; complaining about it would panic whoever wrote it.
    let subscriber = subscriber.log_internal_errors(false);
    // A second subscriber in the same process (tests) is no reason not to serve.
    let _already_set = subscriber.with_max_level(tracing::Level::INFO).try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("eventstore").enable_all().build();
    match runtime.map_err(EventStoreError::Io).and_then(|runtime| runtime.block_on(serve(args))) {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error);
            Exit::Unavailable
        }
    }
}

async fn serve(args: &EventStoreArgs) -> Result<(), EventStoreError> {
    let began = Instant::now();
    // Signals first: one that comes during recovery ends the event store as soon as it could begin.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let address = args.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| EventStoreError::Listen { address, source })?;
    let server = Server::start(listener, &args.data_dir, Options::default()).await?;
    if let Some(torn) = &server.recovered().torn {
        tracing::warn!(segment = torn.segment, offset = torn.offset, bytes = torn.bytes, "a torn end was cut");
    }
    println!(
        "wallex eventstore is ready on http://{} (data in {}, {} events recovered in {} ms)",
        server.address(),
        args.data_dir.display(),
        server.recovered().position,
        began.elapsed().as_millis(),
    );
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
        _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is in flight"),
    }
    Ok(server.stop().await?)
}
