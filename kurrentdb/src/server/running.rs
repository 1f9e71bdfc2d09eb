//! The running server: its listener, its connections, and its end.
//!
//! One port for gRPC (HTTP/2 without encryption) and the health check (HTTP/1.1 as well). Connections are bounded, have
//! no delay for small packets, and are given up when the other side no longer answers pings. At the end calls in flight
//! finish, subscriptions are told, and the log is closed last.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use wallex_journal::raw::{Log, Recovered};
use wallex_journal::{JournalError, Options as LogOptions, OsStorage};

use super::route::{Api, State};
use super::writer::{self, Appender, Writer};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 4_096;
/// Most calls at once in one connection.
const STREAMS_MAX: u32 = 1_024;
/// How long to wait before accepting again when the system has no file descriptor left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// How often the other side of a connection is asked whether it is still there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How much a client may send in one call, and in one connection, before it is read, in bytes.
const CALL_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// How a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of a segment file of the log, in bytes.
    pub segment_bytes: u64,
    /// A client that takes nothing of what it asked for is cut off after this time.
    pub stall_timeout: Duration,
    /// How long calls in flight may take at the end.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: LogOptions::default().segment_bytes,
            stall_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Why there is no server, or why it did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory cannot be used.
    #[error("cannot use the directory {directory}: {source}")]
    Directory {
        /// Which.
        directory: String,
        /// Why.
        source: io::Error,
    },
    /// The log cannot be opened or closed.
    #[error("the log in {directory}: {source}")]
    Log {
        /// Where.
        directory: String,
        /// Why.
        source: JournalError,
    },
    /// The system refuses something else.
    #[error("the server cannot run: {0}")]
    Io(#[from] io::Error),
}

/// A running server. Dropping it without [`Server::stop`] is what a crash would be: nothing acknowledged is lost.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    recovered: Recovered,
    directory: String,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    appender: Appender,
    writing: std::thread::JoinHandle<Result<(), JournalError>>,
}

impl Server {
    /// Opens the log in `directory`, which is made when it is missing, and serves it on `listener`.
    ///
    /// # Errors
    /// [`ServerError::Log`] when the directory is in use or damaged, and the other kinds.
    pub async fn start(listener: TcpListener, directory: &Path, options: Options) -> Result<Self, ServerError> {
        let address = listener.local_addr()?;
        let name = directory.display().to_string();
        let storage = OsStorage::create(directory)
            .map_err(|source| ServerError::Directory { directory: name.clone(), source })?;
        let opening = tokio::task::spawn_blocking(move || open(storage, options, address));
        let (log, recovered) = opening
            .await
            .map_err(io::Error::other)?
            .map_err(|source| ServerError::Log { directory: name.clone(), source })?;
        let reader = log.reader();
        let Writer { appender, position, thread: writing } = writer::start(log)?;
        let (stop, stopping) = watch::channel(false);
        let (instance, shared) = (OnceLock::new(), appender.clone());
        let state =
            State { appender: shared, reader, position, stopping: stopping.clone(), address, instance, options };
        let accepting = tokio::spawn(accept(listener, Api(Arc::new(state)), stopping, options.drain_timeout));
        Ok(Self { address, recovered, directory: name, stop, accepting, appender, writing })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was found when the log was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Lets calls in flight finish, ends subscriptions, and closes the log.
    ///
    /// # Errors
    /// [`ServerError::Log`] when the log cannot be closed well; what was acknowledged is safe nevertheless.
    pub async fn stop(self) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        // It ends by itself, and a panic in it has ended it too.
        let _ = self.accepting.await;
        self.appender.stop().await;
        let writing = self.writing;
        let closed = tokio::task::spawn_blocking(move || writing.join()).await.map_err(io::Error::other)?;
        let closed = closed.map_err(|_| io::Error::other("the thread of the log panicked"))?;
        closed.map_err(|source| ServerError::Log { directory: self.directory, source })
    }
}

fn open(
    storage: OsStorage,
    options: Options,
    address: SocketAddr,
) -> Result<(Log<OsStorage>, Recovered), JournalError> {
    // Names of streams come from clients: nobody shall know which ones collide.
    let mut seed = [0; 8];
    let hash_seed = match getrandom::fill(&mut seed) {
        Ok(()) => u64::from_le_bytes(seed),
        Err(_) => LogOptions::default().hash_seed,
    };
    let (log, recovered) = Log::open(storage, LogOptions { segment_bytes: options.segment_bytes, hash_seed })?;
    log.describe(&format!("the event store on {address}"))?;
    Ok((log, recovered))
}

async fn accept(listener: TcpListener, api: Api, mut stopping: watch::Receiver<bool>, drain: Duration) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let builder = Arc::new(builder());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async { (room.clone().acquire_owned().await, listener.accept().await) };
        let (permit, accepted) = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let (builder, api, watcher) = (builder.clone(), api.clone(), graceful.watcher());
                connections.spawn(async move {
                    let connection = builder.serve_connection(prepared(stream), TowerToHyperService::new(api));
                    if let Err(error) = watcher.watch(connection.into_owned()).await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut off: their calls took too long");
        connections.shutdown().await;
    }
}

fn prepared(stream: TcpStream) -> TokioIo<TcpStream> {
    // A connection that is gone already shows when it is read.
    let _ = stream.set_nodelay(true);
    TokioIo::new(stream)
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}
