//! What several calls have in common: event ids, names of streams, positions in the log.
//!
//! `event_store.client.Empty` and `google.protobuf.Empty` are both `()`: neither has a field.

use prost::bytes::Bytes;

/// An id: as text, or as two numbers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Uuid {
    /// One of its two forms.
    #[prost(oneof = "uuid_form::Form", tags = "1, 2")]
    pub form: Option<uuid_form::Form>,
}

/// The forms of a [`Uuid`].
pub mod uuid_form {
    /// One of the two.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Form {
        /// Two halves.
        #[prost(message, tag = "1")]
        Structured(Structured),
        /// Hyphenated text.
        #[prost(string, tag = "2")]
        Text(String),
    }

    /// The 128 bits, most significant first, as two signed numbers.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Structured {
        /// The first eight bytes.
        #[prost(int64, tag = "1")]
        pub most_significant_bits: i64,
        /// The last eight bytes.
        #[prost(int64, tag = "2")]
        pub least_significant_bits: i64,
    }
}

impl Uuid {
    /// The text form of an id.
    #[must_use]
    pub fn text(id: uuid::Uuid) -> Self {
        Self { form: Some(uuid_form::Form::Text(id.hyphenated().to_string())) }
    }

    /// The numeric form of an id: shorter.
    #[must_use]
    pub fn structured(id: uuid::Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        Self {
            form: Some(uuid_form::Form::Structured(uuid_form::Structured {
                most_significant_bits: high.cast_signed(),
                least_significant_bits: low.cast_signed(),
            })),
        }
    }

    /// The id, from either form; nothing when there is none or the text is no UUID.
    #[must_use]
    pub fn value(&self) -> Option<uuid::Uuid> {
        match self.form.as_ref()? {
            uuid_form::Form::Structured(halves) => Some(uuid::Uuid::from_u64_pair(
                halves.most_significant_bits.cast_unsigned(),
                halves.least_significant_bits.cast_unsigned(),
            )),
            uuid_form::Form::Text(text) => uuid::Uuid::try_parse(text).ok(),
        }
    }
}

/// Name of a stream, in UTF-8.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamIdentifier {
    /// The bytes of the name.
    #[prost(bytes = "bytes", tag = "3")]
    pub stream_name: Bytes,
}

impl StreamIdentifier {
    /// The identifier of the stream with this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { stream_name: Bytes::from(name.into().into_bytes()) }
    }

    /// The name; nothing when it is not UTF-8.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        std::str::from_utf8(&self.stream_name).ok()
    }
}

/// A place in the log.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Position {
    /// Where the transaction was committed.
    #[prost(uint64, tag = "1")]
    pub commit_position: u64,
    /// Where its record begins; the same for all writes of today.
    #[prost(uint64, tag = "2")]
    pub prepare_position: u64,
}

impl Position {
    /// Commit and prepare position alike.
    #[must_use]
    pub const fn at(position: u64) -> Self {
        Self { commit_position: position, prepare_position: position }
    }
}

/// Seconds and nanoseconds since 1970 (`google.protobuf.Timestamp`), or a length of time (`google.protobuf.Duration`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Seconds {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds beyond them.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}
