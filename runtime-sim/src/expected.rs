//! Which marks a scene (a preset on a topology) can reach, and which a sweep must have reached, or it proves little.
//!
//! A mark that is in none of these lists belongs to every scene. [`ENOUGH_RUNS`] comes from counting: of what must be
//! reached, the rarest was reached 9 times in 400 runs of its scene.

use crate::marks::{Mark, Marks};
use crate::plan::{Preset, Topology};

/// A preset on a topology.
pub type Scene = (Preset, Topology);

/// After so many runs of a scene, with [`ENOUGH_COMMANDS`] each, every mark that it must reach has been reached.
pub const ENOUGH_RUNS: u64 = 500;
/// Shorter runs reach less, and nothing is expected of them.
pub const ENOUGH_COMMANDS: usize = 1_000;

/// These need several instances, or servers that fail on their own.
const BETWEEN_PROCESSES: &[Mark] = &[
    Mark::ConflictRetried,
    Mark::TakeoverFound,
    Mark::TakeoverNotFound,
    Mark::DuplicateSkipped,
    Mark::AppendWithoutLease,
    Mark::LeaseDenied,
    Mark::UnknownAppendDone,
    Mark::UnknownAppendNotDone,
    Mark::FeederLostRace,
    Mark::RelayLostRace,
    Mark::ProjectorLostRace,
    Mark::RebalanceInMidBatch,
    Mark::LeaderChanged,
    Mark::TwoLeaders,
    Mark::CompletedTwice,
    Mark::CompletedLate,
    Mark::PerformedUnheard,
    Mark::SlowTurn,
    Mark::SlowServer,
    Mark::MessageCut,
    Mark::NodeIsolated,
    Mark::ServerDown,
    Mark::SubscriptionResumed,
    Mark::LeasesLost,
    Mark::LeaseExpired,
    Mark::Leaderless,
    Mark::MessageRefused,
    Mark::MessageGarbled,
    Mark::CrashInTakeover,
];

/// These need the journal and its disk.
const ON_DISK: &[Mark] = &[
    Mark::TornTailCut,
    Mark::UnacknowledgedRecovered,
    Mark::JournalStopped,
    Mark::PowerCutInWrite,
    Mark::DatabaseRolledBack,
    Mark::SlowDisk,
    Mark::DiskFull,
    Mark::SyncFailed,
    Mark::RotReported,
];

/// These need something to go wrong.
const BY_FAULTS: &[Mark] = &[
    Mark::TakeoverFound,
    Mark::TakeoverNotFound,
    Mark::GapFetched,
    Mark::TornTailCut,
    Mark::UnacknowledgedRecovered,
    Mark::UnknownAppendDone,
    Mark::UnknownAppendNotDone,
    Mark::FeederLostRace,
    Mark::RelayLostRace,
    Mark::CrashAfterAppend,
    Mark::CrashAfterPublish,
    Mark::CrashInMidDrain,
    Mark::DeadLetterHeld,
    Mark::DeadLetterReleased,
    Mark::LeaderChanged,
    Mark::TwoLeaders,
    Mark::OutcomeUnknown,
    Mark::ReadGaveUp,
    Mark::CompletedTwice,
    Mark::CompletedLate,
    Mark::PerformedUnheard,
    Mark::Drained,
    Mark::JournalStopped,
    Mark::PowerCutInWrite,
    Mark::DatabaseRolledBack,
    Mark::CrashInTakeover,
    Mark::Paused,
    Mark::SlowTurn,
    Mark::SlowServer,
    Mark::SlowDisk,
    Mark::MessageCut,
    Mark::NodeIsolated,
    Mark::ClientCutOff,
    Mark::BadLink,
    Mark::MessageLost,
    Mark::MessageRepeated,
    Mark::CommandRepeated,
    Mark::ServerDown,
    Mark::SubscriptionResumed,
    Mark::ClockForward,
    Mark::ClockBack,
    Mark::LeasesLost,
    Mark::Leaderless,
    Mark::MessageRefused,
    Mark::MessageGarbled,
    Mark::RowRefused,
    Mark::DiskFull,
    Mark::SyncFailed,
    Mark::RotReported,
    Mark::CrashBeforeCommit,
    Mark::CrashAfterCommit,
];

