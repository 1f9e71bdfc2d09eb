//! Encrypted connections and passwords, as the connection string asks for them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use wallex_contracts::ledger::Ledger;
use wallex_core::effect::Append;
use wallex_kurrentdb::client::{ConnectError, ConnectionString};
use wallex_kurrentdb::server::Server;
use wallex_kurrentdb::store::EventStore;

use crate::front::Front;
use crate::{PATIENCE, append_in_the_end, events, options, serve};

const USER: &str = "admin";
const PASSWORD: &str = "ch@nge?it";
/// The same, as a connection string has it.
const ESCAPED: &str = "ch%40nge%3Fit";

/// An authority that vouches for `localhost` and for nothing else.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Proves to be `localhost` and speaks HTTP/2.
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "the event store");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate], key).expect("a certificate with its key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server behind a front that encrypts and wants the password.
struct World {
    front: Front,
    authority: Authority,
    directory: tempfile::TempDir,
    _server: Server,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = serve("127.0.0.1:0", &directory.path().join("log")).await;
        let authority = Authority::new("the authority");
        let front = Front::before(server.address(), Some(authority.acceptor()), unauthenticated).await;
        Self { front, authority, directory, _server: server }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The authority that is trusted, the password, and the name by which the server is called.
    fn settings(&self, authority: &str, password: &str, host: &str) -> ConnectionString {
        let (file, port) = (self.file("ca.pem", authority), self.front.port);
        let text = format!("kurrentdb://{USER}:{password}@{host}:{port}?tls=true&tlsCaFile={}", file.display());
        ConnectionString::parse(&text).expect("a connection string")
    }
}

fn unauthenticated(request: &http::Request<Body>) -> Option<Status> {
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    (given != Some(&format!("Basic {expected}"))).then(|| Status::unauthenticated("nobody knows you"))
}

/// Fails soon; but never because the machine is slow.
async fn refused(settings: &ConnectionString) -> ConnectError {
    let mut options = options(PATIENCE);
    options.timing.attempt = PATIENCE;
    options.timing.connect = Duration::from_millis(1);
    EventStore::connect(settings, options).await.expect_err("no connection")
}

#[tokio::test]
async fn events_are_written_read_and_followed_through_an_encrypted_connection_with_a_password() {
    let world = World::new().await;
    let settings = world.settings(&world.authority.certificate, ESCAPED, "localhost");
    let store = EventStore::connect(&settings, options(PATIENCE)).await.unwrap();
    let mut head = store.follow();
    let mut ledger = Ledger::default();
    let commands: [fn(&Ledger) -> Append; 3] =
        [|ledger| ledger.create("a"), |ledger| ledger.create("b"), |ledger| ledger.transfer("a", "b", "5")];
    for command in commands {
        let written = command(&ledger);
        append_in_the_end(&store, &written).await;
        ledger.accept(&written);
    }
    assert_eq!(events(&store).await, ledger.events);
    let grown = tokio::time::timeout(PATIENCE, head.wait_for(|head| head.0 >= ledger.events.len() as u64)).await;
    grown.expect("the subscription tells").unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_hears_nothing() {
    let world = World::new().await;
    let stranger = Authority::new("a stranger").certificate;
    for (authority, host, why) in [
        (stranger.as_str(), "localhost", "UnknownIssuer"),
        (world.authority.certificate.as_str(), "127.0.0.1", "not valid for name"),
    ] {
        let error = refused(&world.settings(authority, ESCAPED, host)).await;
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("invalid peer certificate") && text.contains(why), "{text}");
    }
    assert_eq!(world.front.calls(), 0, "no password was sent");
}

#[tokio::test]
async fn an_unencrypted_connection_to_a_server_that_encrypts_fails() {
    let world = World::new().await;
    let settings = ConnectionString { tls: false, ..world.settings("", ESCAPED, "localhost") };
    let error = refused(&settings).await;
    assert!(matches!(error, ConnectError::Unreachable { .. } | ConnectError::Refused { .. }), "{error}");
    assert_eq!(world.front.calls(), 0);
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such_and_not_shown() {
    let world = World::new().await;
    let error = refused(&world.settings(&world.authority.certificate, "s3cret", "localhost")).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("Unauthenticated: nobody knows you") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn a_file_without_an_authority_is_told_before_anything_is_tried() {
    let world = World::new().await;
    let error = refused(&world.settings("what is this?", ESCAPED, "localhost")).await;
    assert!(matches!(&error, ConnectError::Settings(why) if why.contains("no certificate in PEM form")), "{error}");
    let missing = world.settings("", ESCAPED, "localhost");
    std::fs::remove_file(missing.tls_ca_file.as_ref().unwrap()).unwrap();
    let error = refused(&missing).await;
    assert!(matches!(&error, ConnectError::Settings(why) if why.contains("cannot be read")), "{error}");
}
