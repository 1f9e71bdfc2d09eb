//! A way to the server that can lose answers: what the client sends arrives, what the server says does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Proxy {
    pub(crate) port: u16,
    swallow: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let swallow = Arc::new(AtomicBool::new(false));
        let swallows = Arc::clone(&swallow);
        let task = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, server, Arc::clone(&swallows)));
            }
        });
        Self { port, swallow, task }
    }

    /// From now on, or no longer, what the server says is lost.
    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.swallow.store(swallow, Ordering::Release);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, swallow: Arc<AtomicBool>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
    let answering = async {
        let mut bytes = [0; 4096];
        let mut swallowed = false;
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            swallowed |= swallow.load(Ordering::Acquire);
            // What was lost leaves a hole: nothing that comes later makes sense to the client, so it never comes.
            if !swallowed && to_client.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}
