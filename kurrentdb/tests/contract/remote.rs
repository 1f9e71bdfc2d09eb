//! The event store on KurrentDB's protocol: every effect goes over the wire.

use wallex_contracts::Port;
use wallex_core::effect::{Effect, Input};
use wallex_kurrentdb::client::ConnectionString;
use wallex_kurrentdb::server::{self, Server};
use wallex_kurrentdb::store::{EventStore, Options};

/// An empty server and a store on it. The directory outlives the server.
pub(crate) struct Remote {
    pub(crate) store: EventStore,
    _server: Server,
    _directory: tempfile::TempDir,
}

impl Remote {
    pub(crate) async fn empty(options: Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Server::start(listener, directory.path(), server::Options::default()).await.expect("a server");
        let settings = ConnectionString::insecure("127.0.0.1", server.address().port());
        let store = EventStore::connect(&settings, options).await.expect("a connection");
        Self { store, _server: server, _directory: directory }
    }
}

/// Deadlines for a busy machine.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.timing.call = std::time::Duration::from_secs(60);
    options.timing.connect = std::time::Duration::from_secs(60);
    options
}

impl Port for Remote {
    async fn perform(&self, effect: Effect) -> Option<Input> {
        self.store.perform(effect).await
    }
}

wallex_contracts::event_store_contract!(
    #[tokio::test]
    {
        Remote::empty(options()).await
    }
);
