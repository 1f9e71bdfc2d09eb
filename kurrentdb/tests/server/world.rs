//! A running server in a directory of its own, and calls to it.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use wallex_kurrentdb::protocol::append::{
    AppendContent, AppendReq, AppendResp, AppendResult, Expected, ProposedMessage, StreamOptions, SuccessRevision,
};
use wallex_kurrentdb::protocol::read::{
    AllSource, AllStart, Amount, ControlOption, Direction, Filtering, ReadContent, ReadOptions, ReadReq, ReadResp,
    RecordedEvent, Source, StreamSource, StreamStart,
};
use wallex_kurrentdb::protocol::shared::{StreamIdentifier, Uuid};
use wallex_kurrentdb::protocol::{APPEND, Method, READ};
use wallex_kurrentdb::server::{Options, Server};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) options: Options,
    pub(crate) server: Server,
    pub(crate) channel: Channel,
}

/// A client's way to the server.
pub(crate) struct Connection {
    channel: Channel,
}

async fn connect(address: std::net::SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true);
    endpoint.connect().await.unwrap()
}

async fn serve(directory: &std::path::Path, options: Options) -> (Server, Channel) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let server = Server::start(listener, directory, options).await.unwrap();
    let channel = connect(server.address()).await;
    (server, channel)
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options { segment_bytes: 1 << 20, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (server, channel) = serve(directory.path(), options).await;
        Self { directory, options, server, channel }
    }

    pub(crate) async fn restarted(self) -> Self {
        let Self { directory, options, server, channel } = self;
        drop(channel);
        tokio::time::timeout(PATIENCE, server.stop()).await.unwrap().unwrap();
        let (server, channel) = serve(directory.path(), options).await;
        Self { directory, options, server, channel }
    }

    async fn grpc(&self) -> Grpc<Channel> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.unwrap();
        grpc
    }

    pub(crate) async fn unary<Q, A>(&self, method: &Method<Q, A>, message: Q) -> Result<A, Status>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.grpc().await;
        let call = grpc.unary(Request::new(message), method.path(), method.client_codec());
        tokio::time::timeout(PATIENCE, call).await.unwrap().map(tonic::Response::into_inner)
    }

    pub(crate) async fn client_stream<Q, A>(&self, method: &Method<Q, A>, messages: Vec<Q>) -> Result<A, Status>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.grpc().await;
        let request = Request::new(tokio_stream::iter(messages));
        let call = grpc.client_streaming(request, method.path(), method.client_codec());
        tokio::time::timeout(PATIENCE, call).await.unwrap().map(tonic::Response::into_inner)
    }

    pub(crate) async fn both_stream<Q, A>(
        &self,
        method: &Method<Q, A>,
        messages: Vec<Q>,
    ) -> Result<Streaming<A>, Status>
    where
        Q: prost::Message + Default + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.grpc().await;
        let request = Request::new(tokio_stream::iter(messages));
        let call = grpc.streaming(request, method.path(), method.client_codec());
        tokio::time::timeout(PATIENCE, call).await.unwrap().map(tonic::Response::into_inner)
    }

    pub(crate) async fn append(&self, stream: &str, expected: Expected, ids: &[u128]) -> Result<AppendResult, Status> {
        let messages = append_messages(stream, expected, ids.iter().map(|id| proposed(*id)).collect());
        let answer: AppendResp = self.client_stream(&APPEND, messages).await?;
        Ok(answer.result.unwrap())
    }

    /// Appends and gives the revision and the position of the last event.
    pub(crate) async fn done(&self, stream: &str, expected: Expected, ids: &[u128]) -> (u64, u64) {
        use wallex_kurrentdb::protocol::append::SuccessPosition;
        let AppendResult::Success(success) = self.append(stream, expected, ids).await.unwrap() else {
            panic!("{stream}: a conflict");
        };
        match (success.current_revision, success.position) {
            (Some(SuccessRevision::Revision(revision)), Some(SuccessPosition::Position(position))) => {
                assert_eq!(position.commit_position, position.prepare_position);
                (revision, position.commit_position)
            }
            other => panic!("{stream}: {other:?}"),
        }
    }

    pub(crate) async fn open(&self, options: ReadOptions) -> Result<Streaming<ReadResp>, Status> {
        Connection { channel: self.channel.clone() }.open(options).await
    }

    pub(crate) async fn another_connection(&self) -> Connection {
        Connection { channel: connect(self.server.address()).await }
    }

    /// Reads to the end.
    pub(crate) async fn read(&self, options: ReadOptions) -> Result<Vec<ReadContent>, Status> {
        let mut stream = self.open(options).await?;
        let mut all = Vec::new();
        while let Some(content) = next(&mut stream).await? {
            all.push(content);
        }
        Ok(all)
    }

    /// The ids of the events that a read gives.
    pub(crate) async fn ids(&self, options: ReadOptions) -> Vec<u128> {
        self.read(options).await.unwrap().iter().filter_map(event).map(|event| id_of(&event)).collect()
    }
}

