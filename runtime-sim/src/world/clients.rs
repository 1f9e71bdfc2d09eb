//! Clients: they do what the plan says, one thing after another, and write down what they see.
//!
//! What is not known, or known not to be done, is tried again under the same key, often at another instance. Without a
//! key nothing is repeated: nobody could tell whether it was done already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wallex_core::command::{Answer, FinalAnswer, Fingerprint, Idempotency, KeyHash, Request, Work};
use wallex_core::id::{CommandId, RequestId, Version, WalletId};
use wallex_core::wallet::IfMatch;

use super::packet::{Packet, Reply};
use super::state::World;
use super::{Shared, lock};
use crate::history::{AttemptId, Command, NotDone, Outcome};
use crate::lane::Lane;
use crate::observe::Observation;
use crate::plan::{Act, Step};
use crate::trace::{Kind, Note};

/// What a client waits beyond the service's own limit, in microseconds.
const PATIENCE_BEYOND_US: u64 = 1_500_000;
/// Attempts at one operation while faults are on; after that only time limits them.
const ATTEMPTS_MAX: u32 = 400;

struct Client {
    number: u8,
    lane: Lane,
    /// The newest version that it has seen of each wallet.
    seen: BTreeMap<WalletId, u64>,
    favourite: u8,
}

/// Does everything that the plan has for a client.
pub(super) async fn run(shared: Shared, number: u8) {
    let (plan, favourite) = {
        let mut world = lock(&shared);
        let instances = u64::from(world.plan.options.instances);
        (Arc::clone(&world.plan), world.clients.below(instances) as u8)
    };
    let mut client = Client { number, lane: Lane::Client(number), seen: BTreeMap::new(), favourite };
    for step in &plan.clients[usize::from(number)] {
        if step.after_ms > 0 {
            madsim::time::sleep(Duration::from_millis(u64::from(step.after_ms))).await;
        }
        client.act(&shared, step).await;
    }
    lock(&shared).clients_done += 1;
}

impl Client {
    async fn act(&mut self, shared: &Shared, step: &Step) {
        let mut delay_ms = 20;
        let if_match = self.if_match(&lock(shared), &step.act);
        for _ in 0..ATTEMPTS_MAX {
            let Some((attempt, deadline)) = self.send(shared, &step.act, if_match) else { return };
            let reply = self.receive(shared, attempt, deadline).await;
            if self.settle(shared, &step.act, attempt, reply) {
                return;
            }
            let jitter = lock(shared).clients.below(delay_ms);
            madsim::time::sleep(Duration::from_millis(delay_ms / 2 + jitter)).await;
            delay_ms = (delay_ms * 2).min(1_000);
        }
    }

    /// Sends an attempt; nothing when the run is over.
    fn send(&mut self, shared: &Shared, act: &Act, if_match: Option<Version>) -> Option<(AttemptId, u64)> {
        let world = &mut *lock(shared);
        if world.stopped {
            return None;
        }
        let now = world.now();
        let time = world.time();
        let (client, key) = (u16::from(self.number), act.key().map(u64::from));
        let packet_of: Box<dyn FnOnce(AttemptId) -> Packet>;
        let command = match act {
            Act::Read { wallet, from_store } => {
                let (wallet, from_store) = (world.names.wallet(*wallet), *from_store);
                let min_version = if from_store { 0 } else { self.seen.get(&wallet).copied().unwrap_or(0) };
                let command = if from_store {
                    Command::ReadStore { wallet: wallet.clone() }
                } else {
                    Command::ReadModel { wallet: wallet.clone(), min_version }
                };
                packet_of = Box::new(move |attempt| Packet::Read { attempt, wallet, from_store, min_version });
                command
            }
            Act::One { .. } | Act::Batch { .. } => {
                let work = world.names.work(act)?;
                let command = Command::of(&work, if_match);
                let idempotency = key.map(|key| idempotency(key, &work, if_match));
                packet_of = Box::new(move |attempt| {
                    let request = Request {
                        id: RequestId(0),
                        command_id: CommandId::from_bytes([0; 16]),
                        correlation_id: attempt.correlation(),
                        trace_parent: None,
                        idempotency,
                        if_match: if_match.map(IfMatch::Version),
                        work,
                    };
                    Packet::Submit { attempt, request: Arc::new(request) }
                });
                command
            }
        };
        let attempt = world.history.invoke(time, client, key, Arc::new(command));
        world.tally.attempts += 1;
        let to = Lane::Instance(self.instance(world));
        world.step(self.lane, Kind::Invoke, Some(to), 0, &attempt, || Note {
            name: "invoke".to_owned(),
            text: format!("{act:?}"),
            ..Note::default()
        });
        world.send(self.lane, to, packet_of(attempt));
        let patience = world.plan.options.request_timeout_ms * 1_000 + PATIENCE_BEYOND_US;
        Some((attempt, now + patience))
    }

