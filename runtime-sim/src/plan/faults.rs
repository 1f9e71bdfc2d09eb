//! What goes wrong in a plan, and when.
//!
//! Each seed has some kinds of faults and not others. Most spells are short; now and then one lasts so long that every
//! timeout passes meanwhile.

use serde::{Deserialize, Serialize};
use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::{Direction, Fault, Options, Plan, Planned, Preset, Server, Topology};
use crate::chance::Chance;
use crate::lane::Lane;

/// A kind of what goes wrong. Each seed has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Processes die.
    Crash,
    /// The power fails in the middle of a write.
    PowerCut,
    /// Processes are asked to finish.
    GracefulRestart,
    /// Processes stand still.
    Pause,
    /// Servers die.
    ServerDown,
    /// Links are cut.
    Partition,
    /// An instance or a server is cut off.
    Isolate,
    /// The whole network is bad.
    BadNetwork,
    /// An instance or a server is slow.
    Slow,
    /// Servers' answers are lost.
    LostAnswers,
    /// Clocks jump.
    ClockJump,
    /// Leases are lost.
    LeasesLost,
    /// Partitions are moved about.
    RebalanceStorm,
    /// Rows are refused.
    PoisonRows,
    /// Messages are refused or garbled.
    PoisonMessages,
    /// Partitions have no leader.
    Leaderless,
    /// The disk is full.
    DiskFull,
    /// Syncs fail.
    SyncsFail,
    /// The disk is slow.
    SlowDisk,
    /// A byte of the disk rots.
    Rot,
    /// One link is bad.
    BadLink,
    /// A client is cut off.
    ClientCutOff,
    /// Messages are lost at any time.
    Loss,
    /// Messages are delivered twice at any time.
    Duplicates,
    /// Where messages are delivered twice, commands with a key are too.
    Resubmits,
}

use FaultKind as Of;

/// The kinds that a network of several processes can have.
const PRODUCTION: [FaultKind; 16] = [
    Of::Crash,
    Of::Crash,
    Of::GracefulRestart,
    Of::Pause,
    Of::ServerDown,
    Of::Partition,
    Of::Isolate,
    Of::BadNetwork,
    Of::Slow,
    Of::LostAnswers,
    Of::ClockJump,
    Of::LeasesLost,
    Of::RebalanceStorm,
    Of::PoisonRows,
    Of::PoisonMessages,
    Of::Leaderless,
];
/// The kinds that one process with a disk can have.
const EMBEDDED: [FaultKind; 10] = [
    Of::Crash,
    Of::Crash,
    Of::PowerCut,
    Of::PowerCut,
    Of::GracefulRestart,
    Of::Pause,
    Of::ClockJump,
    Of::PoisonRows,
    Of::DiskFull,
    Of::SyncsFail,
];
/// Kinds that are drawn by themselves, so that a seed keeps what it has of the others.
const MORE_PRODUCTION: [FaultKind; 2] = [Of::BadLink, Of::ClientCutOff];
/// Likewise.
const MORE_EMBEDDED: [FaultKind; 4] = [Of::SlowDisk, Of::Rot, Of::BadLink, Of::ClientCutOff];

/// Decides which kinds a seed has, and draws its faults. `more` is for all that came later than the rest.
pub(super) fn draw(plan: &mut Plan, options: &mut Chance, chance: &mut Chance, more: &mut Chance) {
    if plan.preset == Preset::Calm {
        return;
    }
    let storm = plan.preset == Preset::Storm;
    let count = if storm { chance.between(20, 40) } else { chance.between(8, 16) };
    let (usual, further): (&[FaultKind], &[FaultKind]) = match plan.topology {
        Topology::Production => (&PRODUCTION, &MORE_PRODUCTION),
        Topology::Embedded => (&EMBEDDED, &MORE_EMBEDDED),
    };
    let mut usual: Vec<FaultKind> = usual.iter().copied().filter(|_| options.percent(60)).collect();
    if usual.is_empty() {
        usual.push(Of::Crash);
    }
    let background = [(Of::Loss, 85), (Of::Duplicates, 85), (Of::Resubmits, 50)];
    let background: Vec<FaultKind> =
        background.into_iter().filter(|(_, percent)| more.percent(*percent)).map(|(kind, _)| kind).collect();
    let further: Vec<FaultKind> = further.iter().copied().filter(|_| more.percent(50)).collect();
    // As long as the clients would take if nothing went wrong, and somewhat longer.
    let busiest = plan.clients.iter().map(|steps| steps.iter().map(|step| u64::from(step.after_ms) + 12).sum::<u64>());
    let span = busiest.max().unwrap_or(0).max(1_000) * 3 / 2;
    let mut faults = some(plan, &usual, count, span, chance);
    if !further.is_empty() {
        let count = if storm { more.between(3, 8) } else { more.between(1, 4) };
        faults.extend(some(plan, &further, count, span, more));
    }
    faults.sort_by_key(|planned| planned.at_ms);
    plan.faults = faults;
    plan.options.switch(&background);
    plan.options.kinds = usual.into_iter().chain(further).chain(background).collect();
    plan.options.kinds.sort_unstable();
    plan.options.kinds.dedup();
}

