//! From a seed to a plan: options first, then what the clients do, then what goes wrong, each from chance of its own.
//!
//! Swarm testing: every seed switches whole kinds of operations and faults on or off, because a mixture of everything
//! reaches fewer corners than many different mixtures (Groce et al., "Swarm Testing", ISSTA 2012).

use super::faults;
use super::{Act, Op, Options, Plan, Preset, Step, Topology};
use crate::chance::{Chance, Concern};

/// Amounts of single operations, in cents.
const AMOUNT_MAX: u64 = 4_000;
/// First money of a wallet, in cents.
const BALANCE_MAX: u64 = 50_000;

/// Makes the plan of a seed, with so many commands in all.
#[must_use]
pub fn generate(seed: u64, preset: Preset, topology: Topology, commands: usize) -> Plan {
    let mut chance = Chance::of(seed, Concern::Options);
    let options = options(&mut chance, preset, topology);
    let clients = match topology {
        Topology::Production => chance.between(5, 14),
        Topology::Embedded => chance.between(2, 12),
    };
    let mix = Mix::draw(&mut chance, options.wallets);
    let clients = Workload { chance: Chance::of(seed, Concern::Workload), mix, keys: 0, used: Vec::new() }.clients(
        clients as usize,
        commands,
        options.wallets,
    );
    let mut plan = Plan { seed, preset, topology, options, clients, faults: Vec::new() };
    let (mut usual, mut more) = (Chance::of(seed, Concern::Faults), Chance::of(seed, Concern::More));
    faults::draw(&mut plan, &mut chance, &mut usual, &mut more);
    plan
}

fn options(chance: &mut Chance, preset: Preset, topology: Topology) -> Options {
    let slow = chance.percent(20);
    let delay_us = if slow { (1_000, 25_000) } else { (300, 3_000) };
    let (loss_ppm, duplicates_ppm) = match preset {
        Preset::Calm => (0, 0),
        Preset::Default => (chance.below(3_000) as u32, chance.below(20_000) as u32),
        Preset::Storm => (chance.below(20_000) as u32, chance.below(60_000) as u32),
    };
    let request_timeout_ms = *chance.pick(&[1_000, 2_000, 4_000, 10_000]);
    Options {
        instances: match topology {
            Topology::Production => chance.between(2, 4) as u8,
            Topology::Embedded => 1,
        },
        wallets: *chance.pick(&[2, 4, 8, 16, 40]),
        delay_us,
        loss_ppm,
        duplicates_ppm,
        service_us: if chance.percent(20) { (500, 8_000) } else { (50, 900) },
        request_timeout_ms,
        effect_timeout_ms: request_timeout_ms / chance.between(1, 4),
        call_timeout_ms: *chance.pick(&[300, 1_000, 3_000]),
        segment_bytes: *chance.pick(&[8 << 10, 32 << 10, 256 << 10]),
        kinds: Vec::new(),
    }
}

/// How often something is done, out of the sum of all.
#[derive(Debug)]
struct Mix {
    credit: u64,
    debit: u64,
    transfer: u64,
    batch: u64,
    read: u64,
    create: u64,
    keyed_percent: u32,
    reused_percent: u32,
    if_match_percent: u32,
    batch_max: u64,
    /// How many wallets get most of the work; 0 for none.
    hot: u64,
    think_ms: u64,
}

impl Mix {
    fn draw(chance: &mut Chance, wallets: u16) -> Self {
        let mut weight = |high: u64| if chance.percent(75) { chance.between(1, high) } else { 0 };
        let (credit, debit, transfer) = (weight(10), weight(8), weight(14));
        let (batch, read, create) = (weight(3), weight(6), weight(1));
        Self {
            // Money has to come from somewhere, else everything is refused.
            credit: credit.max(2),
            debit,
            transfer,
            batch,
            read,
            create,
            keyed_percent: *chance.pick(&[50, 90, 100, 100]),
            reused_percent: *chance.pick(&[0, 1, 5, 15]),
            if_match_percent: *chance.pick(&[0, 0, 0, 10]),
            batch_max: *chance.pick(&[2, 5, 20]),
            hot: if chance.percent(50) { chance.between(1, 2).min(u64::from(wallets)) } else { 0 },
            think_ms: *chance.pick(&[2, 10, 40]),
        }
    }
}

struct Workload {
    chance: Chance,
    mix: Mix,
    keys: u32,
    /// What was sent under keys so far, to be sent again.
    used: Vec<Act>,
}

impl Workload {
    fn clients(mut self, clients: usize, commands: usize, wallets: u16) -> Vec<Vec<Step>> {
        let mut all: Vec<Vec<Step>> = vec![Vec::new(); clients];
        for number in 0..commands.max(usize::from(wallets)) {
            let act = match u16::try_from(number) {
                Ok(wallet) if wallet < wallets => self.creation(wallet),
                Ok(_) | Err(_) => self.act(wallets),
            };
            let after_ms = self.chance.below(self.mix.think_ms * 2 + 1) as u32;
            all[number % clients].push(Step { after_ms, act });
        }
        all
    }

