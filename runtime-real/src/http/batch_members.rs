//! Reads the JSON object of a batch: its own members, and the objects of its operations, in the same single pass.
//!
//! Mistakes are collected and the reading goes on; operations beyond the limit are counted and not kept. The objects of
//! the operations are read by `members`, what values mean is left to `operations` and `batch`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::members::{Members, Name, NameSeed, ObjectSeed, not_an_object, read, repeated, unknown, visit_others};
use super::problem::{FieldError, Problem};

/// A batch as it stands in a body.
#[derive(Default)]
pub(super) struct BatchMembers<'a> {
    pub atomic: Option<&'a str>,
    /// Those that are objects.
    pub operations: Option<Vec<OperationMembers<'a>>>,
}

/// An operation as it stands in a batch.
pub(super) struct OperationMembers<'a> {
    pub index: usize,
    pub members: Members<'a>,
    /// Members that are unknown or repeated.
    pub errors: Vec<FieldError>,
}

/// Reads a body that is a batch: `errors` has what is wrong with the batch itself, and each operation has its own.
/// Operations beyond `limit` are counted as a mistake and not kept.
pub(super) fn of_body<'a>(
    body: &'a [u8],
    limit: usize,
    errors: &mut Vec<FieldError>,
) -> Result<BatchMembers<'a>, Problem> {
    read(body, BatchSeed { limit, errors })
}

struct BatchSeed<'e> {
    limit: usize,
    errors: &'e mut Vec<FieldError>,
}

impl BatchSeed<'_> {
    fn mistaken<'a>(self) -> BatchMembers<'a> {
        self.errors.push(not_an_object("(body)"));
        BatchMembers::default()
    }
}

impl<'de> DeserializeSeed<'de> for BatchSeed<'_> {
    type Value = BatchMembers<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_> {
    type Value = BatchMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut batch = BatchMembers::default();
        while let Some(name) = object.next_key_seed(NameSeed)? {
            match name {
                Name::Atomic => {
                    let value: &RawValue = object.next_value()?;
                    if batch.atomic.replace(value.get()).is_some() {
                        self.errors.push(repeated("atomic"));
                    }
                }
                Name::Operations => {
                    let seed = OperationsSeed { limit: self.limit, errors: &mut *self.errors };
                    if batch.operations.replace(object.next_value_seed(seed)?).is_some() {
                        self.errors.push(repeated("operations"));
                    }
                }
                Name::Known(member) => {
                    object.next_value::<IgnoredAny>()?;
                    self.errors.push(unknown(member.name()));
                }
                Name::Unknown(name) => {
                    object.next_value::<IgnoredAny>()?;
                    self.errors.push(unknown(&name));
                }
            }
        }
        Ok(batch)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.mistaken())
    }

    visit_others!(self => self.mistaken());
}

struct OperationsSeed<'e> {
    limit: usize,
    errors: &'e mut Vec<FieldError>,
}

impl OperationsSeed<'_> {
    fn mistaken<'a>(self) -> Vec<OperationMembers<'a>> {
        self.errors.push(FieldError::new("operations", "type", "must be an array of operations"));
        Vec::new()
    }
}

impl<'de> DeserializeSeed<'de> for OperationsSeed<'_> {
    type Value = Vec<OperationMembers<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OperationsSeed<'_> {
    type Value = Vec<OperationMembers<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut operations = Vec::new();
        for index in 0..self.limit {
            let mut errors = Vec::new();
            match array.next_element_seed(ObjectSeed { errors: &mut errors })? {
                Some(Some(members)) => operations.push(OperationMembers { index, members, errors }),
                Some(None) => self.errors.push(not_an_object(format!("operations[{index}]"))),
                None => return Ok(operations),
            }
        }
        let mut surplus = 0_usize;
        while array.next_element::<IgnoredAny>()?.is_some() {
            surplus += 1;
        }
        if surplus > 0 {
            let detail = format!("has {} operations, and may have at most {}", self.limit + surplus, self.limit);
            self.errors.push(FieldError::new("operations", "too-many", detail));
        }
        Ok(operations)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.mistaken())
    }

    visit_others!(self => self.mistaken());
}
