//! The load generator of the comparison: transfers over connections that stay open, one request at a time on each.
//!
//!     http_load --address 127.0.0.1:38181 --mode spread|hot|batch [--connections 64] [--wallets 10000]
//!               [--seconds 5] [--warm-up 0.5] [--keys PREFIX]
//!
//! Counts every latency in a histogram and every status. Wallets are called `wallet-000001` and on; each transfer moves
//! one cent; with `--keys` each request has an `Idempotency-Key` of its own. A single thread, because the server runs on
//! the same machine. Prints one line of JSON.
#![expect(clippy::print_stdout, reason = "a command line program")]

use std::cell::RefCell;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use wallex::load::histogram::Histogram;
use wallex_benches::wire::{Answer, answer, put_post};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Transfers in one request of mode `batch`.
const BATCH: usize = 1_000;
/// Bodies of batches that are made before the clock starts, so that the generator stays cheap.
const BATCHES_PREPARED: usize = 40;
/// How long a request may last after the end before it counts as broken.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that break are opened again, this often each.
const RECONNECTIONS_MAX: usize = 10;
/// Connections at once.
const CONNECTIONS_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Spread,
    Hot,
    Batch,
}

struct Arguments {
    address: SocketAddr,
    mode: Mode,
    connections: usize,
    wallets: usize,
    measured: Duration,
    warm_up: Duration,
    keys: Option<String>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let (mut address, mut mode, mut keys) = (None, None, None);
    let (mut connections, mut wallets, mut seconds, mut warm_up) = (64, 10_000, 5.0, 0.5);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--address" => address = Some(value.parse()?),
            "--mode" => {
                mode = Some(match value.as_str() {
                    "spread" => Mode::Spread,
                    "hot" => Mode::Hot,
                    "batch" => Mode::Batch,
                    unknown => return Err(format!("unknown mode {unknown}").into()),
                });
            }
            "--connections" => connections = value.parse()?,
            "--wallets" => wallets = value.parse()?,
            "--seconds" => seconds = value.parse()?,
            "--warm-up" => warm_up = value.parse()?,
            "--keys" => keys = Some(value),
            unknown => return Err(format!("unknown argument {unknown}").into()),
        }
    }
    if wallets < 2 || connections == 0 || connections > CONNECTIONS_MAX {
        return Err(format!("--wallets from 2, --connections from 1 to {CONNECTIONS_MAX}").into());
    }
    let (measured, warm_up) = (Duration::try_from_secs_f64(seconds)?, Duration::try_from_secs_f64(warm_up)?);
    let address = address.ok_or("--address is needed")?;
    Ok(Arguments { address, mode: mode.ok_or("--mode is needed")?, connections, wallets, measured, warm_up, keys })
}

/// Makes the requests.
struct Requests {
    mode: Mode,
    host: String,
    wallets: u64,
    seed: u64,
    keys: Option<String>,
    made: u64,
    batches: Vec<String>,
    text: String,
}

