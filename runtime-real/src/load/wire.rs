//! How operations look on the wire: paths, bodies, and the answers to a batch.
//!
//! Written from the documented interface and not with the service's own code, so that a change of the interface is
//! noticed. Sending and repeating is left to `client`.

use std::fmt::Write as _;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::problem_code;
use super::model::{Accounts, Operation};

/// Every wallet of a run holds this currency.
const CURRENCY: &str = "USD";

/// Path and body of a single operation.
#[must_use]
pub fn single(operation: Operation, accounts: &Accounts) -> (String, Bytes) {
    let (path, body) = match operation {
        Operation::Create(wallet, amount) => (
            "/wallets".to_owned(),
            format!(
                r#"{{"walletId":"{}","ownerId":"load-{}","initialBalance":{amount},"currency":"{CURRENCY}"}}"#,
                accounts.id(wallet),
                wallet % 97
            ),
        ),
        Operation::Credit(wallet, amount) => {
            (format!("/wallets/{}/credit", accounts.id(wallet)), format!(r#"{{"amount":{amount}}}"#))
        }
        Operation::Debit(wallet, amount) => {
            (format!("/wallets/{}/debit", accounts.id(wallet)), format!(r#"{{"amount":{amount}}}"#))
        }
        Operation::Transfer(from, to, amount) => (
            format!("/wallets/{}/transfer", accounts.id(from)),
            format!(r#"{{"toWalletId":"{}","amount":{amount}}}"#, accounts.id(to)),
        ),
    };
    (path, Bytes::from(body))
}

/// Path and body of several operations in one request, each with a result of its own.
#[must_use]
pub fn batch(operations: &[Operation], accounts: &Accounts) -> (String, Bytes) {
    let mut body = String::with_capacity(32 + operations.len() * 128);
    body.push_str(r#"{"atomic":false,"operations":["#);
    for (at, operation) in operations.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        let written = match *operation {
            Operation::Create(wallet, amount) => write!(
                body,
                r#"{{"type":"create","walletId":"{}","ownerId":"load-{}","initialBalance":{amount},"currency":"{CURRENCY}"}}"#,
                accounts.id(wallet),
                wallet % 97
            ),
            Operation::Credit(wallet, amount) => {
                write!(body, r#"{{"type":"credit","walletId":"{}","amount":{amount}}}"#, accounts.id(wallet))
            }
            Operation::Debit(wallet, amount) => {
                write!(body, r#"{{"type":"debit","walletId":"{}","amount":{amount}}}"#, accounts.id(wallet))
            }
            Operation::Transfer(from, to, amount) => write!(
                body,
                r#"{{"type":"transfer","walletId":"{}","toWalletId":"{}","amount":{amount}}}"#,
                accounts.id(from),
                accounts.id(to)
            ),
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
    body.push_str("]}");
    ("/batch".to_owned(), Bytes::from(body))
}

#[derive(Deserialize)]
struct BatchAnswer<'a> {
    #[serde(borrow)]
    results: Vec<BatchResult<'a>>,
}

#[derive(Deserialize)]
struct BatchResult<'a> {
    status: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// For each operation of a batch nothing when it was accepted, else why not; an error when the answer is not readable.
///
/// # Errors
/// What is wrong with the answer.
pub fn batch_results(body: &[u8], operations: usize) -> Result<Vec<Option<String>>, String> {
    let answer: BatchAnswer<'_> = serde_json::from_slice(body).map_err(|error| format!("batch answer: {error}"))?;
    if answer.results.len() != operations {
        return Err(format!("batch answer: {} results for {operations} operations", answer.results.len()));
    }
    let reason = |result: BatchResult<'_>| {
        (result.status / 100 != 2).then(|| format!("{} {}", result.status, problem_code(result.body.get().as_bytes())))
    };
    Ok(answer.results.into_iter().map(reason).collect())
}

#[cfg(test)]
mod tests {
    use super::super::cents::Cents;
    use super::*;

    #[test]
    fn requests_are_those_of_the_interface() {
        let accounts = Accounts::new("r", 2);
        let (path, body) = single(Operation::Transfer(0, 1, Cents(1_250)), &accounts);
        assert_eq!(path, "/wallets/load-r-0/transfer");
        assert_eq!(&body[..], br#"{"toWalletId":"load-r-1","amount":12.50}"#);
        let (_, body) = batch(&[Operation::Credit(1, Cents(5)), Operation::Debit(0, Cents(100))], &accounts);
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            r#"{"atomic":false,"operations":[{"type":"credit","walletId":"load-r-1","amount":0.05},{"type":"debit","walletId":"load-r-0","amount":1.00}]}"#
        );
    }

    #[test]
    fn each_operation_of_a_batch_has_its_own_result() {
        let body = br#"{"results":[{"status":200,"body":{}},{"status":422,"body":{"code":"insufficient-funds"}}]}"#;
        assert_eq!(batch_results(body, 2), Ok(vec![None, Some("422 insufficient-funds".to_owned())]));
        assert!(batch_results(body, 3).is_err());
        assert!(batch_results(b"{}", 0).is_err());
    }
}
