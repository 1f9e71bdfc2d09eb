//! Which path is which call, and the health check beside them.
//!
//! Owns what all calls share ([`State`]) and the largest message. A gRPC path that is not listed is `UNIMPLEMENTED`.
//! Connections are left to `running`, every call to its own file.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use prost::bytes::Bytes;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Service, StdError, http};
use tonic::server::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use wallex_journal::OsStorage;
use wallex_journal::raw::{APPEND_BYTES_MAX, Reader};

use super::running::Options;
use super::writer::Appender;
use super::{append, batch, cluster, read, session};
use crate::protocol::{
    APPEND, APPEND_RECORDS, APPEND_SESSION, BATCH_APPEND, DELETE, GOSSIP, Method, READ, SUPPORTED_METHODS, TOMBSTONE,
};

/// The health check of KurrentDB.
const HEALTH_LIVE: &str = "/health/live";
/// Largest message: the largest append, and what goes around it.
const MESSAGE_BYTES_MAX: usize = APPEND_BYTES_MAX + (1 << 20);

/// What all calls share.
pub(super) struct State {
    pub(super) appender: Appender,
    pub(super) reader: Reader<OsStorage>,
    /// Position of the last durable event.
    pub(super) position: watch::Receiver<u64>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) address: SocketAddr,
    pub(super) instance: OnceLock<Option<uuid::Uuid>>,
    pub(super) options: Options,
}

/// The server as a service of HTTP.
#[derive(Clone)]
pub(super) struct Api(pub(super) Arc<State>);

/// A call as a service of gRPC.
struct Call<F>(F);

impl<F, Q, Fut, A> Service<Request<Q>> for Call<F>
where
    F: FnMut(Request<Q>) -> Fut,
    Fut: Future<Output = Result<tonic::Response<A>, Status>>,
{
    type Response = tonic::Response<A>;
    type Error = Status;
    type Future = Fut;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Fut {
        (self.0)(request)
    }
}

impl<B> Service<http::Request<B>> for Api
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move { Ok(answer(state, request).await) })
    }
}

fn grpc<Q, A>(method: &Method<Q, A>) -> Grpc<ProstCodec<A, Q>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    Grpc::new(method.server_codec())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

async fn answer<B>(state: Arc<State>, request: http::Request<B>) -> http::Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let path = request.uri().path();
    if path == READ.path_text() {
        grpc(&READ).server_streaming(Call(move |asked| read::read(state.clone(), asked)), request).await
    } else if path == APPEND.path_text() {
        grpc(&APPEND).client_streaming(Call(move |asked| append::append(state.clone(), asked)), request).await
    } else if path == BATCH_APPEND.path_text() {
        grpc(&BATCH_APPEND).streaming(Call(move |asked| batch::batch_append(state.clone(), asked)), request).await
    } else if path == DELETE.path_text() {
        grpc(&DELETE).unary(Call(move |asked| append::delete(state.clone(), asked)), request).await
    } else if path == TOMBSTONE.path_text() {
        grpc(&TOMBSTONE).unary(Call(move |asked| append::tombstone(state.clone(), asked)), request).await
    } else if path == APPEND_SESSION.path_text() {
        let call = Call(move |asked| session::append_session(state.clone(), asked));
        grpc(&APPEND_SESSION).client_streaming(call, request).await
    } else if path == APPEND_RECORDS.path_text() {
        grpc(&APPEND_RECORDS).unary(Call(move |asked| session::append_records(state.clone(), asked)), request).await
    } else if path == SUPPORTED_METHODS.path_text() {
        let call = Call(move |asked| cluster::supported_methods(state.clone(), asked));
        grpc(&SUPPORTED_METHODS).unary(call, request).await
    } else if path == GOSSIP.path_text() {
        grpc(&GOSSIP).unary(Call(move |asked| cluster::gossip(state.clone(), asked)), request).await
    } else if path == HEALTH_LIVE {
        plain(http::StatusCode::NO_CONTENT)
    } else if is_grpc(&request) {
        Status::unimplemented(format!("this server does not have {path}")).into_http()
    } else {
        plain(http::StatusCode::NOT_FOUND)
    }
}

fn is_grpc<B>(request: &http::Request<B>) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn plain(status: http::StatusCode) -> http::Response<Body> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
