//! The identity of an idempotent request: who asked for what under which key.
//!
//! Keeps the HTTP side of INV-05. The key hash covers caller, route and key; the fingerprint covers method, route and the
//! *parsed* operations, so that white space, the order of members, and `1.5` against `"1.50"` make no difference, and
//! any difference in meaning does. Every part is length-prefixed: no two different requests give the same bytes.

use sha2::{Digest, Sha256};
use wallex_core::command::{Fingerprint, Idempotency, KeyHash};
use wallex_core::wallet::Operation;

use super::operations::{Mistaken, Parsed};

/// Who calls, until requests are authenticated.
const CALLER: &str = "anonymous";

/// Hashes a request for one operation with its key. `route` is the template of the path (`/wallets/{id}/credit`): the
/// wallet in the path is part of the operation.
pub(super) fn of(key: &str, route: &str, operation: &Parsed) -> Idempotency {
    let mut fingerprint = Hash::request(route, "one");
    fingerprint.operation(operation);
    Idempotency { key: key_hash(CALLER, route, key), fingerprint: Fingerprint(fingerprint.finish()) }
}

/// The same for a batch under one key. Mistaken operations have no meaning, so they count as they are written.
pub(super) fn of_batch<'a>(
    key: &str,
    route: &str,
    atomic: bool,
    operations: impl Iterator<Item = Result<&'a Parsed, &'a Mistaken>>,
) -> Idempotency {
    let mut fingerprint = Hash::request(route, if atomic { "atomic" } else { "independent" });
    for operation in operations {
        match operation {
            Ok(parsed) => fingerprint.operation(parsed),
            Err(mistaken) => fingerprint.mistaken(mistaken),
        }
    }
    Idempotency { key: key_hash(CALLER, route, key), fingerprint: Fingerprint(fingerprint.finish()) }
}

fn key_hash(caller: &str, route: &str, key: &str) -> KeyHash {
    let mut hash = Hash::new("wallex-key-1");
    hash.text(caller);
    hash.text(route);
    hash.text(key);
    KeyHash(hash.finish())
}

struct Hash(Sha256);

impl Hash {
    fn new(purpose: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.text(purpose);
        hash
    }

    fn request(route: &str, kind: &str) -> Self {
        let mut hash = Self::new("wallex-request-1");
        hash.text("POST");
        hash.text(route);
        hash.text(kind);
        hash
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.update([u8::from(text.is_some())]);
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn decimal(&mut self, value: rust_decimal::Decimal) {
        self.0.update(value.normalize().serialize());
    }

    fn mistaken(&mut self, mistaken: &Mistaken) {
        self.text("mistaken");
        self.0.update((mistaken.members.len() as u64).to_le_bytes());
        for (name, value) in &mistaken.members {
            self.text(name);
            self.text(value);
        }
        self.0.update((mistaken.errors.len() as u64).to_le_bytes());
        for error in &mistaken.errors {
            self.text(&error.field);
            self.text(error.code);
        }
    }

    fn operation(&mut self, parsed: &Parsed) {
        match &parsed.operation {
            Operation::Create(create) => {
                self.text("create");
                // An id that the service makes is a new one for every attempt.
                self.optional((!parsed.wallet_id_made).then(|| create.wallet_id.as_str()));
                self.text(create.owner_id.as_str());
                self.text(create.currency.code());
                self.decimal(create.initial_balance.decimal());
            }
            Operation::Credit(credit) => {
                self.text("credit");
                self.text(credit.wallet_id.as_str());
                self.decimal(credit.amount.decimal());
                self.optional(credit.description.as_deref());
            }
            Operation::Debit(debit) => {
                self.text("debit");
                self.text(debit.wallet_id.as_str());
                self.decimal(debit.amount.decimal());
                self.optional(debit.description.as_deref());
            }
            Operation::Transfer(transfer) => {
                self.text("transfer");
                self.text(transfer.from.as_str());
                self.text(transfer.to.as_str());
                self.decimal(transfer.amount.decimal());
                self.optional(transfer.description.as_deref());
            }
        }
    }

    fn finish(self) -> [u8; 16] {
        let full: [u8; 32] = self.0.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&full[..16]);
        half
    }
}

