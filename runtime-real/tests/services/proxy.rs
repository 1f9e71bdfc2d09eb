//! A TCP proxy with faults: it passes bytes on, late or not at all, or cuts connections, like a network that is slow, or
//! gone without saying so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long bytes are on their way when they are delayed.
const DELAY: Duration = Duration::from_millis(150);

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Connections are closed, and new ones too.
    Cut,
    /// Connections stay, and nothing comes through any more, in either direction.
    Swallow,
    /// Questions come through, answers do not.
    SwallowAnswers,
    /// Everything comes through, late.
    Delay,
}

/// The proxy; it ends with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens at an address (port 0: any) and passes on to another.
    pub(crate) async fn start(listen: &str, target: String) -> Self {
        let listener = TcpListener::bind(listen).await.expect("the proxy's port");
        let address = listener.local_addr().expect("its address");
        let (fault, faults) = watch::channel(Fault::None);
        let target: Arc<str> = Arc::from(target);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&target), faults.clone()));
            }
        });
        Self { address, fault, accepting }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.fault.send_replace(Fault::Cut);
    }
}

async fn serve(client: TcpStream, target: Arc<str>, faults: watch::Receiver<Fault>) {
    if *faults.borrow() == Fault::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(&*target).await else { return };
    let _unimportant = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let questions = pass(from_client, to_server, faults.clone(), |fault| fault == Fault::Swallow);
    let answers =
        pass(from_server, to_client, faults.clone(), |fault| matches!(fault, Fault::Swallow | Fault::SwallowAnswers));
    let mut faults = faults;
    tokio::select! {
        () = questions => {}
        () = answers => {}
        _ = faults.wait_for(|fault| *fault == Fault::Cut) => {}
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    faults: watch::Receiver<Fault>,
    swallows: impl Fn(Fault) -> bool,
) {
    let mut bytes = vec![0; 16 * 1_024];
    let mut has_swallowed = false;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let fault = *faults.borrow();
        if fault == Fault::Delay {
            // The way is that slow: no test waits for it.
            tokio::time::sleep(DELAY).await;
        }
        if swallows(fault) {
            has_swallowed = true;
        } else if has_swallowed || to.write_all(&bytes[..read]).await.is_err() {
            // No network takes bytes out of the middle of a connection: where some are lost, it ends.
            return;
        }
    }
}
