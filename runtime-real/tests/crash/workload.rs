//! The traffic: eight clients, forty wallets, one of them hot, and the client's rule for retries.
//!
//! A client repeats a request under its key until it has a final answer, across every death of the service, and
//! writes down what it was told. Some requests are abandoned after an unknown outcome; some are sent again after the
//! answer, and some twice at the same time, because clients do that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, Reply, Trouble};
use crate::history::{History, Journal, Operation, Outcome, Record, Request, Shape};
use crate::rng::Rng;
use crate::whereabouts::Whereabouts;

const CLIENTS: u64 = 8;
const WALLETS: u64 = 40;
/// Pause before a request is repeated.
const PAUSE: Duration = Duration::from_millis(2);

/// Traffic that goes on until it is finished.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Journal>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answers: Mutex<u64>,
    answered: Condvar,
}

impl Traffic {
    pub(crate) fn start(seed: u64, whereabouts: Whereabouts, deadline: Instant) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = (0..CLIENTS)
            .map(|number| {
                let worker = Worker {
                    number,
                    rng: Rng::new(seed, number),
                    run: seed,
                    requests: 0,
                    one: Client::new(whereabouts.clone(), deadline),
                    other: Client::new(whereabouts.clone(), deadline),
                    deadline,
                    journal: Journal::default(),
                };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || worker.run(&shared))
            })
            .collect();
        Self { shared, clients }
    }

    /// Final answers so far.
    pub(crate) fn answers(&self) -> u64 {
        *self.shared.answers.lock().unwrap()
    }

    /// Waits until so many more requests have their final answer.
    pub(crate) fn wait_for_answers(&self, more: u64, deadline: Instant) {
        let mut answers = self.shared.answers.lock().unwrap();
        let wanted = *answers + more;
        while *answers < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "only {} of {wanted} answers in time", *answers);
            assert!(self.clients.iter().all(|client| !client.is_finished()), "a client gave up");
            let pause = left.min(Duration::from_millis(200));
            answers = self.shared.answered.wait_timeout(answers, pause).unwrap().0;
        }
    }

    /// Lets every client finish what it has begun; the service must be up.
    pub(crate) fn finish(self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        let join = |client: JoinHandle<Journal>| client.join().expect("a client finishes");
        History { clients: self.clients.into_iter().map(join).collect() }
    }
}

struct Worker {
    number: u64,
    rng: Rng,
    run: u64,
    requests: u64,
    one: Client,
    other: Client,
    deadline: Instant,
    journal: Journal,
}

impl Worker {
    fn run(mut self, shared: &Shared) -> Journal {
        for wallet in (self.number..WALLETS).step_by(CLIENTS as usize) {
            let creation = Operation::Create { wallet: name(wallet), opening: opening(wallet) };
            self.serve(Shape::Single, vec![creation], shared);
        }
        while !shared.stop.load(Ordering::Relaxed) {
            let (shape, count) = match self.rng.below(100) {
                0..=7 => (Shape::AtomicBatch, 2 + self.rng.below(6)),
                8..=15 => (Shape::IndependentBatch, 2 + self.rng.below(12)),
                _ => (Shape::Single, 1),
            };
            let operations = (0..count).map(|_| self.operation()).collect();
            self.serve(shape, operations, shared);
        }
        self.journal
    }

    fn operation(&mut self) -> Operation {
        let cents = 1 + self.rng.below(5_000) as i64;
        match self.rng.below(100) {
            0..=2 => {
                let wallet = format!("x-{}-{}-{}", self.number, self.requests, self.rng.below(1_000));
                Operation::Create { wallet, opening: if self.rng.chance(50) { 0 } else { cents } }
            }
            3 => Operation::Create { wallet: self.wallet(), opening: cents },
            4..=29 => Operation::Credit { wallet: self.wallet(), cents },
            30..=54 => Operation::Debit { wallet: self.wallet(), cents },
            _ => {
                let (from, to) = (self.wallet(), self.wallet());
                if from == to {
                    Operation::Credit { wallet: from, cents }
                } else {
                    Operation::Transfer { from, to, cents }
                }
            }
        }
    }

    /// One time in four the hot wallet.
    fn wallet(&mut self) -> String {
        name(if self.rng.chance(25) { 0 } else { self.rng.below(WALLETS) })
    }

    /// Sends a request until it has a final answer, or abandons it, and writes down which.
    fn serve(&mut self, shape: Shape, operations: Vec<Operation>, shared: &Shared) {
        self.requests += 1;
        let request = Request {
            shape,
            operations,
            key: format!("{:x}-{}-{}", self.run, self.number, self.requests),
            correlation: format!("c-{}-{}", self.number, self.requests),
        };
        let (path, body) = wire(&request);
        let (twin, abandon, again) = (self.rng.chance(4), self.rng.chance(25), self.rng.chance(5));
        let (mut fruitless, mut maybe_done, mut closed) = (0, false, false);
        let reply = loop {
            assert!(Instant::now() < self.deadline, "{} has no final answer in time", request.key);
            let attempt = if twin && fruitless == 0 {
                self.send_twice(&path, &request, &body)
            } else {
                self.send(&path, &request, &body)
            };
            match attempt {
                Ok(reply) if is_final(&reply) => break Some(reply),
                Ok(reply) => {
                    fruitless += 1;
                    maybe_done |= reply.status != 503;
                    match reply.status {
                        503 => self.journal.refused += 1,
                        504 => self.journal.unknown.push(format!("{}: answered 504", request.key)),
                        _ => {}
                    }
                }
                Err(Trouble::NotSent) => {}
                Err(Trouble::Closed) => {
                    fruitless += 1;
                    maybe_done = true;
                    closed = true;
                    self.journal.closed += 1;
                }
                Err(Trouble::Torn(how)) => {
                    fruitless += 1;
                    maybe_done = true;
                    self.journal.torn.push(format!("{}: {how}", request.key));
                }
            }
            if fruitless > 0 && abandon {
                break None;
            }
            std::thread::sleep(PAUSE);
        };
        if let Some(reply) = &reply {
            *shared.answers.lock().unwrap() += 1;
            shared.answered.notify_all();
            // Its twin may have been answered in the meantime.
            if closed && reply.replayed && !twin {
                self.journal.unanswered.push(format!("{}: done, and closed without an answer", request.key));
            }
            if reply.status >= 500 {
                self.broken(&request, &format!("answered {}", reply.status));
            }
            if again {
                self.send_again(&path, &request, &body, reply);
            }
        }
        let outcome = match reply {
            Some(reply) => Outcome::Answered { status: reply.status, body: reply.body },
            None => Outcome::Abandoned { maybe_done },
        };
        self.journal.records.push(Record { request, outcome, fruitless, resolved_late: false });
    }

