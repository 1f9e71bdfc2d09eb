//! The messages and methods of KurrentDB's gRPC interface that this product speaks, for client and server.
//!
//! By hand, with the published field numbers; a [`Method`] names a call. What is not listed here is skipped when read.
//!
//! | module | owns |
//! |---|---|
//! | [`shared`] | ids, stream names, positions |
//! | [`read`] | `Streams/Read`: reads of streams and of the log, and subscriptions |
//! | [`append`], [`batch`] | `Streams/Append`, `BatchAppend`, `Delete`, `Tombstone` |
//! | [`session`], [`value`] | `StreamsService/AppendSession` and `AppendRecords`: appends to several streams at once |
//! | [`cluster`] | what a server supports, and who leads its cluster |
//! | [`errors`] | how errors are told in trailers |

pub mod append;
pub mod batch;
pub mod cluster;
pub mod errors;
pub mod read;
pub mod session;
pub mod shared;
#[cfg(test)]
mod tests;
pub mod value;

use std::marker::PhantomData;

use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

/// A call: its service, its name, and the messages that it takes and gives.
pub struct Method<Q, A> {
    /// Full name of the service.
    pub service: &'static str,
    /// Name of the method.
    pub name: &'static str,
    path: &'static str,
    messages: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Method<Q, A>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    const fn new(service: &'static str, name: &'static str, path: &'static str) -> Self {
        Self { service, name, path, messages: PhantomData }
    }

    /// The path that names it in a request.
    #[must_use]
    pub fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static(self.path)
    }

    /// The same, as text.
    #[must_use]
    pub const fn path_text(&self) -> &'static str {
        self.path
    }

    /// Writes requests and reads answers.
    #[must_use]
    pub fn client_codec(&self) -> ProstCodec<Q, A> {
        ProstCodec::new()
    }

    /// Reads requests and writes answers.
    #[must_use]
    pub fn server_codec(&self) -> ProstCodec<A, Q> {
        ProstCodec::new()
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $constant:ident: $service:literal / $name:literal, $request:ty => $answer:ty;)*) => {
        $(
            $(#[$doc])*
            pub const $constant: Method<$request, $answer> =
                Method::new($service, $name, concat!("/", $service, "/", $name));
        )*
    };
}

methods! {
    /// Read a stream or the log, or subscribe to one. Server stream.
    READ: "event_store.client.streams.Streams" / "Read", read::ReadReq => read::ReadResp;
    /// Append to one stream. Client stream: the options, then the events.
    APPEND: "event_store.client.streams.Streams" / "Append", append::AppendReq => append::AppendResp;
    /// Append to one stream after another on one call. Both sides stream.
    BATCH_APPEND: "event_store.client.streams.Streams" / "BatchAppend", batch::BatchAppendReq => batch::BatchAppendResp;
    /// Delete a stream; it may be written again.
    DELETE: "event_store.client.streams.Streams" / "Delete", append::DeleteReq => append::DeleteResp;
    /// Delete a stream for ever.
    TOMBSTONE: "event_store.client.streams.Streams" / "Tombstone", append::DeleteReq => append::DeleteResp;
    /// Append to several streams, all or nothing. Client stream: one message for each stream.
    APPEND_SESSION: "kurrentdb.protocol.v2.streams.StreamsService" / "AppendSession",
        session::AppendRequest => session::AppendSessionResponse;
    /// Append to several streams, all or nothing, in one message.
    APPEND_RECORDS: "kurrentdb.protocol.v2.streams.StreamsService" / "AppendRecords",
        session::AppendRecordsRequest => session::AppendRecordsResponse;
    /// What the server is and can do.
    SUPPORTED_METHODS: "event_store.client.server_features.ServerFeatures" / "GetSupportedMethods",
        () => cluster::SupportedMethods;
    /// Who is in the cluster, and in which role.
    GOSSIP: "event_store.client.gossip.Gossip" / "Read", () => cluster::ClusterInfo;
}
