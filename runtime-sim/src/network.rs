//! The network, and everything else that is to happen at some time: one queue of events, ordered by due time.
//!
//! Each message has a delay of its own, so messages overtake each other. Spells come on top: a partition that lasts, a
//! link that loses and repeats, a node that is slow. A message is judged when it is sent. What survives is delivered by
//! one task ([`crate::world`]), the only one that sleeps for the network.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

use crate::chance::{Chance, Concern};
use crate::lane::Lane;
use crate::marks::{Mark, Marks};
use crate::plan::{Direction, Options, Server};

/// Longest a repeated message comes after the first, in microseconds.
const REPEAT_WITHIN_US: u64 = 30_000;
/// A slow instance is busy after a turn for up to one of so many parts of what a message takes longer.
const TURN_SHARE: u64 = 4;
/// Within one process messages take no time to speak of.
const INSIDE_US: u64 = 60;

/// What lasts for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spell {
    Cut { from: Lane, to: Lane, direction: Direction },
    Isolated(Lane),
    Bad { from: Option<Lane>, to: Option<Lane>, loss_ppm: u32, duplicates_ppm: u32, extra_delay_us: u64 },
    Slow { node: Lane, extra_us: u64 },
    LostAnswers { server: Server, percent: u8 },
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    /// After so many microseconds; and once more.
    Arrives(u64, Option<u64>),
}

/// When, in which order, and the place of what happens: the heap moves its entries about, and events are large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    number: u64,
    place: usize,
}

/// Spells, delays, and the queue.
#[derive(Debug)]
pub(crate) struct Network<E> {
    queue: BinaryHeap<Reverse<Due>>,
    events: Slab<E>,
    pushed: u64,
    spells: Vec<(u64, Spell)>,
    chance: Chance,
    delay_us: (u64, u64),
    loss_ppm: u32,
    duplicates_ppm: u32,
    /// Whether all nodes but the clients are one process.
    inside: bool,
    /// Messages sent.
    pub(crate) messages: u64,
    /// What has happened to them.
    pub(crate) marks: Marks,
}

impl<E> Network<E> {
    pub(crate) fn new(seed: u64, options: &Options, inside: bool) -> Self {
        Self {
            queue: BinaryHeap::new(),
            events: Slab::new(),
            pushed: 0,
            spells: Vec::new(),
            chance: Chance::of(seed, Concern::Network),
            delay_us: options.delay_us,
            loss_ppm: options.loss_ppm,
            duplicates_ppm: options.duplicates_ppm,
            inside,
            messages: 0,
            marks: Marks::default(),
        }
    }

    /// Lets something happen at a time, in microseconds.
    pub(crate) fn push(&mut self, at: u64, event: E) {
        self.pushed += 1;
        let place = self.events.insert(event);
        self.queue.push(Reverse(Due { at, number: self.pushed, place }));
    }

