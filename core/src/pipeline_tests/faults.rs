//! Every effect of the pipeline may come to anything: it happens or not, and its completion tells, is unknown, comes
//! twice, late or never. Whatever came before, the rows are the same in the end (INV-06, INV-08, INV-10).

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 3] = ["a", "b", "c"];
const CONSUMERS: [Consumer; 3] = [Consumer::Relay, Consumer::ReadModel, Consumer::Ledger];

/// What becomes of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Honest,
    /// It happens, and the completion is unknown.
    UnknownDone,
    /// It does not happen, and the completion is unknown.
    UnknownNotDone,
    /// It does not happen, and the completion says so.
    Failed,
    /// It happens, and there is no completion.
    SilentDone,
    /// It does not happen, and there is no completion.
    SilentNotDone,
    /// It happens, and its completion comes twice.
    Twice,
    /// It happens, and its completion comes when nobody waits for it any more.
    Late,
    /// Of the events to be published, the broker takes none of the first one's wallet for now.
    Partly,
}

/// All fates but the honest one.
const FAULTS: [Fate; 8] = [
    Fate::UnknownDone,
    Fate::UnknownNotDone,
    Fate::Failed,
    Fate::SilentDone,
    Fate::SilentNotDone,
    Fate::Twice,
    Fate::Late,
    Fate::Partly,
];

/// A completion without content, as the input that an effect waits for.
fn answered(effect: &Effect, failure: Option<Failure>) -> Input {
    fn said<T>(failure: Option<Failure>) -> Completion<T> {
        failure.map_or(Completion::Unknown, Completion::Failed)
    }
    match effect {
        Effect::Lead { effect, .. } => Input::Led(*effect, said(failure)),
        Effect::LoadFeederCheckpoint(id) => Input::FeederCheckpoint(*id, said(failure)),
        Effect::ReadLog { effect, .. } => Input::LogRead(*effect, said(failure)),
        Effect::WriteOutbox { effect, .. } => Input::OutboxWritten(*effect, said(failure)),
        Effect::LoadRelayProgress(id) => Input::RelayProgress(*id, said(failure)),
        Effect::ReadOutbox { effect, .. } => Input::OutboxRead(*effect, said(failure)),
        Effect::Publish(id, _) => Input::Published(*id, said(failure)),
        Effect::PublishDead(id, _) => Input::DeadPublished(*id, said(failure)),
        Effect::MarkPublished { effect, .. } => Input::PublishedMarked(*effect, said(failure)),
        Effect::LoadProgress { effect, .. } => Input::Progress(*effect, said(failure)),
        Effect::Fetch { effect, .. } => Input::Fetched(*effect, said(failure)),
        Effect::LoadVersions { effect, .. } => Input::Versions(*effect, said(failure)),
        Effect::ReadStream { effect, .. } => Input::StreamRead(*effect, said(failure)),
        Effect::Project { effect, .. } => Input::Projected(*effect, said(failure)),
        Effect::LoadHeld { effect, .. } => Input::HeldLoaded(*effect, said(failure)),
        other => panic!("not an effect of the pipeline: {other:?}"),
    }
}

/// The completions of an effect under a fate: those that come at once, and those that come late.
fn complete(world: &mut World, effect: Effect, fate: Fate) -> (Vec<Input>, Vec<Input>) {
    let unknown = answered(&effect, None);
    match (fate, &effect) {
        (Fate::UnknownNotDone, _) => (vec![unknown], Vec::new()),
        (Fate::Failed, _) => (vec![answered(&effect, Some(unavailable()))], Vec::new()),
        (Fate::SilentNotDone, _) => (Vec::new(), Vec::new()),
        (Fate::Partly, Effect::Publish(id, events)) => {
            let results = world.publish(events, Some(&events[0].event.wallet_id));
            (vec![Input::Published(*id, Completion::Done(results))], Vec::new())
        }
        (Fate::Honest | Fate::Partly, _) => (vec![world.perform(effect)], Vec::new()),
        (Fate::UnknownDone, _) => {
            world.perform(effect);
            (vec![unknown], Vec::new())
        }
        (Fate::SilentDone, _) => {
            world.perform(effect);
            (Vec::new(), Vec::new())
        }
        (Fate::Twice, _) => {
            let input = world.perform(effect);
            (vec![input.clone(), input], Vec::new())
        }
        (Fate::Late, _) => (Vec::new(), vec![world.perform(effect)]),
    }
}