impl Requests {
    fn new(arguments: &Arguments) -> Self {
        let mut requests = Self {
            mode: arguments.mode,
            host: arguments.address.to_string(),
            wallets: arguments.wallets as u64,
            seed: 20_261_121,
            keys: arguments.keys.clone(),
            made: 0,
            batches: Vec::new(),
            text: String::new(),
        };
        if arguments.mode == Mode::Batch {
            requests.batches = (0..BATCHES_PREPARED).map(|_| requests.batch()).collect();
        }
        requests
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    /// Two different wallets.
    fn pair(&mut self) -> (u64, u64) {
        let from = if self.mode == Mode::Hot { 1 } else { 1 + self.random(self.wallets) };
        let to = 1 + self.random(self.wallets - 1);
        (from, if to >= from { to + 1 } else { to })
    }

    fn batch(&mut self) -> String {
        let transfers: Vec<String> = (0..BATCH)
            .map(|_| {
                let (from, to) = self.pair();
                format!(
                    r#"{{"type":"transfer","walletId":"wallet-{from:06}","toWalletId":"wallet-{to:06}","amount":"0.01"}}"#
                )
            })
            .collect();
        format!(r#"{{"operations":[{}]}}"#, transfers.join(","))
    }

    /// Writes the next request.
    fn put(&mut self, out: &mut Vec<u8>) {
        self.made += 1;
        let key = self.keys.as_ref().map(|prefix| format!("{prefix}-{}", self.made));
        if self.mode == Mode::Batch {
            let body = &self.batches[self.made as usize % BATCHES_PREPARED];
            return put_post(out, &self.host, "/batch", key.as_deref(), body);
        }
        let (from, to) = self.pair();
        self.text.clear();
        let written = write!(self.text, "/wallets/wallet-{from:06}/transfer");
        let path = self.text.len();
        let written = written.and(write!(self.text, r#"{{"toWalletId":"wallet-{to:06}","amount":"0.01"}}"#));
        debug_assert!(written.is_ok(), "memory takes everything");
        let (path, body) = self.text.split_at(path);
        put_post(out, &self.host, path, key.as_deref(), body);
    }
}

/// What is shared by the connections, all on one thread.
struct Run {
    requests: Requests,
    begin: Instant,
    end: Instant,
    counted: Counted,
}

/// What is printed.
#[derive(Default)]
struct Counted {
    latencies: Histogram,
    /// Answers outside of the measured time.
    unmeasured: u64,
    refused: u64,
    broken: u64,
    reason: Option<String>,
}

/// Sends requests until the end, or until the connection has broken too often.
async fn connection(address: SocketAddr, run: Rc<RefCell<Run>>) {
    for _ in 0..=RECONNECTIONS_MAX {
        match requests(address, &run).await {
            Ok(()) => return,
            Err(error) => {
                let mut run = run.borrow_mut();
                run.counted.broken += 1;
                run.counted.reason.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

async fn requests(address: SocketAddr, run: &RefCell<Run>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut request, mut read) = (Vec::with_capacity(1 << 10), Vec::with_capacity(16 << 10));
    loop {
        request.clear();
        let sent = Instant::now();
        {
            let mut run = run.borrow_mut();
            if sent >= run.end {
                return Ok(());
            }
            run.requests.put(&mut request);
        }
        stream.write_all(&request).await?;
        let answered = receive(&mut stream, &mut read).await?;
        let now = Instant::now();
        let mut run = run.borrow_mut();
        if sent < run.begin || now > run.end {
            run.counted.unmeasured += 1;
        } else {
            run.counted.latencies.record(u64::try_from((now - sent).as_micros()).unwrap_or(u64::MAX));
        }
        if !answered.is_success() {
            run.counted.refused += 1;
            run.counted.reason.get_or_insert_with(|| format!("status {}", answered.status));
        }
    }
}

/// Reads one answer, and leaves `read` empty.
async fn receive(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Answer> {
    read.clear();
    loop {
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match answer(read) {
            Ok(Some(found)) if found.length == read.len() => return Ok(found),
            Ok(Some(_)) => return Err(io::Error::other("more than was asked for")),
            Ok(None) => {}
            Err(reason) => return Err(io::Error::other(reason)),
        }
    }
}

async fn load(arguments: &Arguments) -> Counted {
    let begin = Instant::now() + arguments.warm_up;
    let run = Rc::new(RefCell::new(Run {
        requests: Requests::new(arguments),
        begin,
        end: begin + arguments.measured,
        counted: Counted::default(),
    }));
    let connections: Vec<_> = (0..arguments.connections)
        .map(|_| tokio::task::spawn_local(connection(arguments.address, Rc::clone(&run))))
        .collect();
    let stop = tokio::time::Instant::from_std(run.borrow().end + LAST_ANSWER_TIMEOUT);
    for connection in connections {
        let abort = connection.abort_handle();
        if tokio::time::timeout_at(stop, connection).await.is_err() {
            abort.abort();
            let mut run = run.borrow_mut();
            run.counted.broken += 1;
            run.counted.reason.get_or_insert_with(|| "no answer".to_owned());
        }
    }
    let mut ended = run.borrow_mut();
    std::mem::take(&mut ended.counted)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = LocalSet::new().block_on(&runtime, load(&arguments));
    let latencies = &run.latencies;
    let line = json!({
        "requests": latencies.count(),
        "requests_unmeasured": run.unmeasured,
        "seconds": arguments.measured.as_secs_f64(),
        "p50_us": latencies.quantile_micros(500),
        "p99_us": latencies.quantile_micros(990),
        "max_us": latencies.max_micros(),
        "refused": run.refused,
        "broken": run.broken,
        "first_error": run.reason,
    });
    println!("{line}");
    Ok(())
}
