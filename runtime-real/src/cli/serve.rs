//! `wallex serve`: the service, from the first log line to the last acknowledged request.
//!
//! Owns the order: configuration, listener, profile, HTTP, the line that says it is ready; at the end HTTP first, which
//! finishes what is in flight, then everything behind it. Meanwhile it deletes what is beyond its retention. What runs
//! is left to [`crate::profile`].

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use wallex_core::effect::Completion;

use super::{Configured, Exit, complain};
use crate::config::{Config, LogFormat};
use crate::database::Database;
use crate::driver::now;
use crate::flight::FlightRecorder;
use crate::http::{Parts, Service};
use crate::profile::{Running, StartError};

const EXAMPLES: &str = "\
Examples:
  wallex serve
  wallex serve --listen 0.0.0.0:3000 --data-dir /var/lib/wallex
  wallex serve --config wallex.toml";

/// How often rows beyond their retention are deleted.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// Rows deleted in one transaction.
const RETENTION_ROWS: usize = 1_000;

/// Arguments of `wallex serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    configured: Configured,
    /// Which technologies to run on: embedded or production.
    #[arg(long)]
    profile: Option<String>,
    /// Address and port of the HTTP interface; port 0 takes any free one [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Record what the core is fed, in a bounded ring of files below this directory, for `wallex-sim replay-recording`.
    #[arg(long, value_name = "DIR")]
    flight_recorder: Option<PathBuf>,
}

/// Why the service ended other than by a signal.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the service cannot go on: {0}")]
    Io(#[from] std::io::Error),
}

impl ServeError {
    /// A wrong setting is for whoever wrote it, everything else for whoever runs the rest.
    fn exit(&self) -> Exit {
        match self {
            Self::Start(StartError::Setting { .. }) => Exit::Usage,
            Self::Start(_) | Self::Listen { .. } | Self::Io(_) => Exit::Unavailable,
        }
    }
}

/// Runs the service until SIGTERM or SIGINT.
pub(super) fn run(args: ServeArgs) -> ExitCode {
    let mut flags = Vec::new();
    flags.extend(args.profile.map(|profile| ("profile", "--profile", profile)));
    flags.extend(args.listen.map(|listen| ("listen", "--listen", listen)));
    let config = match args.configured.read(flags) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            complain(&error);
            return Exit::Usage.into();
        }
    };
    start_logging(&config);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("wallex-main").enable_all().build();
    let recorder = FlightRecorder::new(args.flight_recorder.as_deref());
    let ended = runtime.map_err(ServeError::Io).and_then(|runtime| runtime.block_on(serve(Arc::new(config), recorder)));
    match ended {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            complain(&error);
            error.exit().into()
        }
    }
}

async fn serve(config: Arc<Config>, recorder: FlightRecorder) -> Result<(), ServeError> {
    let began = Instant::now();
    // Signals first: one that comes during recovery ends the service as soon as it could begin.
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let address = config.listen;
    let listener = TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let running = Running::start(&config, address, recorder).await?;
    let service = Arc::new(Service::new(Parts {
        engine: running.engine(),
        gauges: running.gauges(),
        pipeline: running.pipeline(),
        log: running.log(),
        queries: running.queries(),
        servers: running.servers(),
        telemetry: running.telemetry(),
        config: Arc::clone(&config),
    }));
    let (stop, stopping) = watch::channel(false);
    let http = {
        let service = Arc::clone(&service);
        std::thread::Builder::new()
            .name("wallex-accept".to_owned())
            .spawn(move || crate::http::serve(&service, listener, stopping))?
    };
    // Whoever reads it may be gone.
    let _unread = writeln!(
        std::io::stdout(),
        "wallex is ready on http://{address} ({} in {} ms), dashboard at http://{address}/dashboard",
        running.describe(&config),
        began.elapsed().as_millis(),
    );
    tokio::select! {
        signal = signals.next() => tracing::info!("{signal}: finishing what is in flight"),
        () = keep_retention(running.database(), config.outbox.retention_hours) => {}
        () = ended(&http) => tracing::error!("the HTTP interface has ended by itself"),
    }
    // Whoever sends requests here learns from `/health/ready` that it should not, before a connection is refused.
    service.begin_drain();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(config.http.drain_delay_ms)) => {}
        signal = signals.next() => tracing::info!("{signal} again: no more requests are taken"),
        () = ended(&http) => {}
    }
    stop.send_replace(true);
    let served = tokio::task::spawn_blocking(move || http.join()).await;
    running.stop().await;
    match served {
        Ok(Ok(served)) => Ok(served?),
        Ok(Err(_)) | Err(_) => Err(ServeError::Io(std::io::Error::other("a thread of the HTTP interface panicked"))),
    }
}

/// What ends the service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Comes back when the thread is over, which it should not be before it is told.
async fn ended<T>(thread: &std::thread::JoinHandle<T>) {
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Deletes outbox rows that were published long ago, and idempotency keys that have expired, for ever.
async fn keep_retention(database: Database, hours: u32) {
    let mut due = tokio::time::interval(RETENTION_INTERVAL);
    loop {
        due.tick().await;
        let before = now().minus(Duration::from_secs(u64::from(hours) * 3_600));
        while let Completion::Done(deleted) = database.delete_published_outbox(before, RETENTION_ROWS).await {
            if deleted < RETENTION_ROWS as u64 {
                break;
            }
        }
        while let Completion::Done(deleted) = database.delete_expired_keys(now(), RETENTION_ROWS).await {
            if deleted < RETENTION_ROWS as u64 {
                break;
            }
        }
    }
}

fn start_logging(config: &Config) {
    let builder = tracing_subscriber::fmt().with_max_level(tracing_level(config)).with_writer(std::io::stderr);
    // A line that cannot be written (a full disk) is lost; complaining about it would panic whoever wrote it.
    let builder = builder.log_internal_errors(false).with_target(false);
    // A second subscriber in the same process (tests) is no reason not to serve.
    let _already_set = match config.log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    };
}

fn tracing_level(config: &Config) -> tracing::Level {
    use crate::config::LogLevel;
    match config.log.level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    }
}
