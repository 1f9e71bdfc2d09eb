//! What goes wrong in a plan, and when.
//!
//! Each seed has some kinds of faults and not others. Most spells are short; now and then one lasts so long that every
//! timeout passes meanwhile.

use wallex_core::limits::PARTITIONS;
use wallex_core::projector::Consumer;

use super::{Direction, Fault, Plan, Planned, Preset, Server, Topology};
use crate::chance::Chance;
use crate::lane::Lane;

/// The kinds that a network of several processes can have.
const PRODUCTION: [Draw; 16] = [
    crash,
    crash,
    graceful,
    pause,
    server_down,
    partition,
    isolate,
    bad_network,
    slow,
    lost_answers,
    clock_jump,
    leases_lost,
    rebalances,
    poison_rows,
    poison_messages,
    leaderless,
];
/// The kinds that one process with a disk can have.
const EMBEDDED: [Draw; 10] =
    [crash, crash, power_cut, power_cut, graceful, pause, clock_jump, poison_rows, disk_full, syncs_fail];

type Draw = fn(&Plan, &mut Chance) -> Fault;

pub(super) fn draw(plan: &Plan, options: &mut Chance, chance: &mut Chance) -> Vec<Planned> {
    let count = match plan.preset {
        Preset::Calm => return Vec::new(),
        Preset::Default => chance.between(8, 16),
        Preset::Storm => chance.between(20, 40),
    };
    let all: &[Draw] = match plan.topology {
        Topology::Production => &PRODUCTION,
        Topology::Embedded => &EMBEDDED,
    };
    let mut kinds: Vec<Draw> = all.iter().copied().filter(|_| options.percent(60)).collect();
    if kinds.is_empty() {
        kinds.push(crash);
    }
    // As long as the clients would take if nothing went wrong, and somewhat longer.
    let busiest = plan.clients.iter().map(|steps| steps.iter().map(|step| u64::from(step.after_ms) + 12).sum::<u64>());
    let span = busiest.max().unwrap_or(0).max(1_000) * 3 / 2;
    let mut faults: Vec<Planned> = (0..count)
        .map(|_| {
            let at_ms = chance.below(span);
            Planned { at_ms, fault: chance.pick(&kinds)(plan, chance) }
        })
        .collect();
    faults.sort_by_key(|planned| planned.at_ms);
    faults
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

fn power_cut(_: &Plan, chance: &mut Chance) -> Fault {
    Fault::PowerCut { after_operations: chance.below(20) as u16, down_ms: chance.between(5, 300) }
}

fn graceful(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::GracefulRestart { instance: instance(plan, chance), drain_ms: chance.between(10, 2_000) }
}

fn pause(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::Pause { instance: instance(plan, chance), for_ms: spell(chance) }
}

fn server_down(_: &Plan, chance: &mut Chance) -> Fault {
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

fn bad_network(_: &Plan, chance: &mut Chance) -> Fault {
    Fault::BadNetwork {
        loss_ppm: chance.below(300_000) as u32,
        duplicates_ppm: chance.below(300_000) as u32,
        extra_delay_us: chance.below(400_000),
        for_ms: spell(chance),
    }
}

fn slow(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::Slow { node: node(plan, chance), extra_us: chance.between(5_000, 2_000_000), for_ms: spell(chance) }
}

fn lost_answers(_: &Plan, chance: &mut Chance) -> Fault {
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

fn leases_lost(_: &Plan, _: &mut Chance) -> Fault {
    Fault::LeasesLost
}

fn consumer(chance: &mut Chance) -> Consumer {
    *chance.pick(&[Consumer::ReadModel, Consumer::Ledger])
}

fn rebalances(_: &Plan, chance: &mut Chance) -> Fault {
    let times = chance.between(1, 10) as u8;
    Fault::RebalanceStorm { consumer: consumer(chance), times, gap_ms: chance.between(1, 200) }
}

fn poison_rows(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::PoisonRows { consumer: consumer(chance), wallet: wallet(plan, chance), for_ms: spell(chance) }
}

fn poison_messages(plan: &Plan, chance: &mut Chance) -> Fault {
    Fault::PoisonMessages { wallet: wallet(plan, chance), garbled: chance.percent(30), for_ms: spell(chance) }
}

fn leaderless(_: &Plan, chance: &mut Chance) -> Fault {
    Fault::Leaderless { partition: chance.below(u64::from(PARTITIONS)) as u16, for_ms: spell(chance) }
}

fn disk_full(_: &Plan, chance: &mut Chance) -> Fault {
    Fault::DiskFull { for_ms: chance.between(20, 2_000) }
}

fn syncs_fail(_: &Plan, chance: &mut Chance) -> Fault {
    Fault::SyncsFail { count: chance.between(1, 3) as u8 }
}