/// Only a storm reaches these often enough that a sweep has to.
const SELDOM_BELOW_STORM: &[Mark] = &[Mark::CrashInTakeover];

/// These can be reached when nothing goes wrong, but so seldom that no sweep has to.
const SELDOM_IN_CALM: &[Mark] = &[Mark::Unavailable];

/// Whether the scene can reach the mark at all.
#[must_use]
pub fn is_possible(mark: Mark, (preset, topology): Scene) -> bool {
    let here = match topology {
        Topology::Production => !ON_DISK.contains(&mark),
        Topology::Embedded => !BETWEEN_PROCESSES.contains(&mark),
    };
    here && (preset != Preset::Calm || !BY_FAULTS.contains(&mark))
}

/// Whether a sweep of [`ENOUGH_RUNS`] has to reach it.
#[must_use]
pub fn is_required(mark: Mark, scene: Scene) -> bool {
    let seldom = (scene.0 != Preset::Storm && SELDOM_BELOW_STORM.contains(&mark))
        || (scene.0 == Preset::Calm && SELDOM_IN_CALM.contains(&mark));
    is_possible(mark, scene) && !seldom
}

/// What was reached in the runs of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Runs.
    pub runs: u64,
    /// How often each mark was reached in them.
    pub marks: Marks,
}

impl Reached {
    /// What the scene can reach and did not.
    pub fn missing(&self, scene: Scene) -> impl Iterator<Item = Mark> {
        self.marks.missing().filter(move |mark| is_possible(*mark, scene))
    }

    /// What the scene should have reached in so many runs, and did not.
    pub fn overdue(&self, scene: Scene, commands: usize) -> impl Iterator<Item = Mark> {
        let enough = self.runs >= ENOUGH_RUNS && commands >= ENOUGH_COMMANDS;
        self.marks.missing().filter(move |mark| enough && is_required(*mark, scene))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORM: Scene = (Preset::Storm, Topology::Production);

    fn all_but(missing: Mark) -> Marks {
        let mut marks = Marks::default();
        Mark::ALL.iter().filter(|mark| **mark != missing).for_each(|mark| marks.reach(*mark));
        marks
    }

    #[test]
    fn what_is_never_reached_is_overdue_after_enough_runs_and_not_before() {
        let mut reached = Reached { runs: ENOUGH_RUNS, marks: all_but(Mark::TakeoverFound) };
        let overdue = |reached: &Reached, commands| reached.overdue(STORM, commands).collect::<Vec<_>>();
        assert_eq!(overdue(&reached, ENOUGH_COMMANDS), [Mark::TakeoverFound]);
        assert_eq!(overdue(&reached, ENOUGH_COMMANDS - 1), []);
        reached.runs -= 1;
        assert_eq!(overdue(&reached, ENOUGH_COMMANDS), []);
        assert_eq!(reached.missing(STORM).collect::<Vec<_>>(), [Mark::TakeoverFound]);
    }

    #[test]
    fn what_a_scene_cannot_reach_is_neither_missing_nor_overdue() {
        let reached = Reached { runs: ENOUGH_RUNS, marks: Marks::default() };
        let missing: Vec<Mark> = reached.missing(STORM).collect();
        assert!(missing.contains(&Mark::TakeoverFound) && !missing.contains(&Mark::TornTailCut));
        let calm = (Preset::Calm, Topology::Production);
        assert!(reached.missing(calm).all(|mark| !BY_FAULTS.contains(&mark)));
        assert!(reached.missing(calm).any(|mark| mark == Mark::Unavailable));
        assert!(reached.overdue(calm, ENOUGH_COMMANDS).all(|mark| mark != Mark::Unavailable));
    }

    #[test]
    fn every_mark_is_required_by_some_scene() {
        let presets = [Preset::Calm, Preset::Default, Preset::Storm];
        let scenes = presets.map(|preset| [(preset, Topology::Production), (preset, Topology::Embedded)]);
        for mark in Mark::ALL {
            assert!(scenes.as_flattened().iter().any(|scene| is_required(*mark, *scene)), "{mark}");
        }
    }
}