    fn creation(&mut self, wallet: u16) -> Act {
        let balance = self.chance.between(2_000, BALANCE_MAX) as u32;
        let key = self.key();
        self.remember(Act::One { key, op: Op::Create { wallet, balance }, if_match: false })
    }

    fn act(&mut self, wallets: u16) -> Act {
        if !self.used.is_empty() && self.chance.percent(self.mix.reused_percent) {
            return self.again(wallets);
        }
        let mix = &self.mix;
        let kinds = [mix.credit + mix.debit + mix.transfer + mix.create, mix.batch, mix.read];
        let drawn = self.chance.below(kinds.iter().sum());
        if drawn < kinds[0] {
            let (key, op) = (self.key(), self.op(wallets));
            let if_match = !matches!(op, Op::Create { .. }) && self.chance.percent(self.mix.if_match_percent);
            self.remember(Act::One { key, op, if_match })
        } else if drawn < kinds[0] + kinds[1] {
            let count = self.chance.between(1, self.mix.batch_max);
            let (key, atomic) = (self.key(), self.chance.percent(50));
            let ops = (0..count).map(|_| self.op(wallets)).collect();
            self.remember(Act::Batch { key, ops, atomic })
        } else {
            Act::Read { wallet: self.wallet(wallets), from_store: self.chance.percent(30) }
        }
    }

    /// A key that was used before: mostly with the same payload, sometimes with another.
    fn again(&mut self, wallets: u16) -> Act {
        let recent = self.used.len().min(12) as u64;
        let at = self.used.len() - 1 - self.chance.below(recent) as usize;
        let before = self.used[at].clone();
        if self.chance.percent(70) {
            return before;
        }
        Act::One { key: before.key(), op: self.op(wallets), if_match: false }
    }

    fn op(&mut self, wallets: u16) -> Op {
        let mix = &self.mix;
        let weights = [mix.credit, mix.debit, mix.transfer, mix.create];
        let mut drawn = self.chance.below(weights.iter().sum());
        let mut kind = 0;
        while drawn >= weights[kind] {
            drawn -= weights[kind];
            kind += 1;
        }
        let wallet = self.wallet(wallets);
        let amount = self.chance.between(1, AMOUNT_MAX) as u32;
        match kind {
            0 => Op::Credit { wallet, amount: amount + amount / 4 },
            1 => Op::Debit { wallet, amount },
            2 => {
                let other = self.wallet(wallets);
                // A transfer to itself is refused: now and then is enough.
                let same = other == wallet && self.chance.percent(95);
                let to = if same { (wallet + 1) % wallets } else { other };
                Op::Transfer { from: wallet, to, amount }
            }
            _ => Op::Create { wallet, balance: amount },
        }
    }

    fn wallet(&mut self, wallets: u16) -> u16 {
        if self.mix.hot > 0 && self.chance.percent(70) {
            return self.chance.below(self.mix.hot) as u16;
        }
        self.chance.below(u64::from(wallets)) as u16
    }

    fn key(&mut self) -> Option<u32> {
        self.chance.percent(self.mix.keyed_percent).then(|| {
            self.keys += 1;
            self.keys
        })
    }

    fn remember(&mut self, act: Act) -> Act {
        if act.key().is_some() {
            self.used.push(act.clone());
        }
        act
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, FaultKind};

    #[test]
    fn a_seed_has_one_plan_and_it_survives_json() {
        for topology in [Topology::Production, Topology::Embedded] {
            let plan = generate(11, Preset::Storm, topology, 200);
            assert_eq!(plan, generate(11, Preset::Storm, topology, 200));
            assert_ne!(plan, generate(12, Preset::Storm, topology, 200));
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
            assert_eq!(plan.commands(), 200);
        }
    }

    #[test]
    fn presets_differ_in_how_much_goes_wrong() {
        let faults = |preset| generate(5, preset, Topology::Production, 100).faults.len();
        assert_eq!(faults(Preset::Calm), 0);
        assert!(faults(Preset::Default) >= 8);
        assert!(faults(Preset::Storm) > faults(Preset::Default));
    }

    #[test]
    fn every_kind_is_on_for_some_seeds_and_off_for_others_and_a_plan_has_only_what_is_on() {
        for topology in [Topology::Production, Topology::Embedded] {
            let plans: Vec<Plan> = (0..60).map(|seed| generate(seed, Preset::Storm, topology, 20)).collect();
            let mut kinds: Vec<_> = plans.iter().flat_map(|plan| plan.options.kinds.clone()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            for kind in kinds {
                let on = plans.iter().filter(|plan| plan.options.kinds.contains(&kind)).count();
                assert!((1..plans.len()).contains(&on), "{kind:?} is on in {on} of {} seeds", plans.len());
            }
            for plan in &plans {
                let has = |kind| plan.options.kinds.contains(&kind);
                assert_eq!(plan.options.loss_ppm > 0, has(FaultKind::Loss), "seed {}", plan.seed);
                assert_eq!(plan.options.duplicates_ppm > 0, has(FaultKind::Duplicates), "seed {}", plan.seed);
                let rots = plan.faults.iter().any(|planned| matches!(planned.fault, Fault::Rot { .. }));
                assert!(!rots || has(FaultKind::Rot), "seed {}", plan.seed);
            }
        }
    }
}