impl World {
    /// The bytes of the newest message are no event.
    fn garble(&mut self) {
        if let Some(message) = self.topic.last_mut() {
            message.event = Err(rejected());
        }
    }

    /// An operator has everything tried again that was set aside.
    fn retry_all(&mut self) {
        let held: BTreeSet<_> = self.held.iter().map(|one| (one.consumer, one.wallet_id.clone())).collect();
        for (consumer, wallet) in held {
            self.node.handle(self.now, Input::RetryHeld(consumer, wallet));
        }
    }

    /// The faults end. What came to nothing for good comes late, and everything converges.
    fn recover(&mut self, late: Vec<Input>) {
        self.poison.clear();
        self.granted = true;
        self.run(60);
        for input in late {
            self.node.handle(self.now, input);
        }
        self.run(10);
        // Before anything else happens that would put right what was left.
        self.assert_caught_up();
        // What the broker has lost shows as a gap when a later event comes.
        let gaps: BTreeSet<_> = std::mem::take(&mut self.lost).into_iter().map(|(wallet, _)| wallet).collect();
        gaps.iter().for_each(|wallet| self.happen(wallet.as_str()));
        self.run(20);
        self.retry_all();
        self.run(60);
        self.assert_caught_up();
        self.assert_converged(&[]);
        self.assert_published(&gaps);
        assert!(self.held.is_empty(), "INV-11: {:?}", self.held);
    }

    /// INV-06 for the outbox; and every checkpoint in a store is at the end of what there is.
    fn assert_caught_up(&self) {
        let end = Position(self.log.len() as u64);
        assert_eq!((self.outbox.len(), self.feeder, self.relay), (self.log.len(), end, end), "INV-06");
        for consumer in [Consumer::ReadModel, Consumer::Ledger] {
            for message in &self.topic {
                let offset = self.offsets.get(&(consumer, message.partition)).copied().unwrap_or(0);
                assert!(offset >= message.offset, "INV-06: {consumer:?} is at {offset}, before {}", message.offset);
            }
        }
    }

    /// INV-06 for the topic, and its order: a wallet's versions come one after the other, however often they come.
    fn assert_published(&self, except: &BTreeSet<WalletId>) {
        for (wallet, expected) in self.rows.iter().filter(|(wallet, _)| !except.contains(*wallet)) {
            let mut last = 0;
            for message in self.topic.iter().filter(|message| message.wallet_id == *wallet) {
                assert!(message.version.0 <= last + 1, "INV-06: {wallet} {} comes after {last}", message.version);
                last = last.max(message.version.0);
            }
            assert_eq!(last, expected.version.0, "INV-06: topic of {wallet}");
        }
    }
}

/// A day in the life of the pipeline, in which each of its effects occurs: a dead letter and a retry for every
/// consumer, and a gap on the topic.
fn day(complete: &mut impl FnMut(&mut World, Effect) -> Vec<Input>) -> World {
    let mut world = World::with(Config { leadership: true, ..config() });
    let wallet = |name: &str| WalletId::parse(name).unwrap();
    world.poison = BTreeSet::from([
        (Consumer::Relay, wallet("a"), Version(2)),
        (Consumer::ReadModel, wallet("b"), Version(2)),
        (Consumer::Ledger, wallet("b"), Version(1)),
    ]);
    world.lost = BTreeSet::from([(wallet("c"), Version(1))]);
    ["a", "b", "a", "b", "c", "c", "b"].iter().for_each(|name| world.happen(name));
    world.run_with(12, complete);
    world.poison.clear();
    world.retry_all();
    world.run_with(3, complete);
    world
}

fn name_of(effect: &Effect) -> String {
    let name = format!("{effect:?}");
    name.split(|letter: char| !letter.is_alphanumeric()).next().unwrap().to_owned()
}

