//! Who waits for which answer: requests get their ids here, and answers find their way back.

use slab::Slab;
use tokio::sync::oneshot;
use wallex_core::command::{Answer, Request};
use wallex_core::id::RequestId;

use super::engine::Job;
use super::replies::{Outgoing, ReplyTo};

/// Who waits for the answer to a request.
enum Waiting {
    One(ReplyTo),
    /// Member of a group, by its place in it.
    Many(usize, usize),
}

/// Requests that are answered together.
struct Group {
    reply: oneshot::Sender<Vec<Answer>>,
    answers: Vec<Option<Answer>>,
    open: usize,
}

/// The requests of one node that have no answer yet.
#[derive(Default)]
pub(super) struct Requests {
    waiting: Slab<Waiting>,
    groups: Slab<Group>,
    outgoing: Outgoing,
}

impl Requests {
    /// Takes a job apart and hands each request, with its id, to `submit`. Says whether it was the order to drain.
    pub(super) fn accept(&mut self, job: Job, mut submit: impl FnMut(Request)) -> bool {
        match job {
            Job::One(request, reply) => submit(self.named(request, Waiting::One(reply))),
            Job::Many(requests, reply) if requests.is_empty() => drop(reply.send(Vec::new())),
            Job::Many(requests, reply) => {
                let (open, answers) = (requests.len(), vec![None; requests.len()]);
                let group = self.groups.insert(Group { reply, answers, open });
                for (at, request) in requests.into_iter().enumerate() {
                    submit(self.named(request, Waiting::Many(group, at)));
                }
            }
            Job::Drain => return true,
        }
        false
    }

    fn named(&mut self, mut request: Request, waiting: Waiting) -> Request {
        request.id = RequestId(self.waiting.insert(waiting) as u64);
        request
    }

    /// The answer to a request; it leaves with the next [`Requests::send`].
    pub(super) fn reply(&mut self, request: RequestId, answer: Answer) {
        match self.waiting.try_remove(request.0 as usize) {
            Some(Waiting::One(reply)) => self.outgoing.add(reply, answer),
            Some(Waiting::Many(group, at)) => {
                let members = &mut self.groups[group];
                members.answers[at] = Some(answer);
                members.open -= 1;
                if members.open == 0 {
                    let done = self.groups.remove(group);
                    drop(done.reply.send(done.answers.into_iter().flatten().collect()));
                }
            }
            None => {}
        }
    }

    /// Delivers the answers.
    pub(super) fn send(&mut self) {
        self.outgoing.send();
    }
}