    fn send(&mut self, path: &str, request: &Request, body: &[u8]) -> Result<Reply, Trouble> {
        self.one.post(path, &request.key, &request.correlation, body)
    }

    /// The same request over two connections at once: both answers must be the same, or one says "in flight".
    fn send_twice(&mut self, path: &str, request: &Request, body: &[u8]) -> Result<Reply, Trouble> {
        self.journal.twins += 1;
        self.one.begin_post(path, &request.key, &request.correlation, body)?;
        let second = self.other.post(path, &request.key, &request.correlation, body);
        match (self.one.receive(), second) {
            (Ok(first), Ok(second)) if is_final(&first) && is_final(&second) => {
                if (first.status, &first.body) != (second.status, &second.body) {
                    self.broken(request, "two attempts at the same time have two answers");
                }
                if first.replayed == second.replayed {
                    self.broken(request, "one of two attempts at the same time is the replay of the other");
                }
                Ok(first)
            }
            (Ok(first), _) if is_final(&first) => Ok(first),
            (_, Ok(second)) if is_final(&second) => Ok(second),
            (Err(Trouble::Torn(how)), _) | (_, Err(Trouble::Torn(how))) => Err(Trouble::Torn(how)),
            // Neither tells what the other attempt did.
            (Ok(_) | Err(Trouble::Closed | Trouble::NotSent), _) => Err(Trouble::Closed),
        }
    }

    /// A repeated request after its answer: the same bytes, marked as a replay.
    fn send_again(&mut self, path: &str, request: &Request, body: &[u8], first: &Reply) {
        // The service may die in between; then the audit replays it.
        if let Ok(second) = self.send(path, request, body)
            && is_final(&second)
        {
            self.journal.replays += 1;
            // A refusal by validation is not stored, every other answer is.
            if (second.status, &second.body) != (first.status, &first.body) || !second.replayed {
                self.broken(request, "the replay differs from the answer");
            }
        }
    }

    fn broken(&mut self, request: &Request, how: &str) {
        self.journal.broken.push(format!("{} {:?}: {how}", request.key, request.operations));
    }
}

fn name(wallet: u64) -> String {
    format!("w-{wallet}")
}

fn opening(wallet: u64) -> i64 {
    if wallet == 0 { 1_000_000 } else { 20_000 }
}

/// Whether the answer stands: it is neither "not done, try later" nor "unknown" nor "still running".
fn is_final(reply: &Reply) -> bool {
    match reply.status {
        503 | 504 => false,
        409 => reply.json()["code"] != "idempotency-key-in-flight",
        _ => true,
    }
}

fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Path and body of a request.
pub(crate) fn wire(request: &Request) -> (String, Vec<u8>) {
    if request.shape != Shape::Single {
        let operations: Vec<String> = request.operations.iter().map(batch_member).collect();
        let atomic = request.shape == Shape::AtomicBatch;
        return (
            "/batch".to_owned(),
            format!(r#"{{"atomic":{atomic},"operations":[{}]}}"#, operations.join(",")).into_bytes(),
        );
    }
    let (path, body) = match &request.operations[0] {
        Operation::Create { wallet, opening } => (
            "/wallets".to_owned(),
            format!(r#"{{"walletId":"{wallet}","ownerId":"crash","initialBalance":{}}}"#, decimal(*opening)),
        ),
        Operation::Credit { wallet, cents } => {
            (format!("/wallets/{wallet}/credit"), format!(r#"{{"amount":"{}"}}"#, decimal(*cents)))
        }
        Operation::Debit { wallet, cents } => {
            (format!("/wallets/{wallet}/debit"), format!(r#"{{"amount":{}}}"#, decimal(*cents)))
        }
        Operation::Transfer { from, to, cents } => (
            format!("/wallets/{from}/transfer"),
            format!(r#"{{"toWalletId":"{to}","amount":{},"description":"crash \"test\""}}"#, decimal(*cents)),
        ),
    };
    (path, body.into_bytes())
}

fn batch_member(operation: &Operation) -> String {
    match operation {
        Operation::Create { wallet, opening } => format!(
            r#"{{"type":"create","walletId":"{wallet}","ownerId":"crash","initialBalance":{}}}"#,
            decimal(*opening)
        ),
        Operation::Credit { wallet, cents } => {
            format!(r#"{{"type":"credit","walletId":"{wallet}","amount":{}}}"#, decimal(*cents))
        }
        Operation::Debit { wallet, cents } => {
            format!(r#"{{"type":"debit","walletId":"{wallet}","amount":{}}}"#, decimal(*cents))
        }
        Operation::Transfer { from, to, cents } => {
            format!(r#"{{"type":"transfer","walletId":"{from}","toWalletId":"{to}","amount":{}}}"#, decimal(*cents))
        }
    }
}
