//! Deliberate bugs, by name: what the simulator must catch, or its silence means nothing.
//!
//! A site reads `if mutant::on(Mutant::Name) { … }`. Without the feature `mutants` that is `false` at compile time and
//! leaves nothing behind; with it, one bug at a time is switched on for a thread, and the same build is sound as long as
//! none is. The feature belongs to the simulator alone: no binary that serves anybody is built with it. Two bugs are in
//! what the simulator has in place of a server or of HTTP, and say so; all others are in the core and the journal.

macro_rules! mutants {
    ($($(#[doc = $bug:literal])+ $name:ident,)+) => {
        /// A deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[doc = $bug])+ $name,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What the bug is.
            #[must_use]
            pub const fn bug(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($bug),+).trim_ascii(),)+
                }
            }
        }
    };
}

mutants! {
    /// A command is answered when its append is sent, not when it is done.
    AnswerBeforeAppend,
    /// An append whose outcome is unknown is answered as not done.
    UnknownIsFailure,
    /// An append whose outcome is unknown is decided again, as after a conflict.
    UnknownIsConflict,
    /// An append whose outcome is unknown is repeated with new event ids.
    RetryWithNewIds,
    /// The legs of a transfer go into appends of their own.
    LegsApart,
    /// A refusal rests on the cache, though other processes write too.
    RefuseFromCache,
    /// A debit may go below zero.
    Overdraft,
    /// A transfer loses a minor unit on its way.
    MoneyLost,
    /// An answer shows the wallets of a transfer the other way round.
    AnswerSwapped,
    /// A key stands for any payload.
    KeyWithoutPayload,
    /// What is taken over from a dead attempt runs as a new command.
    TakeoverRunsAnew,
    /// What is taken over from a dead attempt is not looked for.
    TakeoverWithoutSearch,
    /// What is taken over is looked for after its reservation's time only.
    TakeoverLooksTooNear,
    /// A key is given free when its command's outcome is unknown.
    ReleaseAfterUnknown,
    /// A refusal is not stored under its key.
    RefusalNotStored,
    /// The event store's revision is not checked: a bug of the simulator's event store, in the place of the server.
    RevisionNotChecked,
    /// The feeder enqueues what it hears of, not what the log has: the dual write.
    DualWrite,
    /// The last event of a batch is left out of the outbox, and the checkpoint passes it.
    CursorOffByOne,
    /// The relay takes a publish without an answer for done.
    PublishWithoutAck,
    /// The relay takes events that the broker refused for published.
    RefusedIsPublished,
    /// What waits behind a dead letter is not written down.
    HeldForgotten,
    /// A dead letter does not hold its wallet back.
    DeadLetterHoldsNobody,
    /// A dead letter of a projector holds back every wallet.
    DeadLetterHoldsEverybody,
    /// A projector applies versions that it has applied.
    GuardSkipped,
    /// A projector moves its offset before it writes the rows.
    OffsetBeforeRow,
    /// A projector forgets its offsets at every start.
    OffsetsLost,
    /// Held events that are retried are forgotten, not applied.
    RetryForgets,
    /// The journal acknowledges before it syncs.
    AckBeforeSync,
    /// The journal takes a sync that failed for done.
    SyncErrorIgnored,
    /// The journal takes a torn end for a frame, does not cut it and goes on behind it.
    TornTailTrusted,
    /// The journal forgets the idempotency keys when it is opened.
    KeysForgotten,
    /// A read does not wait for the version that it was asked for: a bug of the simulator's reads, in place of HTTP.
    ReadTooEarly,
}

/// Whether this bug is switched on in this thread.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[must_use]
pub const fn on(_mutant: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use active::{activate, active, on};

#[cfg(feature = "mutants")]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Switches a bug on in this thread, in place of another one, or switches it off.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    /// The bug that is switched on in this thread.
    #[must_use]
    pub fn active() -> Option<Mutant> {
        ACTIVE.get()
    }

    /// Whether this bug is switched on in this thread.
    #[must_use]
    pub fn on(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}