    /// The condition stays the same for every attempt, as the key does.
    fn if_match(&self, world: &World, act: &Act) -> Option<Version> {
        let Act::One { if_match: true, .. } = act else { return None };
        let Some(Work::One(operation)) = world.names.work(act) else { return None };
        Some(Version(self.seen.get(operation.subject()).copied().unwrap_or(1)))
    }

    /// Mostly the same one, so that caches are warm; now and then another.
    fn instance(&mut self, world: &mut World) -> u8 {
        if world.clients.percent(25) {
            self.favourite = world.clients.below(u64::from(world.plan.options.instances)) as u8;
        }
        self.favourite
    }

    async fn receive(&self, shared: &Shared, attempt: AttemptId, deadline: u64) -> Option<Reply> {
        let notify = {
            let mut world = lock(shared);
            world.wake_at(self.lane, deadline);
            world.mailbox(self.lane)
        };
        loop {
            {
                let mut world = lock(shared);
                while let Some(packet) = world.take(self.lane) {
                    if let Packet::Reply { attempt: of, reply } = packet
                        && of == attempt
                    {
                        return Some(reply);
                    }
                }
                if world.now() >= deadline || world.stopped {
                    return None;
                }
            }
            notify.notified().await;
        }
    }

    /// Writes down what came; says whether the operation is over for this client.
    fn settle(&mut self, shared: &Shared, act: &Act, attempt: AttemptId, reply: Option<Reply>) -> bool {
        let world = &mut *lock(shared);
        let outcome = match &reply {
            Some(Reply::Answer(answer)) => Outcome::of(answer),
            Some(Reply::Read(snapshot)) => Outcome::Read(snapshot.clone()),
            Some(Reply::NotYet | Reply::Unreachable) => Outcome::NotDone(NotDone::Unreachable),
            None => Outcome::Unknown,
        };
        // A proxy has sent it twice: that one of the two did nothing says nothing of the other.
        let says_nothing = matches!(outcome, Outcome::NotDone(_)) && world.resubmitted.contains(&attempt);
        let outcome = if says_nothing { Outcome::Unknown } else { outcome };
        for shown in outcome.shown() {
            let seen = self.seen.entry(shown.wallet.clone()).or_default();
            *seen = shown.version.max(*seen);
        }
        world.step(self.lane, Kind::Return, None, 0, &(attempt, &outcome), || Note {
            name: "return".to_owned(),
            text: format!("{outcome:?}"),
            ..Note::default()
        });
        let at = world.time();
        world.history.returns(at, attempt, outcome.clone());
        let told = world.history.attempts()[attempt.0 as usize].clone();
        world.observe(&Observation::Answered(&told, &outcome));
        let repeatable = act.key().is_some();
        let over = match &reply {
            Some(Reply::Answer(Answer::Final { answer: FinalAnswer { outcome, .. }, .. })) => {
                world.tally.count(act, outcome.is_ok());
                true
            }
            Some(Reply::Answer(Answer::KeyReused)) => {
                world.tally.key_reused += 1;
                true
            }
            Some(Reply::Read(_) | Reply::NotYet) => {
                world.tally.reads += 1;
                true
            }
            Some(Reply::Answer(Answer::InFlight | Answer::Unavailable(_) | Answer::OutcomeUnknown)) => !repeatable,
            Some(Reply::Unreachable) => act.key().is_none() && matches!(act, Act::Read { .. }),
            None => !repeatable,
        };
        if over && !matches!(reply, Some(Reply::Answer(Answer::Final { .. } | Answer::KeyReused) | Reply::Read(_))) {
            world.tally.without_answer += 1;
        }
        if !over {
            world.tally.retries += 1;
            self.favourite = world.clients.below(u64::from(world.plan.options.instances)) as u8;
        }
        over
    }
}

/// Key and payload as the runtime would hash them; here no two differ by chance alone.
fn idempotency(key: u64, work: &Work, if_match: Option<Version>) -> Idempotency {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&key.to_le_bytes());
    let mut digest = crate::trace::Digest::default();
    digest.value(work);
    digest.value(&if_match);
    let text = digest.to_string();
    let mut fingerprint = [0; 16];
    fingerprint.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte);
    Idempotency { key: KeyHash(hash), fingerprint: Fingerprint(fingerprint) }
}
