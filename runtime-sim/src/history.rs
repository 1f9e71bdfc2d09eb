//! What clients saw: every attempt with its time, and what came back.
//!
//! The history is all that the checkers of INV-05, INV-09 and INV-12 know of the service, and what INV-04 holds the log
//! against. Amounts are integers in minor units; nothing here decides or applies anything. Attempts under one key with
//! one payload are one operation: it takes effect at most once, at any time after its first attempt.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wallex_core::command::{Answer, FinalAnswer, Success, Unavailable, Work};
use wallex_core::id::{CorrelationId, Version, WalletId};
use wallex_core::time::Timestamp;
use wallex_core::wallet::{Operation, Rejection, Wallet};

/// One attempt of a client, by number in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId(pub u32);

impl AttemptId {
    /// The correlation id that the attempt sends, so that each event in the log leads back to an attempt.
    ///
    /// # Panics
    /// Never: the text is well-formed.
    #[must_use]
    pub fn correlation(self) -> CorrelationId {
        CorrelationId::parse(&format!("attempt-{}", self.0)).expect("the text is well-formed")
    }

    /// The attempt with this correlation id.
    #[must_use]
    pub fn of(correlation: &CorrelationId) -> Option<Self> {
        correlation.as_str().strip_prefix("attempt-")?.parse().ok().map(Self)
    }
}

/// One operation of a command. Amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Creates a wallet with an opening balance.
    Create(WalletId, i64),
    /// Money in.
    Credit(WalletId, i64),
    /// Money out.
    Debit(WalletId, i64),
    /// Money from the first to the second.
    Transfer(WalletId, WalletId, i64),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Command {
    /// One operation.
    One {
        /// The operation.
        step: Step,
        /// The version that the addressed wallet must have.
        if_match: Option<u64>,
    },
    /// Several, in order, in one write.
    Batch {
        /// The operations.
        steps: Vec<Step>,
        /// Whether one refusal refuses them all.
        atomic: bool,
    },
    /// A wallet from the read model, which may lag behind.
    ReadModel {
        /// Which.
        wallet: WalletId,
        /// The version it must have reached (INV-12); 0 for any.
        min_version: u64,
    },
    /// A wallet from the event store, which may not lag behind.
    ReadStore {
        /// Which.
        wallet: WalletId,
    },
}

/// A wallet, as an answer showed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which.
    pub wallet: WalletId,
    /// Its balance, in minor units.
    pub balance: i64,
    /// Its version.
    pub version: u64,
}

/// A refusal of the domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code ([`Rejection::code`]).
    pub code: Cow<'static, str>,
    /// The wallet it names.
    pub wallet: Option<WalletId>,
    /// What it says about that wallet: its balance when funds are insufficient, its version when versions mismatch.
    pub seen: Option<i64>,
    /// For a refused atomic batch: which operations, and why.
    pub members: Vec<(usize, Refusal)>,
}

/// Why an attempt is known not to have done anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotDone {
    /// Another attempt under the key is running: this one did nothing, that one may.
    InFlight,
    /// The key belongs to another payload.
    KeyReused,
    /// The service could not.
    Unavailable(Unavailable),
    /// The request reached nobody: there was no connection.
    Unreachable,
}

/// What one operation of a command came to: the wallets right after it (source first), or the refusal.
pub type StepResult = Result<Vec<Snapshot>, Refusal>;

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done: a result for each operation, in order.
    Done {
        /// One for each.
        results: Vec<StepResult>,
        /// Whether it is the stored answer of an earlier attempt.
        replayed: bool,
    },
    /// Refused as a whole.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether it is the stored answer of an earlier attempt.
        replayed: bool,
    },
    /// Known not to be done by this attempt.
    NotDone(NotDone),
    /// It may have happened: the service said so, or no answer came.
    Unknown,
    /// The answer to a read; nothing when there is no such wallet.
    Read(Option<Snapshot>),
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number.
    pub id: AttemptId,
    /// Which client.
    pub client: u16,
    /// Its idempotency key, by number; unique in the run.
    pub key: Option<u64>,
    /// What it asks for.
    pub command: Arc<Command>,
    /// When it was sent.
    pub invoked: Timestamp,
    /// When the answer came, and what it was; nothing when none came until the end.
    pub returned: Option<(Timestamp, Outcome)>,
}

/// All attempts of a run, in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    attempts: Vec<Attempt>,
}

impl History {
    /// A client sends an attempt.
    pub fn invoke(&mut self, at: Timestamp, client: u16, key: Option<u64>, command: Arc<Command>) -> AttemptId {
        let id = AttemptId(self.attempts.len() as u32);
        self.attempts.push(Attempt { id, client, key, command, invoked: at, returned: None });
        id
    }

    /// The client has its answer, or has given up ([`Outcome::Unknown`]). The first one counts.
    pub fn returns(&mut self, at: Timestamp, attempt: AttemptId, outcome: Outcome) {
        if let Some(attempt) = self.attempts.get_mut(attempt.0 as usize) {
            attempt.returned.get_or_insert((at, outcome));
        }
    }

    /// The attempts.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }
}

impl Command {
    /// The command of a request.
    #[must_use]
    pub fn of(work: &Work, if_match: Option<Version>) -> Self {
        match work {
            Work::One(operation) => {
                Self::One { step: Step::of(operation), if_match: if_match.map(|version| version.0) }
            }
            Work::Batch { operations, atomic } => {
                Self::Batch { steps: operations.iter().map(Step::of).collect(), atomic: *atomic }
            }
        }
    }

