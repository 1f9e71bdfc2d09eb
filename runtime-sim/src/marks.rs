//! Reachability marks: situations that a sweep must have been in, or it has proved little.
//!
//! A mark costs one addition. Sweeps add them up and say which were never reached.

use std::fmt;

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A situation worth reaching.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
        pub enum Mark {
            $($(#[$doc])* $name,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// In words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

marks! {
    /// An append met another revision.
    ConflictRetried => "append conflicted, decided again",
    /// The search for a dead attempt's events found them.
    TakeoverFound => "dead attempt taken over, had taken effect",
    /// The search found nothing.
    TakeoverNotFound => "dead attempt taken over, had done nothing",
    /// A projector met an event that it had.
    DuplicateSkipped => "duplicate skipped by a projector",
    /// A projector met a gap.
    GapFetched => "gap filled from the event store",
    /// An append by an instance that does not hold the lease (any more).
    AppendWithoutLease => "append without holding the lease",
    /// A lease was denied.
    LeaseDenied => "lease denied",
    /// A frame that was not acknowledged was cut off.
    TornTailCut => "torn tail cut by journal recovery",
    /// Events that nobody had acknowledged were there after a crash.
    UnacknowledgedRecovered => "unacknowledged append found after recovery",
    /// An append of unknown outcome turned out to be done.
    UnknownAppendDone => "unknown append resolved: done",
    /// An append of unknown outcome turned out not to be done.
    UnknownAppendNotDone => "unknown append resolved: not done",
    /// The compare-and-set of a feeder failed.
    FeederLostRace => "feeder lost the race for the checkpoint",
    /// The compare-and-set of a relay failed.
    RelayLostRace => "relay lost the race for the checkpoint",
    /// The compare-and-set of a projector failed.
    ProjectorLostRace => "projector lost the race for the checkpoint",
    /// Partitions were taken away while a batch was being written.
    RebalanceInMidBatch => "rebalance in the middle of a batch",
    /// An instance died after the store had its append, before it knew.
    CrashAfterAppend => "crash between append and completion",
    /// An instance died after the broker had acknowledged, before that was recorded.
    CrashAfterPublish => "crash after the acknowledgement, before the mark",
    /// An instance died between two effects of one drain.
    CrashInMidDrain => "crash between two effects of one drain",
    /// An event was set aside.
    DeadLetterHeld => "dead letter held",
    /// What was set aside was applied.
    DeadLetterReleased => "held events released",
    /// The lead passed to another life.
    LeaderChanged => "leader changed",
    /// Two instances believed that they led.
    TwoLeaders => "two instances led at once",
    /// A stored answer was replayed.
    KeyReplayed => "key replayed",
    /// A retry met the first attempt still running.
    KeyInFlight => "key in flight (409)",
    /// A key came with another payload.
    KeyReused => "key reused for another payload (422)",
    /// The outcome was told to be unknown.
    OutcomeUnknown => "outcome unknown (504)",
    /// The service said that it could not.
    Unavailable => "unavailable (503)",
    /// A read waited for its version.
    ReadWaited => "read waited for its version",
    /// A read gave up waiting for its version.
    ReadGaveUp => "read gave up waiting for its version",
    /// The same completion came twice.
    CompletedTwice => "completion came twice",
    /// A completion came after its adapter had given up.
    CompletedLate => "completion came after the timeout",
    /// A server carried out what the instance never heard of.
    PerformedUnheard => "performed, answer lost",
    /// An instance finished what it had begun, and stopped.
    Drained => "drained before a restart",
    /// The journal did not know what is on the disk, and stopped.
    JournalStopped => "journal stopped itself",
    /// A power cut in the middle of a write.
    PowerCutInWrite => "power cut in the middle of a write",
    /// The embedded database lost its newest commits.
    DatabaseRolledBack => "database lost its newest commits",
    /// A refusal of the domain.
    Refused => "refused by the domain",
}

/// How often each was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks(Vec<u64>);

impl Default for Marks {
    fn default() -> Self {
        Self(vec![0; Mark::ALL.len()])
    }
}

impl Marks {
    /// Reached once more.
    pub fn reach(&mut self, mark: Mark) {
        self.0[mark as usize] += 1;
    }

    /// Reached so many times more.
    pub fn add(&mut self, mark: Mark, times: u64) {
        self.0[mark as usize] += times;
    }

    /// How often.
    #[must_use]
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// What was never reached.
    pub fn missing(&self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(|mark| self.count(*mark) == 0)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
