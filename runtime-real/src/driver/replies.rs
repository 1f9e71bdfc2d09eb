//! The way back: answers travel to a thread together, not one by one.
//!
//! Waking a task of another thread costs a system call. A group commit answers dozens of requests at once, most of them
//! waiting on the same few threads, so the core's thread puts all answers for a thread into its mailbox and wakes one
//! task there, which wakes the others without leaving the thread.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};
use wallex_core::command::Answer;

thread_local! {
    static MAILBOX: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
}

/// Answers, with who waits for them.
type Answers = Vec<(oneshot::Sender<Answer>, Answer)>;

/// Where the answers for one thread arrive.
#[derive(Default)]
pub(super) struct Mailbox {
    answers: Mutex<Answers>,
    arrived: Notify,
}

/// How the answer to a request reaches whoever waits for it.
pub(super) struct ReplyTo {
    reply: oneshot::Sender<Answer>,
    mailbox: Option<Arc<Mailbox>>,
}

impl ReplyTo {
    /// Goes through the mailbox of the calling thread, if it has one.
    pub(super) fn this_thread(reply: oneshot::Sender<Answer>) -> Self {
        Self { reply, mailbox: MAILBOX.with_borrow(Clone::clone) }
    }
}

/// Gives the calling thread a mailbox and empties it, for ever. For a thread with a runtime of its own, on which
/// requests are submitted.
pub(super) async fn receive() {
    let mailbox = Arc::new(Mailbox::default());
    MAILBOX.set(Some(Arc::clone(&mailbox)));
    loop {
        mailbox.arrived.notified().await;
        let answers = std::mem::take(&mut *mailbox.answers.lock().unwrap_or_else(PoisonError::into_inner));
        for (reply, answer) in answers {
            // A client that has gone away is no reason to stop: what it asked for is done.
            drop(reply.send(answer));
        }
    }
}

/// Answers that are on their way to their threads' mailboxes.
#[derive(Default)]
pub(super) struct Outgoing {
    /// One entry for each thread that submits: a handful.
    by_mailbox: Vec<(Arc<Mailbox>, Answers)>,
}

impl Outgoing {
    pub(super) fn add(&mut self, to: ReplyTo, answer: Answer) {
        let Some(mailbox) = to.mailbox else {
            return drop(to.reply.send(answer));
        };
        match self.by_mailbox.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mailbox)) {
            Some((_, answers)) => answers.push((to.reply, answer)),
            None => self.by_mailbox.push((mailbox, vec![(to.reply, answer)])),
        }
    }

    /// Delivers everything.
    pub(super) fn send(&mut self) {
        for (mailbox, answers) in &mut self.by_mailbox {
            if !answers.is_empty() {
                mailbox.answers.lock().unwrap_or_else(PoisonError::into_inner).append(answers);
                mailbox.arrived.notify_one();
            }
        }
    }
}