#[test]
fn every_single_effect_of_a_day_may_come_to_anything() {
    let mut names = Vec::new();
    let world = day(&mut |world, effect| {
        names.push(name_of(&effect));
        vec![world.perform(effect)]
    });
    assert!(world.held.is_empty());
    world.assert_converged(&[]);
    let announced: BTreeSet<_> = world.announced.iter().map(|(consumer, _)| *consumer).collect();
    assert_eq!(announced, BTreeSet::from(CONSUMERS));
    let status = world.node.pipeline();
    assert!(status.read_model_statistics.gaps >= 1 && status.ledger_statistics.gaps >= 1, "{status:?}");
    let met: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let all = [
        "Fetch",
        "Lead",
        "LoadFeederCheckpoint",
        "LoadHeld",
        "LoadProgress",
        "LoadRelayProgress",
        "LoadVersions",
        "MarkPublished",
        "Project",
        "Publish",
        "PublishDead",
        "ReadLog",
        "ReadOutbox",
        "ReadStream",
        "WriteOutbox",
    ];
    assert_eq!(met.into_iter().collect::<Vec<_>>(), all);
    for faulted in 0..names.len() {
        for fate in FAULTS {
            let (mut count, mut late) = (0, Vec::new());
            let mut world = day(&mut |world, effect| {
                count += 1;
                let fate = if count - 1 == faulted { fate } else { Fate::Honest };
                let (now, later) = complete(world, effect, fate);
                late.extend(later);
                now
            });
            world.recover(late);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The next event of a wallet.
    Happen(usize),
    /// The n-th effect that waits comes to something.
    Complete(usize, Fate),
    /// A completion comes again.
    Again(usize),
    /// The process dies with effects in the air, which still happen or do not.
    Crash(bool),
    /// Everything goes well for this many seconds, but for what waits.
    Calm(u64),
    Lead(bool),
    /// A consumer's store or broker refuses an event.
    Poison(usize, usize, u64),
    Cure,
    Retry,
    /// The broker acknowledges an event and loses it.
    Lose(usize, u64),
    /// The bytes of the newest message turn out to be no event.
    Garble,
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![16 => Just(Fate::Honest), 8 => prop::sample::select(&FAULTS[..])];
    prop_oneof![
        12 => (0..NAMES.len()).prop_map(Step::Happen),
        40 => (any::<usize>(), fate).prop_map(|(at, fate)| Step::Complete(at, fate)),
        3 => any::<usize>().prop_map(Step::Again),
        2 => any::<bool>().prop_map(Step::Crash),
        3 => (0_u64..15).prop_map(Step::Calm),
        1 => any::<bool>().prop_map(Step::Lead),
        1 => (0..CONSUMERS.len(), 0..NAMES.len(), 1_u64..6)
            .prop_map(|(consumer, name, version)| Step::Poison(consumer, name, version)),
        1 => Just(Step::Cure),
        2 => Just(Step::Retry),
        1 => (0..NAMES.len(), 1_u64..6).prop_map(|(name, version)| Step::Lose(name, version)),
        1 => Just(Step::Garble),
    ]
}

/// Effects that wait, and completions that were given or are to come late.
#[derive(Default)]
struct Air {
    waiting: Vec<Effect>,
    given: Vec<Input>,
    late: Vec<Input>,
}

impl Air {
    fn take(&mut self, world: &mut World, step: Step) {
        self.waiting.extend(std::iter::from_fn(|| world.node.poll_effect()));
        match step {
            Step::Happen(name) => world.happen(NAMES[name]),
            Step::Complete(at, fate) if !self.waiting.is_empty() => {
                let effect = self.waiting.swap_remove(at % self.waiting.len());
                let (now, later) = complete(world, effect, fate);
                self.late.extend(later);
                self.given.extend(now.iter().cloned());
                now.into_iter().for_each(|input| world.node.handle(world.now, input));
            }
            Step::Complete(..) => world.step(),
            Step::Again(at) if !self.given.is_empty() => {
                world.node.handle(world.now, self.given[at % self.given.len()].clone());
            }
            Step::Again(_) => {}
            Step::Crash(happens) => {
                // Completions die with the process that waited for them.
                let waiting = std::mem::take(self).waiting;
                waiting.into_iter().filter(|_| happens).for_each(|effect| drop(world.perform(effect)));
                world.restart();
            }
            Step::Calm(seconds) => world.run(seconds),
            Step::Lead(granted) => world.granted = granted,
            Step::Poison(consumer, name, version) => {
                let wallet = WalletId::parse(NAMES[name]).unwrap();
                world.poison.insert((CONSUMERS[consumer], wallet, Version(version)));
            }
            Step::Cure => world.poison.clear(),
            Step::Retry => world.retry_all(),
            Step::Lose(name, version) => {
                world.lost.insert((WalletId::parse(NAMES[name]).unwrap(), Version(version)));
            }
            Step::Garble => world.garble(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mix of events, faults, refusals and crashes.
    #[test]
    fn everything_converges_after_any_faults(leadership: bool, steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::with(Config { leadership, ..config() });
        let mut air = Air::default();
        for step in steps {
            air.take(&mut world, step);
        }
        world.recover(air.late);
    }
}
