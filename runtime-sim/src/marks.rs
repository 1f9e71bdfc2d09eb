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
    /// A projector met a gap, and got what was missing.
    GapFetched => "gap filled from the event store",
    /// An append by an instance that does not hold the lease: it was denied, or is gone.
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
    /// A process stood still while there was something to do.
    Paused => "turn put off by a pause",
    /// A slow process took its time.
    SlowTurn => "turn of a slow instance took long",
    /// A slow server took its time.
    SlowServer => "work of a slow server took long",
    /// The journal's disk took its time.
    SlowDisk => "write to a slow disk took long",
    /// A partition ate a message.
    MessageCut => "message lost in a partition",
    /// A node that can reach nobody sent something, or was sent something.
    NodeIsolated => "message of an isolated node lost",
    /// A client could reach nobody.
    ClientCutOff => "message of a client that is cut off lost",
    /// A message went over a link that was worse than the others.
    BadLink => "message over a bad link",
    /// A message was lost by chance.
    MessageLost => "message lost by the network",
    /// A message came twice.
    MessageRepeated => "message delivered twice",
    /// A command with a key came twice, by one attempt of its client.
    CommandRepeated => "command with a key delivered twice",
    /// Nobody listened where a request came.
    ServerDown => "request met a server that was down",
    /// The subscription to the log broke, and was taken up again.
    SubscriptionResumed => "subscription to the log lost and taken up again",
    /// A clock jumped ahead under a process.
    ClockForward => "clock set forward under a process",
    /// A clock was set back under a process.
    ClockBack => "clock set back under a process",
    /// The lease store forgot leases that ran.
    LeasesLost => "leases lost while they were held",
    /// A lease that was granted had run out when the append came.
    LeaseExpired => "lease expired while held",
    /// A publish met a partition without a leader.
    Leaderless => "publish met a partition without a leader",
    /// The broker refused a message.
    MessageRefused => "message refused by the broker",
    /// The broker took bytes that nobody can read.
    MessageGarbled => "message taken that nobody can read",
    /// The database refused a row.
    RowRefused => "row refused by the database",
    /// A write found no room on the disk.
    DiskFull => "write to a full disk",
    /// A sync of the disk failed.
    SyncFailed => "sync of the disk failed",
    /// The journal said that a byte had rotted.
    RotReported => "rot reported when the journal was opened",
    /// An instance died while it looked for what a dead attempt had done.
    CrashInTakeover => "crash in the middle of a takeover",
    /// An instance died before its rows and its checkpoint were written, together.
    CrashBeforeCommit => "crash before rows and checkpoint were written",
    /// An instance died when its rows and its checkpoint were written, before it knew.
    CrashAfterCommit => "crash after rows and checkpoint were written, before that was known",
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
