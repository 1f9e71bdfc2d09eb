//! Identifiers: one newtype each, so that no two can be mixed up.
//!
//! Ids that clients choose ([`WalletId`], [`OwnerId`]) are checked text, cheap to clone. Ids that the service makes
//! are UUIDs: a [`CommandId`] is a UUIDv7 whose 12-bit `rand_a` field is zero, and the [`EventId`] of the command's
//! n-th event (from 1) is the same UUID with n in that field. So event ids derive from the command id (INV-05): an
//! append that is repeated carries the same ids, and the event store recognises it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::{EVENTS_PER_COMMAND_MAX, ID_LENGTH_MAX};
use crate::time::Timestamp;

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty or longer than the limit.
    #[error("must have 1 to {ID_LENGTH_MAX} characters")]
    Length,
    /// A character outside the alphabet of client-chosen ids.
    #[error("may contain only A-Z a-z 0-9 . _ : -")]
    Character,
    /// A correlation id with a character that is not visible ASCII.
    #[error("may contain only visible ASCII characters other than quote and backslash")]
    NotVisible,
    /// Not a UUID.
    #[error("must be a UUID")]
    NotAUuid,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $allowed:expr, $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and alphabet.
            ///
            /// # Errors
            /// [`IdError`] names what is wrong.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.is_empty() || text.len() > ID_LENGTH_MAX {
                    return Err(IdError::Length);
                }
                if !text.bytes().all($allowed) {
                    return Err($error);
                }
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as text that is shared with it, not copied.
            #[must_use]
            pub fn to_shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

fn client_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

text_id!(
    /// A wallet, as its client or the service named it: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`.
    WalletId, client_alphabet, IdError::Character
);
text_id!(
    /// The owner of a wallet, known to the client alone: same alphabet as [`WalletId`].
    OwnerId, client_alphabet, IdError::Character
);
text_id!(
    /// What ties a request to its log lines, events and messages: 1 to 128 visible ASCII characters that need no
    /// escape in JSON.
    CorrelationId, |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\', IdError::NotVisible
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the hyphenated text form.
            ///
            /// # Errors
            /// [`IdError::NotAUuid`].
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError::NotAUuid)
            }

            /// Appends the hyphenated lower-case text form to `out`.
            pub fn write_text(&self, out: &mut Vec<u8>) {
                let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
                out.extend_from_slice(self.0.hyphenated().encode_lower(&mut buffer).as_bytes());
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

uuid_id!(
    /// One command: made once per request by the runtime, kept in the idempotency record, the same for every retry.
    CommandId
);
uuid_id!(
    /// One event; derives from the command that caused it.
    EventId
);
uuid_id!(
    /// One transfer: the id of its debit event.
    TransferId
);

impl CommandId {
    /// A UUIDv7 of `now` (its milliseconds) and 62 random bits from outside; `rand_a` is left zero for the events.
    #[must_use]
    pub fn new(now: Timestamp, random: u64) -> Self {
        let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
        let high = (millis << 16) | 0x7000;
        let low = (random & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        Self(Uuid::from_u64_pair(high, low))
    }

    /// The id of the command's event number `index`, counted from 0.
    ///
    /// # Panics
    /// When a command causes more than [`EVENTS_PER_COMMAND_MAX`] events: requests are bounded so that none does.
    #[must_use]
    pub fn event_id(self, index: usize) -> EventId {
        assert!(index < EVENTS_PER_COMMAND_MAX, "a command causes at most {EVENTS_PER_COMMAND_MAX} events");
        let (high, low) = self.0.as_u64_pair();
        EventId(Uuid::from_u64_pair((high & !0xfff) | (index as u64 + 1), low))
    }
}

impl From<EventId> for TransferId {
    fn from(debit: EventId) -> Self {
        Self(debit.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Version of a wallet: 0 before it exists, 1 after creation, one more per event (INV-03).
    Version
);
number!(
    /// Place of an event in the whole log. Positions only grow; 0 is before the first event. In the embedded journal
    /// they are dense (1, 2, 3, …); other stores may leave holes.
    Position
);
number!(
    /// One effect of a node; its completion names it.
    EffectId
);
number!(
    /// One request, as the runtime numbers it; the reply names it.
    RequestId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_derive_from_the_command_and_differ_from_it_and_each_other() {
        let command = CommandId::new(Timestamp::from_micros(1_800_000_000_123_456), u64::MAX);
        assert_eq!(command.to_string(), "01a3185c-507b-7000-bfff-ffffffffffff");
        assert_eq!(command.event_id(0).to_string(), "01a3185c-507b-7001-bfff-ffffffffffff");
        assert_eq!(command.event_id(4_094).to_string(), "01a3185c-507b-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn client_ids_take_their_alphabet_and_nothing_else() {
        assert!(WalletId::parse("user:42_a-B.c").is_ok());
        assert!(WalletId::parse(&"x".repeat(128)).is_ok());
        assert_eq!(WalletId::parse(""), Err(IdError::Length));
        assert_eq!(WalletId::parse(&"x".repeat(129)), Err(IdError::Length));
        for text in ["a b", "a/b", "ä", "a\n", "a\"b"] {
            assert_eq!(WalletId::parse(text), Err(IdError::Character), "{text:?}");
        }
        assert_eq!(CorrelationId::parse("a b"), Err(IdError::NotVisible));
        assert!(CorrelationId::parse("req/42#x").is_ok());
    }
}
