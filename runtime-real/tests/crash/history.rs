//! What the client asked for and what it was told: the evidence that the audit works with.

/// One operation, as it was asked for; money is whole cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create { wallet: String, opening: i64 },
    Credit { wallet: String, cents: i64 },
    Debit { wallet: String, cents: i64 },
    Transfer { from: String, to: String, cents: i64 },
}

/// How operations are put into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    AtomicBatch,
    IndependentBatch,
}

/// One request; every attempt at it carries the same key and correlation id.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) shape: Shape,
    pub(crate) operations: Vec<Operation>,
    pub(crate) key: String,
    pub(crate) correlation: String,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A final answer came.
    Answered { status: u16, body: Vec<u8> },
    /// The client gave up; unless every attempt was refused as "not done", it does not know the outcome.
    Abandoned { maybe_done: bool },
}

/// A request and its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) request: Request,
    pub(crate) outcome: Outcome,
    /// Attempts that brought no final answer.
    pub(crate) fruitless: u32,
    /// Whether it was abandoned first, and its answer asked for at the end.
    pub(crate) resolved_late: bool,
}

/// Everything one client did, in its order.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    /// Promises that were broken on the spot, in words.
    pub(crate) broken: Vec<String>,
    /// Answers that ended in the middle.
    pub(crate) torn: Vec<String>,
    /// Answers that leave the outcome open (504).
    pub(crate) unknown: Vec<String>,
    /// Requests that were done, and whose connection ended without an answer.
    pub(crate) unanswered: Vec<String>,
    /// Attempts that were refused as "not done, try again" (503).
    pub(crate) refused: u64,
    /// Attempts whose connection ended before an answer.
    pub(crate) closed: u64,
    pub(crate) replays: u64,
    pub(crate) twins: u64,
}

/// What all clients did.
pub(crate) struct History {
    pub(crate) clients: Vec<Journal>,
}

impl History {
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.clients.iter().flat_map(|client| &client.records)
    }

    pub(crate) fn torn_answers(&self) -> Vec<String> {
        self.clients.iter().flat_map(|client| client.torn.iter().cloned()).collect()
    }

    #[allow(dead_code, reason = "the crash test kills without warning: there, answers may be missing")]
    pub(crate) fn without_an_answer(&self) -> Vec<String> {
        self.clients.iter().flat_map(|client| client.unknown.iter().chain(&client.unanswered).cloned()).collect()
    }

    pub(crate) fn broken(&self) -> Vec<String> {
        self.clients.iter().flat_map(|client| client.broken.iter().cloned()).collect()
    }

    pub(crate) fn summary(&self) -> String {
        let count = |wanted: fn(&Record) -> bool| self.records().filter(|record| wanted(record)).count();
        let accepted = count(|r| matches!(r.outcome, Outcome::Answered { status: 200 | 201, .. }));
        let refused = count(|r| matches!(r.outcome, Outcome::Answered { status: 400..=499, .. }));
        let abandoned = count(|r| matches!(r.outcome, Outcome::Abandoned { .. }));
        let repeated = count(|r| r.fruitless > 0);
        let batches = count(|r| r.request.shape != Shape::Single);
        let sum = |of: fn(&Journal) -> u64| self.clients.iter().map(of).sum::<u64>();
        let (replays, twins) = (sum(|client| client.replays), sum(|client| client.twins));
        let (later, closed) = (sum(|client| client.refused), sum(|client| client.closed));
        let unknown = sum(|client| client.unknown.len() as u64);
        format!(
            "{accepted} accepted, {refused} refused, {abandoned} abandoned; {repeated} needed retries ({later} attempts \
             were 503, {unknown} were 504, {closed} were closed), {batches} were batches, {replays} replayed at once, \
             {twins} sent twice at the same time"
        )
    }
}