fn some(plan: &Plan, kinds: &[FaultKind], count: u64, span: u64, chance: &mut Chance) -> Vec<Planned> {
    let fault = |_| {
        let at_ms = chance.below(span);
        Planned { at_ms, fault: chance.pick(kinds).draw(plan, chance) }
    };
    (0..count).map(fault).collect()
}

impl Options {
    /// What goes wrong at any time does so only where the seed has it.
    fn switch(&mut self, background: &[FaultKind]) {
        if !background.contains(&Of::Loss) {
            self.loss_ppm = 0;
        }
        if !background.contains(&Of::Duplicates) {
            self.duplicates_ppm = 0;
        }
    }
}

impl FaultKind {
    fn draw(self, plan: &Plan, chance: &mut Chance) -> Fault {
        match self {
            Self::PowerCut => power_cut(chance),
            Self::GracefulRestart => graceful(plan, chance),
            Self::Pause => pause(plan, chance),
            Self::ServerDown => server_down(chance),
            Self::Partition => partition(plan, chance),
            Self::Isolate => isolate(plan, chance),
            Self::BadNetwork => bad_network(chance),
            Self::Slow => slow(plan, chance),
            Self::LostAnswers => lost_answers(chance),
            Self::ClockJump => clock_jump(plan, chance),
            Self::LeasesLost => Fault::LeasesLost,
            Self::RebalanceStorm => rebalances(chance),
            Self::PoisonRows => poison_rows(plan, chance),
            Self::PoisonMessages => poison_messages(plan, chance),
            Self::Leaderless => leaderless(chance),
            Self::DiskFull => disk_full(chance),
            Self::SyncsFail => syncs_fail(chance),
            Self::SlowDisk => slow_disk(chance),
            Self::Rot => rot(chance),
            Self::BadLink => bad_link(plan, chance),
            Self::ClientCutOff => client_cut_off(plan, chance),
            // What goes on at any time is no fault with a time of its own.
            Self::Crash | Self::Loss | Self::Duplicates | Self::Resubmits => crash(plan, chance),
        }
    }
}

/// How long a spell lasts, in milliseconds.
fn spell(chance: &mut Chance) -> u64 {
    match chance.below(20) {
        0 => chance.between(5_000, 20_000),
        1..=5 => chance.between(1_000, 5_000),
        _ => chance.between(20, 1_000),
    }
}

fn instance(plan: &Plan, chance: &mut Chance) -> u8 {
    chance.below(u64::from(plan.options.instances)) as u8
}

fn server(chance: &mut Chance) -> Server {
    *chance.pick(&Server::ALL)
}

fn node(plan: &Plan, chance: &mut Chance) -> Lane {
    if chance.percent(50) { Lane::Instance(instance(plan, chance)) } else { server(chance).lane() }
}

fn wallet(plan: &Plan, chance: &mut Chance) -> u16 {
    chance.below(u64::from(plan.options.wallets)) as u16
}

fn crash(plan: &Plan, chance: &mut Chance) -> Fault {
    let after_effects = if chance.percent(80) { chance.between(1, 60) as u16 } else { 0 };
    Fault::Crash { instance: instance(plan, chance), after_effects, down_ms: spell(chance) }
}

fn power_cut(chance: &mut Chance) -> Fault {
    Fault::PowerCut { after_operations: chance.below(20) as u16, down_ms: chance.between(5, 300) }
}

fn graceful(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::GracefulRestart { instance: instance(plan, chance), drain_ms: chance.between(10, 2_000) }
}