#[cfg(test)]
mod tests {
    use wallex_core::currency::Currency;
    use wallex_core::id::WalletId;

    use super::super::operations::{self, Movement};
    use super::*;

    const CREDIT: &str = "/wallets/{id}/credit";

    fn credit(wallet: &str, body: &str) -> Parsed {
        operations::movement(body.as_bytes(), Movement::Credit, WalletId::parse(wallet).unwrap()).unwrap()
    }

    fn create(body: &str, made: &str) -> Parsed {
        let usd = Currency::parse("USD").unwrap();
        operations::create(body.as_bytes(), usd, || WalletId::parse(made).unwrap()).unwrap()
    }

    fn identity(parsed: Parsed) -> Idempotency {
        of("key", CREDIT, &parsed)
    }

    #[test]
    fn the_same_request_in_other_bytes_is_the_same() {
        let first = identity(credit("w", r#"{"amount":1.5,"description":"d"}"#));
        for body in [r#"{ "description" : "d", "amount" : 1.50 }"#, r#"{"amount":"1.5000","description":"\u0064"}"#] {
            assert_eq!(identity(credit("w", body)), first, "{body}");
        }
        let made = |id| identity(create(r#"{"ownerId":"o","initialBalance":1}"#, id));
        assert_eq!(made("made-1"), made("made-2"));
        assert_eq!(
            made("made-1"),
            identity(create(r#"{"initialBalance":"1.00","ownerId":"o","currency":"USD"}"#, "x"))
        );
    }

    #[test]
    fn any_difference_in_meaning_is_another_payload() {
        let first = identity(credit("w", r#"{"amount":1}"#));
        for other in [
            credit("w", r#"{"amount":2}"#),
            credit("w", r#"{"amount":10}"#),
            credit("v", r#"{"amount":1}"#),
            credit("w", r#"{"amount":1,"description":""}"#),
            create(r#"{"ownerId":"o"}"#, "w"),
            create(r#"{"ownerId":"o","walletId":"w"}"#, "w"),
        ] {
            let other = identity(other);
            assert_eq!(other.key, first.key);
            assert_ne!(other.fingerprint, first.fingerprint);
        }
        let one = [credit("w", r#"{"amount":1}"#)];
        let as_batch = |atomic| of_batch("key", CREDIT, atomic, one.iter().map(Ok)).fingerprint;
        assert_ne!(as_batch(true), as_batch(false));
        assert_ne!(as_batch(true), first.fingerprint);
    }

    #[test]
    fn a_mistaken_operation_counts_as_it_is_written() {
        let identity = |amount: &str| {
            let body = format!(
                r#"{{"operations":[{{"type":"credit","walletId":"w","amount":1}},{{"type":"debit","amount":{amount}}}]}}"#
            );
            let usd = Currency::parse("USD").unwrap();
            let batch = operations::batch(body.as_bytes(), 2, usd, |_| WalletId::parse("made").unwrap()).unwrap();
            let operations = batch.items.iter().map(|item| item.as_ref().map(|item| &item.parsed));
            of_batch("key", "/batch", false, operations)
        };
        assert_eq!(identity("0"), identity("0"));
        assert_eq!(identity("0").key, identity("1").key);
        assert_ne!(identity("0").fingerprint, identity("1").fingerprint);
    }

    #[test]
    fn the_same_key_on_another_route_is_another_key() {
        let one = credit("w", r#"{"amount":1}"#);
        assert_ne!(of("key", CREDIT, &one).key, of("key", "/wallets/{id}/debit", &one).key);
        assert_ne!(of("key", CREDIT, &one).key, of("Key", CREDIT, &one).key);
    }
}