    /// The operations; none for a read.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::One { step, .. } => std::slice::from_ref(step),
            Self::Batch { steps, .. } => steps,
            Self::ReadModel { .. } | Self::ReadStore { .. } => &[],
        }
    }

    /// Every wallet it speaks of.
    pub fn wallets(&self) -> impl Iterator<Item = &WalletId> {
        let read = match self {
            Self::ReadModel { wallet, .. } | Self::ReadStore { wallet } => Some(wallet),
            Self::One { .. } | Self::Batch { .. } => None,
        };
        self.steps().iter().flat_map(Step::wallets).chain(read)
    }
}

impl Step {
    /// The operation, with its amount in hundredths: the simulator's wallets hold currencies with two decimal places.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Create(create) => {
                Self::Create(create.wallet_id.clone(), hundredths(create.initial_balance.decimal()))
            }
            Operation::Credit(credit) => Self::Credit(credit.wallet_id.clone(), hundredths(credit.amount.decimal())),
            Operation::Debit(debit) => Self::Debit(debit.wallet_id.clone(), hundredths(debit.amount.decimal())),
            Operation::Transfer(transfer) => {
                Self::Transfer(transfer.from.clone(), transfer.to.clone(), hundredths(transfer.amount.decimal()))
            }
        }
    }

    /// The wallets it speaks of: one, or two for a transfer.
    pub fn wallets(&self) -> impl Iterator<Item = &WalletId> {
        let (first, second) = match self {
            Self::Create(wallet, _) | Self::Credit(wallet, _) | Self::Debit(wallet, _) => (wallet, None),
            Self::Transfer(from, to, _) => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }
}

impl Outcome {
    /// What a reply of the service says.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Final { answer: FinalAnswer { outcome: Ok(success), .. }, replayed } => {
                let results = match success {
                    Success::Batch(members) => members.iter().map(result).collect(),
                    Success::Wallet(_) | Success::Transfer { .. } => vec![Ok(snapshots(success))],
                };
                Self::Done { results, replayed: *replayed }
            }
            Answer::Final { answer: FinalAnswer { outcome: Err(rejection), .. }, replayed } => {
                Self::Refused { refusal: Refusal::of(rejection), replayed: *replayed }
            }
            Answer::InFlight => Self::NotDone(NotDone::InFlight),
            Answer::KeyReused => Self::NotDone(NotDone::KeyReused),
            Answer::Unavailable(why) => Self::NotDone(NotDone::Unavailable(*why)),
            Answer::OutcomeUnknown => Self::Unknown,
        }
    }

    /// Whether it stands for ever: every answer to the same operation must be the same.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Done { .. } => true,
            Self::Refused { refusal, .. } => !refusal.is_request_fault(),
            Self::NotDone(_) | Self::Unknown | Self::Read(_) => false,
        }
    }

    /// Every wallet that it shows.
    pub fn shown(&self) -> impl Iterator<Item = &Snapshot> {
        let (results, read) = match self {
            Self::Done { results, .. } => (&results[..], None),
            Self::Read(read) => (&[][..], read.as_ref()),
            Self::Refused { .. } | Self::NotDone(_) | Self::Unknown => (&[][..], None),
        };
        results.iter().filter_map(|result| result.as_ref().ok()).flatten().chain(read)
    }
}

impl Refusal {
    /// What a rejection says.
    #[must_use]
    pub fn of(rejection: &Rejection) -> Self {
        let (wallet, seen, members) = match rejection {
            Rejection::WalletNotFound { wallet_id }
            | Rejection::WalletExists { wallet_id }
            | Rejection::SameWallet { wallet_id }
            | Rejection::BalanceLimit { wallet_id }
            | Rejection::RefusedEarlier { wallet_id } => (Some(wallet_id), None, Vec::new()),
            Rejection::InsufficientFunds { wallet_id, balance, .. } => {
                (Some(wallet_id), i64::try_from(balance.minor_units()).ok(), Vec::new())
            }
            Rejection::VersionMismatch { wallet_id, actual, .. } => {
                (Some(wallet_id), i64::try_from(actual.0).ok(), Vec::new())
            }
            Rejection::CurrencyMismatch { .. } | Rejection::AmountTooPrecise { .. } => (None, None, Vec::new()),
            Rejection::Batch { refused } => {
                (None, None, refused.iter().map(|one| (one.index, Self::of(&one.rejection))).collect())
            }
        };
        Self { code: rejection.code().into(), wallet: wallet.cloned(), seen, members }
    }

    /// Whether the request itself was at fault, so that its key stays free.
    #[must_use]
    pub fn is_request_fault(&self) -> bool {
        self.code == "validation-failed" || self.members.iter().any(|(_, member)| member.is_request_fault())
    }
}

impl Snapshot {
    /// What an answer shows of a wallet.
    #[must_use]
    pub fn of(wallet: &Wallet) -> Self {
        let balance = i64::try_from(wallet.balance.minor_units()).unwrap_or(i64::MAX);
        Self { wallet: wallet.id.clone(), balance, version: wallet.version.0 }
    }
}

fn result(member: &Result<Success, Rejection>) -> StepResult {
    member.as_ref().map(snapshots).map_err(Refusal::of)
}

fn snapshots(success: &Success) -> Vec<Snapshot> {
    match success {
        Success::Wallet(wallet) => vec![Snapshot::of(wallet)],
        Success::Transfer { from, to, .. } => vec![Snapshot::of(from), Snapshot::of(to)],
        // A batch has no batches in it.
        Success::Batch(members) => members.iter().flatten().flat_map(snapshots).collect(),
    }
}

fn hundredths(amount: rust_decimal::Decimal) -> i64 {
    let scaled = amount * rust_decimal::Decimal::ONE_HUNDRED;
    i64::try_from(scaled.trunc().mantissa() / 10_i128.pow(scaled.trunc().scale())).unwrap_or(i64::MAX)
}
