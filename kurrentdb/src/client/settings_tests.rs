//! Connection strings that are understood, and those that are not.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::{ConnectionString, ConnectionStringError as Error, Credentials, Host, PORT};

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

#[test]
fn everything_that_a_string_says_is_understood() {
    let text = "kurrentdb://admin:ch%40nge%3Fit@a:1,b.example,[::1]:3?tls=true&TlsCaFile=/etc/ca.pem&keepAliveInterval=5\
                &keepAliveTimeout=7&defaultDeadline=9&connectionName=w";
    let parsed = ConnectionString::parse(text).unwrap();
    assert_eq!(parsed.hosts, [host("a", 1), host("b.example", PORT), host("::1", 3)]);
    let credentials = Credentials { user: "admin".to_owned(), password: "ch@nge?it".to_owned() };
    assert_eq!(parsed.credentials, Some(credentials));
    assert!(parsed.tls && !parsed.discover);
    assert_eq!(parsed.tls_ca_file, Some(PathBuf::from("/etc/ca.pem")));
    assert_eq!(parsed.keep_alive_interval, Some(Duration::from_millis(5)));
    assert_eq!(parsed.keep_alive_timeout, Duration::from_millis(7));
    assert_eq!(parsed.default_deadline, Some(Duration::from_millis(9)));
    assert_eq!(parsed.connection_name.as_deref(), Some("w"));
}

#[test]
fn connections_are_encrypted_unless_the_string_says_otherwise() {
    assert!(ConnectionString::parse("esdb://h").unwrap().tls);
    assert!(ConnectionString::parse("esdb://h?tlsVerifyCert=true").unwrap().tls);
    let plain = ConnectionString::parse("esdb+discover://h/?tls=False&keepAliveInterval=-1").unwrap();
    assert!(!plain.tls && plain.discover);
    assert_eq!(plain.keep_alive_interval, None);
    assert_eq!(ConnectionString::parse("kurrentdb://h:2113?tls=false").unwrap(), ConnectionString::insecure("h", 2113));
}

#[test]
fn what_is_wrong_is_named() {
    let value = |key: &str, must| Error::Value { key: key.to_owned(), must };
    for (text, error) in [
        ("localhost:2113", Error::Scheme),
        ("postgres://h", Error::Scheme),
        ("kurrentdb+magic://h", Error::Scheme),
        ("kurrentdb://", Error::Hosts),
        ("kurrentdb://a,,b", Error::Host(2)),
        ("kurrentdb://a:0", Error::Host(1)),
        ("kurrentdb://a:70000", Error::Host(1)),
        ("kurrentdb://[a]:1", Error::Host(1)),
        ("kurrentdb://a/db", Error::Path),
        ("kurrentdb://user@a", Error::Credentials),
        ("kurrentdb://:pw@a", Error::Credentials),
        ("kurrentdb://user:%zz@a", Error::Credentials),
        ("kurrentdb://a?tls", Error::Malformed("tls".to_owned())),
        ("kurrentdb://a?colour=red", Error::Unknown("colour".to_owned())),
        ("kurrentdb://a?tls=maybe", value("tls", "true or false")),
        (
            "kurrentdb://a?tlsVerifyCert=false",
            value("tlsVerifyCert", "true: a certificate that is not verified protects nothing; use tlsCaFile"),
        ),
        ("kurrentdb://a?defaultDeadline=0", value("defaultDeadline", "a number of milliseconds above 0")),
        ("kurrentdb://a?nodePreference=follower", value("nodePreference", "leader: reads must see every write")),
    ] {
        assert_eq!(ConnectionString::parse(text), Err(error), "{text}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let parsed = ConnectionString::parse("kurrentdb://admin:s3cret@h?tls=false").unwrap();
    assert_eq!(format!("{parsed} {parsed:?}"), ["kurrentdb://admin:***@h:2113?tls=false"; 2].join(" "));
    for text in [
        "kurrentdb://admin:s3cret",
        "kurrentdb://admin:s3cret/x@h?tls=no",
        "kurrentdb://admin:?s3cret@h",
        "kurrentdb://admin:%s3cret@h",
        "s3cret://h",
        "kurrentdb://h:s3cret,admin:s3cret@h/s3cret",
    ] {
        let error = ConnectionString::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret@"), "{text}: {error}");
    }
}
