//! A TCP proxy in front of the server, with faults that a test switches on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// What the proxy does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fault {
    /// Nothing: all is passed on.
    None,
    /// New connections are closed at once, old ones with the next bytes.
    Away,
    /// A COMMIT is passed on; its answer is not, the connection is cut instead.
    CommitAnswerLost,
    /// A statement that is executed is passed on; its answer is not, the connection is cut instead.
    AnswerLost,
    /// A COMMIT is not passed on, the connection is cut instead.
    CutBeforeCommit,
    /// A COMMIT is passed on, and nothing comes back; the connection stays.
    SilentAfterCommit,
    /// Nothing is passed on; connections stay.
    Silent,
}

const ALL: [Fault; 7] = [
    Fault::None,
    Fault::Away,
    Fault::CommitAnswerLost,
    Fault::AnswerLost,
    Fault::CutBeforeCommit,
    Fault::SilentAfterCommit,
    Fault::Silent,
];

/// A listening proxy; it ends with the test.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    fault: Arc<AtomicU8>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: (String, u16), fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let fault = Arc::new(AtomicU8::new(fault as u8));
        let task = tokio::spawn(accept(listener, server, Arc::clone(&fault))).abort_handle();
        Self { port, fault, task }
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: (String, u16), fault: Arc<AtomicU8>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if now(&fault) == Fault::Away {
            continue;
        }
        let (server, fault) = (server.clone(), Arc::clone(&fault));
        connections.spawn(async move {
            if let Ok(server) = TcpStream::connect(server).await {
                pass(client, server, &fault).await;
            }
        });
    }
}

fn now(fault: &AtomicU8) -> Fault {
    ALL[usize::from(fault.load(Ordering::SeqCst))]
}

/// Passes bytes on in both directions until one side ends, or a fault does.
async fn pass(client: TcpStream, server: TcpStream, fault: &AtomicU8) {
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let losing = AtomicU8::new(Fault::None as u8);
    // Whichever ends first drops all four halves: both sides see the end.
    tokio::select! {
        () = requests(from_client, to_server, fault, &losing) => {}
        () = answers(from_server, to_client, fault, &losing) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: &AtomicU8, losing: &AtomicU8) {
    let mut bytes = vec![0; 64 * 1_024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let request = &bytes[..length];
        let is_commit = request.windows(6).any(|word| word == b"COMMIT");
        // What prepares a statement begins with Parse, what executes it with Bind.
        let is_execution = request.first() == Some(&b'B');
        match now(fault) {
            Fault::Away => return,
            Fault::CutBeforeCommit if is_commit => return,
            Fault::Silent => continue,
            lost @ (Fault::CommitAnswerLost | Fault::SilentAfterCommit) if is_commit => {
                losing.store(lost as u8, Ordering::SeqCst);
            }
            Fault::AnswerLost if is_execution => losing.store(Fault::AnswerLost as u8, Ordering::SeqCst),
            Fault::None
            | Fault::CutBeforeCommit
            | Fault::CommitAnswerLost
            | Fault::AnswerLost
            | Fault::SilentAfterCommit => {}
        }
        if to.write_all(request).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: &AtomicU8, losing: &AtomicU8) {
    let mut bytes = vec![0; 64 * 1_024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        // The server has answered, so it has committed.
        match (now(fault), now(losing)) {
            (Fault::Away, _) | (_, Fault::CommitAnswerLost | Fault::AnswerLost) => return,
            (Fault::Silent, _) | (_, Fault::SilentAfterCommit) => continue,
            (_, _) => {}
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
