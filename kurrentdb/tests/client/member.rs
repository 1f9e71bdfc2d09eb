//! A member of a cluster that says what a test wants it to say: roles, versions and failures that a single healthy server
//! never shows.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prost::Message;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use wallex_kurrentdb::protocol::cluster::{
    ClusterInfo, EndPoint, MemberInfo, MemberState, SupportedMethod, SupportedMethods,
};
use wallex_kurrentdb::protocol::session::AppendSessionResponse;
use wallex_kurrentdb::protocol::{APPEND_SESSION, GOSSIP, Method, SUPPORTED_METHODS};

/// What the member says.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) version: String,
    pub(crate) sessions_supported: bool,
    /// Port of the leader, as gossip has it.
    pub(crate) leader: Option<u16>,
    /// How appends end; never, when there is nothing.
    pub(crate) append: Option<Result<i64, Status>>,
}

impl Default for Script {
    fn default() -> Self {
        Self { version: "26.0.1".to_owned(), sessions_supported: true, leader: None, append: Some(Ok(1)) }
    }
}

/// A running member, on a runtime of its own, so that its connections end with it; it ends when it is dropped.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<String>>>,
    runtime: Option<Runtime>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Member {
    pub(crate) fn start(script: Script) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").expect("a port"), script)
    }

    pub(crate) fn listen(listener: TcpListener, script: Script) -> Self {
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let (script, seen) = (Arc::new(Mutex::new(script)), Arc::new(Mutex::new(Vec::new())));
        let said = Said { script: Arc::clone(&script), seen: Arc::clone(&seen) };
        let server = tonic::transport::Server::builder()
            .add_service(Features(said.clone()))
            .add_service(Gossip(said.clone()))
            .add_service(Sessions(said));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("the member serves");
        });
        Self { address, script, seen, runtime: Some(runtime) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends it and all its connections; afterwards its port is free.
    pub(crate) async fn stop(mut self) {
        let runtime = self.runtime.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(60)));
        ended.await.expect("it ends");
    }

    /// The `authorization` headers of all calls.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Said {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<String>>>,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// Gives one answer to any request.
struct Fixed<T>(Option<Result<T, Status>>);

impl<Q, T: Send + 'static> Service<Request<Q>> for Fixed<T> {
    type Response = Response<T>;
    type Error = Status;
    type Future = Answer<T>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Q>) -> Answer<T> {
        match self.0.take() {
            Some(answer) => Box::pin(ready(answer.map(Response::new))),
            None => Box::pin(pending()),
        }
    }
}

async fn one<Q, A>(
    method: &Method<Q, A>,
    request: http::Request<Body>,
    answer: Option<Result<A, Status>>,
) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    Grpc::new(method.server_codec()).client_streaming(Fixed(answer), request).await
}

impl Said {
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let authorization = authorization.unwrap_or_default().to_owned();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(authorization);
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = request.uri().path().to_owned();
        if path == GOSSIP.path_text() {
            return one(&GOSSIP, request, Some(Ok(cluster(script.leader)))).await;
        }
        if path == SUPPORTED_METHODS.path_text() {
            return one(&SUPPORTED_METHODS, request, Some(Ok(supported(script)))).await;
        }
        let appended =
            script.append.map(|end| end.map(|position| AppendSessionResponse { output: Vec::new(), position }));
        one(&APPEND_SESSION, request, appended).await
    }
}

fn cluster(leader: Option<u16>) -> ClusterInfo {
    let members = leader.into_iter().map(|port| MemberInfo {
        state: MemberState::Leader as i32,
        is_alive: true,
        http_end_point: Some(EndPoint { address: "127.0.0.1".to_owned(), port: u32::from(port) }),
        ..MemberInfo::default()
    });
    ClusterInfo { members: members.collect() }
}

fn supported(script: Script) -> SupportedMethods {
    let methods = script.sessions_supported.then(|| SupportedMethod {
        method_name: APPEND_SESSION.name.to_lowercase(),
        service_name: APPEND_SESSION.service.to_lowercase(),
        features: Vec::new(),
    });
    SupportedMethods { methods: methods.into_iter().collect(), server_version: script.version }
}

macro_rules! services {
    ($($name:ident: $method:ident),*) => {$(
        #[derive(Clone)]
        struct $name(Said);

        impl NamedService for $name {
            const NAME: &'static str = $method.service;
        }

        impl Service<http::Request<Body>> for $name {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let said = self.0.clone();
                Box::pin(async move { Ok(said.answer(request).await) })
            }
        }
    )*};
}

services!(Features: SUPPORTED_METHODS, Gossip: GOSSIP, Sessions: APPEND_SESSION);