    /// The next event that is due.
    pub(crate) fn pop(&mut self, now: u64) -> Option<E> {
        if self.next_at()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse(due)| self.events.remove(due.place))
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(due)| due.at)
    }

    /// A spell begins.
    pub(crate) fn cast(&mut self, until: u64, spell: Spell) {
        self.spells.push((until, spell));
    }

    /// All spells are over, and the network loses nothing any more.
    pub(crate) fn heal(&mut self) {
        self.spells.clear();
        (self.loss_ppm, self.duplicates_ppm) = (0, 0);
    }

    /// How much longer than usual the work of a server takes.
    pub(crate) fn slowness(&mut self, now: u64, node: Lane) -> u64 {
        let most = self.most_slowness(now, node);
        self.chance.below(most + 1)
    }

    /// How long a slow instance is busy after a turn; nothing when it is not slow.
    pub(crate) fn busy_after_turn(&mut self, now: u64, node: Lane) -> Option<u64> {
        let most = self.most_slowness(now, node) / TURN_SHARE;
        (most > 0).then(|| self.chance.below(most + 1))
    }

    fn most_slowness(&self, now: u64, node: Lane) -> u64 {
        let extra = self.spells.iter().filter(|(until, _)| *until > now).map(|(_, spell)| match spell {
            Spell::Slow { node: slow, extra_us } if *slow == node => *extra_us,
            Spell::Slow { .. } | Spell::Cut { .. } | Spell::Isolated(_) | Spell::Bad { .. } => 0,
            Spell::LostAnswers { .. } => 0,
        });
        extra.max().unwrap_or(0)
    }

    /// Whether no connection between two nodes can last.
    pub(crate) fn is_cut(&self, now: u64, one: Lane, other: Lane) -> bool {
        self.spells.iter().filter(|(until, _)| *until > now).any(|(_, spell)| match *spell {
            Spell::Cut { from, to, .. } => (from, to) == (one, other) || (from, to) == (other, one),
            Spell::Isolated(node) => node == one || node == other,
            Spell::Bad { .. } | Spell::Slow { .. } | Spell::LostAnswers { .. } => false,
        })
    }

    /// Whether the answer of a server is lost on its way out.
    pub(crate) fn loses_answer(&mut self, now: u64, from: Server) -> bool {
        let percent = self.spells.iter().filter(|(until, _)| *until > now).map(|(_, spell)| match spell {
            Spell::LostAnswers { server, percent } if *server == from => u32::from(*percent),
            Spell::LostAnswers { .. } | Spell::Slow { .. } | Spell::Cut { .. } => 0,
            Spell::Isolated(_) | Spell::Bad { .. } => 0,
        });
        let most = percent.max().unwrap_or(0);
        most > 0 && self.chance.percent(most)
    }

    /// Judges a message. Only what may come twice in reality is ever repeated.
    pub(crate) fn judge(&mut self, now: u64, from: Lane, to: Lane, may_repeat: bool) -> Fate {
        self.messages += 1;
        self.spells.retain(|(until, _)| *until > now);
        let client = matches!(from, Lane::Client(_)) || matches!(to, Lane::Client(_));
        if self.inside && !client {
            return Fate::Arrives(self.chance.below(INSIDE_US), None);
        }
        let (mut loss, mut repeats, mut extra) = (self.loss_ppm, self.duplicates_ppm, 0);
        for (_, spell) in &self.spells {
            match *spell {
                Spell::Cut { from: one, to: other, direction } => {
                    let there = (one, other) == (from, to);
                    let back = direction == Direction::Both && (other, one) == (from, to);
                    if there || back {
                        self.marks.reach(Mark::MessageCut);
                        return Fate::Lost;
                    }
                }
                Spell::Isolated(node) if node == from || node == to => {
                    let is_client = matches!(node, Lane::Client(_));
                    self.marks.reach(if is_client { Mark::ClientCutOff } else { Mark::NodeIsolated });
                    return Fate::Lost;
                }
                Spell::Bad { from: sender, to: receiver, loss_ppm, duplicates_ppm, extra_delay_us } => {
                    if sender.is_some_and(|sender| sender != from) || receiver.is_some_and(|receiver| receiver != to) {
                        continue;
                    }
                    if sender.is_some() || receiver.is_some() {
                        self.marks.reach(Mark::BadLink);
                    }
                    loss = loss.max(loss_ppm);
                    repeats = repeats.max(duplicates_ppm);
                    extra = extra.max(extra_delay_us);
                }
                Spell::Slow { node, extra_us } if node == from || node == to => extra = extra.max(extra_us),
                Spell::Isolated(_) | Spell::Slow { .. } | Spell::LostAnswers { .. } => {}
            }
        }
        if self.chance.ppm(loss) {
            self.marks.reach(Mark::MessageLost);
            return Fate::Lost;
        }
        let delay = self.chance.between(self.delay_us.0, self.delay_us.1) + self.chance.below(extra + 1);
        let repeat = (may_repeat && self.chance.ppm(repeats)).then(|| delay + self.chance.below(REPEAT_WITHIN_US));
        if repeat.is_some() {
            self.marks.reach(Mark::MessageRepeated);
        }
        Fate::Arrives(delay, repeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Preset, Topology, generate};

    fn network() -> Network<u32> {
        let plan = generate(1, Preset::Calm, Topology::Production, 10);
        Network::new(1, &plan.options, false)
    }

    #[test]
    fn events_come_by_time_and_those_of_one_time_in_the_order_of_their_making() {
        let mut network = network();
        for (at, event) in [(30, 3), (10, 1), (30, 4), (20, 2)] {
            network.push(at, event);
        }
        assert_eq!(network.pop(9), None);
        let popped: Vec<u32> = std::iter::from_fn(|| network.pop(30)).collect();
        assert_eq!(popped, [1, 2, 3, 4]);
    }

    #[test]
    fn a_one_way_partition_cuts_one_way_and_ends_in_time() {
        let mut network = network();
        let (from, to) = (Lane::Instance(0), Lane::Database);
        network.cast(100, Spell::Cut { from, to, direction: Direction::OneWay });
        assert_eq!(network.judge(50, from, to, true), Fate::Lost);
        assert_ne!(network.judge(50, to, from, true), Fate::Lost);
        assert_ne!(network.judge(50, Lane::Instance(1), to, true), Fate::Lost);
        assert_ne!(network.judge(100, from, to, true), Fate::Lost);
    }

    #[test]
    fn only_what_may_come_twice_is_repeated() {
        let mut network = network();
        network.cast(1_000, bad(None, None, 0, 1_000_000));
        let judged = |network: &mut Network<u32>, may| network.judge(1, Lane::Database, Lane::Instance(0), may);
        assert!(matches!(judged(&mut network, true), Fate::Arrives(_, Some(_))));
        assert!(matches!(judged(&mut network, false), Fate::Arrives(_, None)));
    }

    fn bad(from: Option<Lane>, to: Option<Lane>, loss_ppm: u32, duplicates_ppm: u32) -> Spell {
        Spell::Bad { from, to, loss_ppm, duplicates_ppm, extra_delay_us: 0 }
    }

    #[test]
    fn a_bad_link_loses_what_goes_over_it_and_nothing_else() {
        let mut network = network();
        let (one, other) = (Lane::Instance(0), Lane::Database);
        network.cast(100, bad(Some(one), Some(other), 1_000_000, 0));
        assert_eq!(network.judge(1, one, other, false), Fate::Lost);
        assert_ne!(network.judge(1, other, one, false), Fate::Lost);
        assert_ne!(network.judge(1, one, Lane::Broker, false), Fate::Lost);
        network.cast(100, bad(None, Some(Lane::Broker), 1_000_000, 0));
        assert_eq!(network.judge(1, Lane::Instance(1), Lane::Broker, false), Fate::Lost);
        assert_ne!(network.judge(100, one, other, false), Fate::Lost);
    }

    #[test]
    fn a_connection_is_cut_by_a_partition_of_either_way_and_by_isolation() {
        let mut network = network();
        let (one, other) = (Lane::EventStore, Lane::Instance(0));
        network.cast(100, Spell::Cut { from: other, to: one, direction: Direction::OneWay });
        assert!(network.is_cut(50, one, other));
        assert!(!network.is_cut(50, one, Lane::Instance(1)));
        assert!(!network.is_cut(100, one, other));
        network.cast(200, Spell::Isolated(one));
        assert!(network.is_cut(150, one, Lane::Instance(1)));
    }
}
