//! The HTTP server that does nothing: what the machine, the kernel and axum allow at most.
//!
//! Takes the same requests as the service (`POST /wallets/{id}/transfer`), parses the JSON, and answers JSON of the
//! same shape and size. Set up like the service: one single-threaded runtime for each thread, connections dealt out to
//! the thread with the fewest, nodelay. Nothing is decided and nothing is stored.
//!
//!     empty_handler 127.0.0.1:38180 [THREADS]

use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The body of a transfer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Transfer {
    to_wallet_id: String,
    amount: String,
    description: Option<String>,
}

/// The answer to a transfer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transferred {
    transfer_id: &'static str,
    from_wallet: Snapshot,
    to_wallet: Snapshot,
}

/// A wallet in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    id: String,
    owner_id: &'static str,
    currency: &'static str,
    balance: u64,
    version: u64,
    created_at: &'static str,
    updated_at: &'static str,
}

static ANSWERED: AtomicU64 = AtomicU64::new(100_000);

async fn transfer(Path(id): Path<String>, Json(body): Json<Transfer>) -> Json<Transferred> {
    let version = ANSWERED.fetch_add(1, Ordering::Relaxed);
    std::hint::black_box(&body.description);
    let snapshot = |id, balance| Snapshot {
        id,
        owner_id: "owner-1",
        currency: "USD",
        balance,
        version,
        created_at: "2026-11-21T06:17:07.123456Z",
        updated_at: "2026-11-21T06:17:07.123456Z",
    };
    Json(Transferred {
        transfer_id: "01a3185c-507b-7001-bfff-ffffffffffff",
        from_wallet: snapshot(id, 9_999_999_990),
        to_wallet: snapshot(body.to_wallet_id, 9_999_999_980 + body.amount.len() as u64),
    })
}

/// A thread that serves connections, as the acceptor sees it.
struct Worker {
    connections: mpsc::UnboundedSender<std::net::TcpStream>,
    open: Arc<AtomicUsize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: empty_handler ADDRESS [THREADS]")?;
    let threads = match arguments.next() {
        Some(text) => text.parse()?,
        None => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
    };
    let router =
        Router::new().route("/wallets/{id}/transfer", post(transfer)).route("/health/ready", get(|| async { "ready" }));
    let mut workers = Vec::with_capacity(threads);
    for index in 0..threads {
        let (connections, accepted) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        workers.push(Worker { connections, open: Arc::clone(&open) });
        let (router, runtime) = (router.clone(), runtime()?);
        std::thread::Builder::new()
            .name(format!("http-{index}"))
            .spawn(move || runtime.block_on(serve(router, accepted, open)))?;
    }
    let listener = TcpListener::bind(&address)?;
    listener.set_nonblocking(true)?;
    runtime()?.block_on(accept(listener, &workers))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn accept(listener: TcpListener, workers: &[Worker]) -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let least = workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed)).ok_or("no thread")?;
        least.open.fetch_add(1, Ordering::Relaxed);
        least.connections.send(stream.into_std()?)?;
    }
}

async fn serve(router: Router, mut accepted: mpsc::UnboundedReceiver<std::net::TcpStream>, open: Arc<AtomicUsize>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    let builder = Arc::new(builder);
    while let Some(stream) = accepted.recv().await {
        let (builder, open) = (Arc::clone(&builder), Arc::clone(&open));
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                // A client that goes away is the usual end of a connection.
                let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
