//! Serves HTTP/1.1 and HTTP/2 on a listener until told to stop, and then finishes what is in flight.
//!
//! Every thread has a runtime of its own and keeps its connections, so nothing is locked or moved between threads while
//! a request is served. The first thread accepts and hands each connection to the thread with the fewest. Slow heads,
//! slow bodies and too many connections are bounded here and in `body`.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::router;
use super::state::Service;
use crate::driver::Engine;

/// How long to wait before accepting again when the system has no file descriptor left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Most requests at once in one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 1_024;
/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: u32 = 64 << 10;

/// A connection on its way to the thread that will serve it.
struct Accepted {
    stream: std::net::TcpStream,
    permit: OwnedSemaphorePermit,
}

/// A thread that serves connections, as the acceptor sees it.
struct Worker {
    connections: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
}

/// Serves on `listener` until `shutdown` becomes true (or its sender is gone), then lets requests in flight finish for
/// at most `http.drain_timeout_ms`. Blocks the calling thread for all that time.
///
/// # Errors
/// When the listener or a thread cannot be set up.
pub fn serve(service: &Arc<Service>, listener: TcpListener, shutdown: watch::Receiver<bool>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let threads = service.config.http.threads_effective();
    let mut workers = Vec::with_capacity(threads);
    let mut running = Vec::with_capacity(threads);
    for index in 0..threads {
        let (connections, accepted) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        workers.push(Worker { connections, open: Arc::clone(&open) });
        let (service, shutdown) = (Arc::clone(service), shutdown.clone());
        let thread = std::thread::Builder::new().name(format!("http-{index}"));
        running.push(thread.spawn(move || run_worker(&service, accepted, open, shutdown))?);
    }
    let accepting = runtime()?.block_on(accept(service, listener, workers, shutdown));
    for thread in running {
        if thread.join().is_err() {
            tracing::error!("an HTTP thread panicked");
        }
    }
    accepting
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Accepts connections and deals them out, one by one to the thread with the fewest, until it is told to stop.
async fn accept(
    service: &Service,
    listener: TcpListener,
    workers: Vec<Worker>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(service.config.http.connections_max));
    let mut upkeep = tokio::time::interval(Duration::from_secs(1));
    upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => {
                service.begin_drain();
                return Ok(());
            }
            _ = upkeep.tick() => {
                let open: usize = workers.iter().map(|worker| worker.open.load(Ordering::Relaxed)).sum();
                service.metrics.http_connections.set(open as f64);
                service.observe();
            }
            (permit, accepted) = next => match (permit, accepted) {
                (Ok(permit), Ok((stream, _peer))) => deal(stream, permit, &workers),
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
                // The semaphore is never closed.
                (Err(_), Ok(_)) => return Ok(()),
            }
        }
    }
}

fn deal(stream: TcpStream, permit: OwnedSemaphorePermit, workers: &[Worker]) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = stream.into_std() else { return };
    let least = workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed));
    if let Some(worker) = least {
        worker.open.fetch_add(1, Ordering::Relaxed);
        // A thread that is gone drops the connection, which tells the client.
        let _ = worker.connections.send(Accepted { stream, permit });
    }
}

/// Resolves when the service shall stop.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn run_worker(
    service: &Arc<Service>,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    open: Arc<AtomicUsize>,
    shutdown: watch::Receiver<bool>,
) {
    match runtime() {
        Ok(runtime) => runtime.block_on(serve_connections(service, accepted, open, shutdown)),
        Err(error) => tracing::error!(%error, "an HTTP thread could not start"),
    }
}

async fn serve_connections(
    service: &Arc<Service>,
    mut accepted: mpsc::UnboundedReceiver<Accepted>,
    open: Arc<AtomicUsize>,
    mut shutdown: watch::Receiver<bool>,
) {
    tokio::spawn(Engine::receive_answers());
    let graceful = GracefulShutdown::new();
    let builder = Arc::new(builder(service));
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            next = accepted.recv() => {
                let Some(next) = next else { break };
                let (service, builder, open) = (Arc::clone(service), Arc::clone(&builder), Arc::clone(&open));
                tokio::spawn(serve_connection(service, builder, next, open, graceful.watcher()));
            }
        }
    }
    // Connections that were dealt out and not begun hold no request that was answered: they are served to their end too.
    while let Ok(next) = accepted.try_recv() {
        let (service, builder, open) = (Arc::clone(service), Arc::clone(&builder), Arc::clone(&open));
        tokio::spawn(serve_connection(service, builder, next, open, graceful.watcher()));
    }
    let drain = Duration::from_millis(service.config.http.drain_timeout_ms);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(left = open.load(Ordering::Relaxed), "connections were cut off: their requests took too long");
    }
}

fn builder(service: &Service) -> Builder<TokioExecutor> {
    let header_timeout = Duration::from_millis(service.config.http.header_timeout_ms);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        // Pipelined answers are not gathered (`pipeline_flush`): hyper would keep them back until the next request is
        // complete, and drop its own answer to bytes that are none.
        .max_buf_size(service.config.http.body_limit_bytes.clamp(HEAD_BYTES_MAX as usize, 1 << 20));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(header_timeout)
        .keep_alive_timeout(header_timeout)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX);
    builder
}

async fn serve_connection(
    service: Arc<Service>,
    builder: Arc<Builder<TokioExecutor>>,
    accepted: Accepted,
    open: Arc<AtomicUsize>,
    watcher: Watcher,
) {
    let Accepted { stream, permit } = accepted;
    if let Ok(stream) = TcpStream::from_std(stream) {
        let first_head_by = tokio::time::sleep(Duration::from_millis(service.config.http.header_timeout_ms));
        let begun = Arc::new(AtomicBool::new(false));
        let answer = service_fn({
            let begun = Arc::clone(&begun);
            move |request: Request<Incoming>| {
                begun.store(true, Ordering::Relaxed);
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(router::handle(&service, request).await) }
            }
        });
        let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), answer).into_owned());
        let mut connection = std::pin::pin!(connection);
        // Until the first bytes tell HTTP/1.1 from HTTP/2, no timeout of either applies.
        let ended = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = first_head_by => if begun.load(Ordering::Relaxed) { Some(connection.await) } else { None },
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
    open.fetch_sub(1, Ordering::Relaxed);
    drop(permit);
}