impl Connection {
    pub(crate) async fn open(&self, options: ReadOptions) -> Result<Streaming<ReadResp>, Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(64 << 20);
        grpc.ready().await.unwrap();
        let request = Request::new(ReadReq { options: Some(options) });
        let call = grpc.server_streaming(request, READ.path(), READ.client_codec());
        tokio::time::timeout(PATIENCE, call).await.unwrap().map(tonic::Response::into_inner)
    }
}

pub(crate) async fn next(stream: &mut Streaming<ReadResp>) -> Result<Option<ReadContent>, Status> {
    let next = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message in time")?;
    Ok(next.map(|message| message.content.unwrap()))
}

pub(crate) fn event(content: &ReadContent) -> Option<RecordedEvent> {
    match content {
        ReadContent::Event(read) => read.event.clone(),
        _ => None,
    }
}

pub(crate) fn id_of(event: &RecordedEvent) -> u128 {
    event.id.as_ref().unwrap().value().unwrap().as_u128()
}

pub(crate) fn options(stream: &str, expected: Expected) -> StreamOptions {
    StreamOptions { stream: Some(StreamIdentifier::new(stream)), expected: Some(expected) }
}

pub(crate) fn append_messages(stream: &str, expected: Expected, events: Vec<ProposedMessage>) -> Vec<AppendReq> {
    let first = AppendContent::Options(options(stream, expected));
    let rest = events.into_iter().map(AppendContent::Event);
    std::iter::once(first).chain(rest).map(|content| AppendReq { content: Some(content) }).collect()
}

pub(crate) fn proposed(id: u128) -> ProposedMessage {
    let kind = if id.is_multiple_of(2) { "Even" } else { "Odd" };
    let metadata = BTreeMap::from([
        ("type".to_owned(), kind.to_owned()),
        ("content-type".to_owned(), "application/json".to_owned()),
    ]);
    ProposedMessage {
        id: Some(Uuid::structured(uuid::Uuid::from_u128(id))),
        metadata,
        custom_metadata: Bytes::from_static(b"{\"m\":1}"),
        data: Bytes::from(format!("{{\"id\":{id}}}")),
    }
}

pub(crate) fn of_stream(stream: &str, start: StreamStart, direction: Direction, amount: Amount) -> ReadOptions {
    let stream = Some(StreamIdentifier::new(stream));
    let source = Source::Stream(StreamSource { stream, start: Some(start) });
    from(source, direction, amount)
}

pub(crate) fn of_log(start: AllStart, direction: Direction, amount: Amount, filter: Option<Filtering>) -> ReadOptions {
    let source = Source::All(AllSource { start: Some(start) });
    ReadOptions { filtering: filter.or(Some(Filtering::Nothing(()))), ..from(source, direction, amount) }
}

fn from(source: Source, direction: Direction, amount: Amount) -> ReadOptions {
    ReadOptions {
        source: Some(source),
        direction: direction as i32,
        amount: Some(amount),
        control: Some(ControlOption { compatibility: 1 }),
        ..ReadOptions::default()
    }
}
