//! One call: waits for a connection, adds the caller's credentials, keeps the deadline, and reports trouble.
//!
//! Nothing is tried again here. What was never sent is told as not connected; which errors mean "not done" and which
//! "unknown" is decided in [`super::outcome`], and the connection is renewed by [`super::connection`].

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::connection::{Client, Connected};
use super::outcome::CallError;
use crate::protocol::Method;

/// Largest message that is read.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What is sent with every call.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(Vec<(&'static str, MetadataValue<Ascii>)>);

impl Headers {
    pub(super) fn add(&mut self, key: &'static str, value: MetadataValue<Ascii>) {
        self.0.push((key, value));
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in &self.0 {
            request.metadata_mut().insert(*key, value.clone());
        }
        request
    }
}

/// The messages that a server streams.
#[derive(Debug)]
pub struct Answers<A> {
    stream: Streaming<A>,
    client: Client,
    generation: u64,
}

impl<A> Answers<A> {
    /// The next message, nothing at the end.
    ///
    /// # Errors
    /// [`CallError::TimedOut`] when none comes within `patience`; [`CallError::Status`].
    pub async fn next(&mut self, patience: Duration) -> Result<Option<A>, CallError> {
        let next = timeout_at(Instant::now() + patience, self.stream.message()).await;
        let next = match next {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(CallError::Status(Box::new(status))),
            Err(_) => Err(CallError::TimedOut(patience)),
        };
        next.inspect_err(|error| self.client.report(self.generation, error))
    }
}

impl Client {
    /// Sends messages, most often one, and gives the one answer, within the client's timeout.
    ///
    /// # Errors
    /// [`CallError`], with its class.
    pub async fn call<Q, A>(&self, method: &Method<Q, A>, messages: Vec<Q>) -> Result<A, CallError>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let patience = self.timing().call;
        let deadline = Instant::now() + patience;
        let connected = self.connected(deadline).await?;
        let call = call_once(&connected.channel, self.headers(), method, messages);
        let answer = timeout_at(deadline, call).await.unwrap_or(Err(CallError::TimedOut(patience)));
        answer.inspect_err(|error| self.report(connected.generation, error))
    }

    /// Sends a message and gives the answers as they come. The timeout covers the way to the first of them.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn stream<Q, A>(&self, method: &Method<Q, A>, message: Q) -> Result<Answers<A>, CallError>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let patience = self.timing().call;
        let deadline = Instant::now() + patience;
        let Connected { channel, generation, .. } = self.connected(deadline).await?;
        let call = async {
            let mut grpc = ready(&channel).await?;
            let request = self.headers().request(message);
            let response = grpc.server_streaming(request, method.path(), method.client_codec()).await;
            response.map_err(|status| CallError::Status(Box::new(status)))
        };
        let response = timeout_at(deadline, call).await.unwrap_or(Err(CallError::TimedOut(patience)));
        let stream = response.inspect_err(|error| self.report(generation, error))?.into_inner();
        Ok(Answers { stream, client: self.clone(), generation })
    }
}

/// Sends messages and gives the one answer, without a deadline.
pub(super) async fn call_once<Q, A>(
    channel: &Channel,
    headers: &Headers,
    method: &Method<Q, A>,
    messages: Vec<Q>,
) -> Result<A, CallError>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let mut grpc = ready(channel).await?;
    let request = headers.request(tokio_stream::iter(messages));
    let response = grpc.client_streaming(request, method.path(), method.client_codec()).await;
    response.map(tonic::Response::into_inner).map_err(|status| CallError::Status(Box::new(status)))
}

/// A channel that takes a call. When it takes none, nothing was sent.
async fn ready(channel: &Channel) -> Result<Grpc<Channel>, CallError> {
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.ready().await.map_err(|error| CallError::NotConnected(error.to_string()))?;
    Ok(grpc)
}
