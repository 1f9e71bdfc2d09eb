//! Reads JSON objects of requests into their members, in one pass, without judging values.
//!
//! Each member's value is kept as the slice of the body it stands in, so that money is parsed from its digits and
//! nothing is copied. Unknown and repeated members are mistakes that are collected, not errors that end the reading:
//! a client sees all its mistakes at once. What values mean is left to `operations`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Code, FieldError, Problem};

macro_rules! members {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A member that some request has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Member { $($variant),+ }

        impl Member {
            const COUNT: usize = [$(Self::$variant),+].len();

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];
        }
    };
}

members! {
    Type = "type",
    WalletId = "walletId",
    OwnerId = "ownerId",
    InitialBalance = "initialBalance",
    Currency = "currency",
    Amount = "amount",
    ToWalletId = "toWalletId",
    Description = "description",
    IdempotencyKey = "idempotencyKey",
}

/// The raw values of an object's members; `null` counts as not there.
#[derive(Clone, Copy, Default)]
pub(super) struct Members<'a>([Option<&'a str>; Member::COUNT]);

impl<'a> Members<'a> {
    /// The JSON text of a member's value.
    pub(super) fn raw(&self, member: Member) -> Option<&'a str> {
        self.0[member as usize]
    }

    /// All that are there, by name.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        Member::ALL.into_iter().filter_map(|member| Some((member.name(), self.raw(member)?)))
    }

    /// Collects a mistake for every member that is there and is none of `allowed`.
    pub(super) fn allow_only(&self, allowed: &[Member], errors: &mut Vec<FieldError>) {
        for member in Member::ALL {
            if self.raw(member).is_some() && !allowed.contains(&member) {
                errors.push(unknown(member.name()));
            }
        }
    }
}

/// Reads a body that is one operation; nothing when it is no object.
pub(super) fn of_body<'a>(body: &'a [u8], errors: &mut Vec<FieldError>) -> Result<Option<Members<'a>>, Problem> {
    let members = read(body, ObjectSeed { errors })?;
    if members.is_none() {
        errors.push(not_an_object("(body)"));
    }
    Ok(members)
}

pub(super) fn read<'a, S: DeserializeSeed<'a>>(body: &'a [u8], seed: S) -> Result<S::Value, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedJson, detail);
    let text = std::str::from_utf8(body).map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
    if text.trim_ascii().is_empty() {
        return Err(malformed("the body is empty".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut json).map_err(|error| malformed(error.to_string()))?;
    json.end().map_err(|error| malformed(error.to_string()))?;
    Ok(value)
}

pub(super) fn unknown(field: &str) -> FieldError {
    FieldError::new(field.to_owned(), "unknown", "is not a member of this request")
}

pub(super) fn repeated(field: &'static str) -> FieldError {
    FieldError::new(field, "duplicate", "stands there more than once")
}

pub(super) fn not_an_object(place: impl Into<Cow<'static, str>>) -> FieldError {
    FieldError::new(place, "type", "must be a JSON object")
}

/// The name of a member, resolved without a copy.
pub(super) enum Name {
    Known(Member),
    Atomic,
    Operations,
    Unknown(String),
}

pub(super) struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }
    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match Member::named(name) {
            Some(member) => Name::Known(member),
            None if name == "atomic" => Name::Atomic,
            None if name == "operations" => Name::Operations,
            None => Name::Unknown(name.chars().take(64).collect()),
        })
    }
}

/// Visits of everything that is not wanted, which become the value `$otherwise`.
macro_rules! visit_others {
    ($this:ident => $otherwise:expr) => {
        fn visit_bool<E>($this, _: bool) -> Result<Self::Value, E> { Ok($otherwise) }
        fn visit_i64<E>($this, _: i64) -> Result<Self::Value, E> { Ok($otherwise) }
        fn visit_u64<E>($this, _: u64) -> Result<Self::Value, E> { Ok($otherwise) }
        fn visit_f64<E>($this, _: f64) -> Result<Self::Value, E> { Ok($otherwise) }
        fn visit_str<E>($this, _: &str) -> Result<Self::Value, E> { Ok($otherwise) }
        fn visit_unit<E>($this) -> Result<Self::Value, E> { Ok($otherwise) }
    };
}

pub(super) use visit_others;

/// Reads one object, whose mistakes go to `errors`; nothing when it is none.
pub(super) struct ObjectSeed<'e> {
    pub errors: &'e mut Vec<FieldError>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = Option<Members<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = Option<Members<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        let mut seen = [false; Member::COUNT];
        while let Some(name) = object.next_key_seed(NameSeed)? {
            match name {
                Name::Known(member) => {
                    let value: &RawValue = object.next_value()?;
                    if std::mem::replace(&mut seen[member as usize], true) {
                        self.errors.push(repeated(member.name()));
                    }
                    members.0[member as usize] = Some(value.get()).filter(|raw| *raw != "null");
                }
                Name::Atomic => {
                    object.next_value::<IgnoredAny>()?;
                    self.errors.push(unknown("atomic"));
                }
                Name::Operations => {
                    object.next_value::<IgnoredAny>()?;
                    self.errors.push(unknown("operations"));
                }
                Name::Unknown(name) => {
                    object.next_value::<IgnoredAny>()?;
                    self.errors.push(unknown(&name));
                }
            }
        }
        Ok(Some(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    visit_others!(self => None);
}
