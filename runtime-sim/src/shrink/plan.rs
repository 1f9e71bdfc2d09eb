//! What can be taken out of a [`Plan`]. Clients keep their numbers: one that is removed has nothing to do. Steps that
//! go leave their waiting time to the next one, so that what remains happens when it did.
//!
//! Offers smaller and simpler plans; which of them fails in the same way is found out by the module above.

use super::{Part, Shrinkable};
use crate::plan::{Act, Plan, Step};

impl Shrinkable for Plan {
    fn parts(&self, kind: Part) -> usize {
        match kind {
            Part::Faults => self.faults.len(),
            Part::Clients => self.clients.iter().filter(|steps| !steps.is_empty()).count(),
            Part::Steps => self.clients.iter().map(Vec::len).sum(),
            Part::Members => self.clients.iter().flatten().map(members).sum(),
        }
    }

    fn without(&self, kind: Part, from: usize, count: usize) -> Self {
        let mut plan = self.clone();
        let gone = from..from + count;
        match kind {
            Part::Faults => drop(plan.faults.drain(gone)),
            Part::Clients => {
                let busy = plan.clients.iter_mut().filter(|steps| !steps.is_empty());
                busy.skip(from).take(count).for_each(Vec::clear);
            }
            Part::Steps => {
                let mut number = 0;
                for steps in &mut plan.clients {
                    let mut waited = 0_u32;
                    steps.retain_mut(|step| {
                        let stays = !gone.contains(&number);
                        number += 1;
                        waited = waited.saturating_add(step.after_ms);
                        if stays {
                            step.after_ms = std::mem::take(&mut waited);
                        }
                        stays
                    });
                }
            }
            Part::Members => {
                let mut number = 0;
                for step in plan.clients.iter_mut().flatten() {
                    if let Act::Batch { ops, .. } = &mut step.act {
                        // One stays: an empty batch is another request.
                        let mut left = ops.len();
                        ops.retain(|_| {
                            let goes = gone.contains(&number) && left > 1;
                            number += 1;
                            left -= usize::from(goes);
                            !goes
                        });
                    }
                }
            }
        }
        plan
    }

    fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut offer = |plan: Self| {
            if plan != *self {
                all.push(plan);
            }
        };
        let options = &self.options;
        let quiet = crate::plan::Options { loss_ppm: 0, duplicates_ppm: 0, ..options.clone() };
        offer(Self { options: quiet, ..self.clone() });
        let lonely = crate::plan::Options { instances: options.instances.min(1), ..options.clone() };
        offer(Self { options: lonely, ..self.clone() });
        let fewer = crate::plan::Options { instances: options.instances.min(2), ..options.clone() };
        offer(Self { options: fewer, ..self.clone() });
        let mut sooner = self.clone();
        sooner.clients.iter_mut().flatten().for_each(|step| step.after_ms /= 2);
        sooner.faults.iter_mut().for_each(|fault| fault.at_ms /= 2);
        offer(sooner);
        let mut eager = self.clone();
        eager.clients.iter_mut().flatten().for_each(|step| step.after_ms = 0);
        offer(eager);
        for at in 0..self.faults.len() {
            let mut early = self.clone();
            early.faults[at].at_ms /= 2;
            offer(early);
        }
        all
    }
}

fn members(step: &Step) -> usize {
    match &step.act {
        Act::Batch { ops, .. } => ops.len(),
        Act::One { .. } | Act::Read { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Op, Preset, Topology, generate};

    fn plan() -> Plan {
        generate(7, Preset::Storm, Topology::Production, 200)
    }

    #[test]
    fn steps_that_go_leave_their_time_to_the_next() {
        let plan = plan();
        let first = plan.without(Part::Steps, 0, 1);
        assert_eq!(first.commands(), plan.commands() - 1);
        assert_eq!(first.clients[0][0].after_ms, plan.clients[0][0].after_ms + plan.clients[0][1].after_ms);
        assert_eq!(first.clients[1..], plan.clients[1..]);
    }

    #[test]
    fn a_client_without_steps_keeps_its_number() {
        let plan = plan();
        let fewer = plan.without(Part::Clients, 1, 1);
        assert_eq!(fewer.clients.len(), plan.clients.len());
        assert!(fewer.clients[1].is_empty());
        assert_eq!(fewer.parts(Part::Clients), plan.parts(Part::Clients) - 1);
        assert_eq!(fewer.lanes().len(), plan.lanes().len() - 1);
        assert!(!fewer.lanes().contains(&crate::lane::Lane::Client(1)));
    }

    #[test]
    fn a_batch_keeps_its_last_member() {
        let mut plan = plan();
        let op = Op::Credit { wallet: 0, amount: 1 };
        plan.clients = vec![vec![Step { after_ms: 0, act: Act::Batch { key: None, ops: vec![op; 3], atomic: true } }]];
        assert_eq!(plan.without(Part::Members, 0, 3).parts(Part::Members), 1);
        assert_eq!(plan.without(Part::Members, 1, 1).parts(Part::Members), 2);
    }

    #[test]
    fn a_generated_plan_shrinks_to_the_one_fault_that_matters() {
        let plan = plan();
        let needed = plan.faults[plan.faults.len() / 2].fault.clone();
        let has = |plan: &Plan| plan.faults.iter().any(|planned| planned.fault == needed);
        let run = |plan: &Plan| (has(plan) && plan.commands() > 0).then_some(crate::check::Invariant(4));
        let shrunk = super::super::shrink(plan, crate::check::Invariant(4), 10_000, run);
        assert_eq!((shrunk.plan.faults.len(), shrunk.plan.commands()), (1, 1));
        assert!(shrunk.minimal);
    }
}