fn pause(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::Pause { instance: instance(plan, chance), for_ms: spell(chance) }
}

fn server_down(chance: &mut Chance) -> Fault {
    Fault::ServerDown { server: server(chance), for_ms: spell(chance) }
}

fn partition(plan: &Plan, chance: &mut Chance) -> Fault {
    let direction = *chance.pick(&[Direction::Both, Direction::OneWay]);
    let (one, other) = (Lane::Instance(instance(plan, chance)), server(chance).lane());
    let (from, to) = if chance.percent(50) { (one, other) } else { (other, one) };
    Fault::Partition { from, to, direction, for_ms: spell(chance) }
}

fn isolate(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::Isolate { node: node(plan, chance), for_ms: spell(chance) }
}

fn bad_network(chance: &mut Chance) -> Fault {
    bad(None, None, chance)
}

fn bad(from: Option<Lane>, to: Option<Lane>, chance: &mut Chance) -> Fault {
    Fault::BadNetwork {
        from,
        to,
        loss_ppm: chance.below(300_000) as u32,
        duplicates_ppm: chance.below(300_000) as u32,
        extra_delay_us: chance.below(400_000),
        for_ms: spell(chance),
    }
}

/// One way, or all that a client or an instance sends or hears.
fn bad_link(plan: &Plan, chance: &mut Chance) -> Fault {
    let (one, inside) = (Lane::Instance(instance(plan, chance)), plan.topology == Topology::Embedded);
    let other = if inside || chance.percent(30) { client(plan, chance) } else { server(chance).lane() };
    match chance.below(4) {
        0 => bad(Some(one), None, chance),
        1 => bad(None, Some(one), chance),
        2 => bad(Some(one), Some(other), chance),
        _ => bad(Some(other), Some(one), chance),
    }
}

fn client(plan: &Plan, chance: &mut Chance) -> Lane {
    Lane::Client(chance.below(plan.clients.len() as u64) as u8)
}

fn client_cut_off(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::Isolate { node: client(plan, chance), for_ms: spell(chance) }
}

fn slow_disk(chance: &mut Chance) -> Fault {
    Fault::SlowDisk { extra_us: chance.between(2_000, 400_000), for_ms: spell(chance) }
}

fn rot(chance: &mut Chance) -> Fault {
    let (at_ppm, bit) = (chance.below(1_000_000) as u32, chance.below(8) as u8);
    Fault::Rot { at_ppm, bit, for_ms: chance.between(100, 1_500) }
}

fn slow(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::Slow { node: node(plan, chance), extra_us: chance.between(5_000, 2_000_000), for_ms: spell(chance) }
}

fn lost_answers(chance: &mut Chance) -> Fault {
    Fault::LostAnswers { server: server(chance), percent: chance.between(10, 100) as u8, for_ms: spell(chance) }
}

fn clock_jump(plan: &Plan, chance: &mut Chance) -> Fault {
    let size = match chance.below(10) {
        0..=4 => chance.between(1, 500),
        5..=7 => chance.between(500, 20_000),
        _ => chance.between(20_000, 200_000),
    };
    let by_ms = if chance.percent(50) { size as i64 } else { -(size as i64) };
    Fault::ClockJump { instance: instance(plan, chance), by_ms }
}

fn consumer(chance: &mut Chance) -> Consumer {
    *chance.pick(&[Consumer::ReadModel, Consumer::Ledger])
}

fn rebalances(chance: &mut Chance) -> Fault {
    let times = chance.between(1, 10) as u8;
    Fault::RebalanceStorm { consumer: consumer(chance), times, gap_ms: chance.between(1, 200) }
}

fn poison_rows(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::PoisonRows { consumer: consumer(chance), wallet: wallet(plan, chance), for_ms: spell(chance) }
}

fn poison_messages(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::PoisonMessages { wallet: wallet(plan, chance), garbled: chance.percent(30), for_ms: spell(chance) }
}

fn leaderless(chance: &mut Chance) -> Fault {
    Fault::Leaderless { partition: chance.below(u64::from(PARTITIONS)) as u16, for_ms: spell(chance) }
}

fn disk_full(chance: &mut Chance) -> Fault {
    Fault::DiskFull { for_ms: chance.between(20, 2_000) }
}

fn syncs_fail(chance: &mut Chance) -> Fault {
    Fault::SyncsFail { count: chance.between(1, 3) as u8 }
}
