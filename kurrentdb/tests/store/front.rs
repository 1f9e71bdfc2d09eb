//! A server of tonic before ours, that may encrypt, and may refuse a call instead of passing it on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Endpoint, Server};

/// Why a call is refused; nothing when it is passed on.
type Judge = dyn Fn(&http::Request<Body>) -> Option<Status> + Send + Sync;

pub(crate) struct Front {
    pub(crate) port: u16,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// With an acceptor, connections are encrypted.
    pub(crate) async fn before(
        server: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        judge: impl Fn(&http::Request<Body>) -> Option<Status> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let calls = Arc::new(AtomicUsize::new(0));
        let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("an endpoint").tcp_nodelay(true);
        let passing = Passing { to: endpoint.connect_lazy(), judge: Arc::new(judge), calls: Arc::clone(&calls) };
        let task = tokio::spawn(async move {
            let served = match acceptor {
                None => Server::builder().serve_with_incoming(passing, TcpListenerStream::new(listener)).await,
                Some(acceptor) => {
                    let (accepted, connections) = mpsc::channel(16);
                    let serving = Server::builder().serve_with_incoming(passing, ReceiverStream::new(connections));
                    tokio::join!(encrypt(listener, acceptor, accepted), serving).1
                }
            };
            served.expect("it serves");
        });
        Self { port, calls, task }
    }

    /// How many calls came, refused ones too.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

/// Gives the connections whose other side believes who this is.
async fn encrypt(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    accepted: mpsc::Sender<std::io::Result<TlsStream<TcpStream>>>,
) {
    // They end with this task.
    let mut handshakes = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
        handshakes.spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                // A server that has ended needs no connection.
                let _ = accepted.send(Ok(stream)).await;
            }
        });
    }
}

#[derive(Clone)]
struct Passing {
    to: Channel,
    judge: Arc<Judge>,
    calls: Arc<AtomicUsize>,
}

impl Service<http::Request<Body>> for Passing {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::AcqRel);
        let refused = (self.judge)(&request);
        let mut to = self.to.clone();
        Box::pin(async move {
            if let Some(status) = refused {
                return Ok(status.into_http());
            }
            let ready = std::future::poll_fn(|context| to.poll_ready(context)).await;
            let passed = match ready {
                Ok(()) => to.call(request).await,
                Err(error) => Err(error),
            };
            Ok(passed.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
        })
    }
}
