//! `google.protobuf.Value`: JSON in protocol buffers, as properties of records carry it.
//!
//! Its numbers are doubles; so what must stay exact goes as text.

use std::collections::BTreeMap;

/// Any JSON value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Of one of six kinds; none is what a broken writer sends.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// The kinds of values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// `null`; the number is always 0.
    #[prost(int32, tag = "1")]
    Null(i32),
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// Text.
    #[prost(string, tag = "3")]
    Text(String),
    /// A truth value.
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// An object.
    #[prost(message, tag = "5")]
    Object(Object),
    /// An array.
    #[prost(message, tag = "6")]
    List(List),
}

/// An object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Object {
    /// Its members.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// An array.
#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    /// Its members.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

impl Value {
    /// A text value.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: Some(Kind::Text(text.into())) }
    }

    /// The same value as JSON. A number that JSON cannot hold (infinite, not a number) and a value of no kind are null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            None | Some(Kind::Null(_)) => serde_json::Value::Null,
            Some(Kind::Number(number)) => {
                serde_json::Number::from_f64(*number).map_or(serde_json::Value::Null, serde_json::Value::Number)
            }
            Some(Kind::Text(text)) => serde_json::Value::String(text.clone()),
            Some(Kind::Bool(value)) => serde_json::Value::Bool(*value),
            Some(Kind::Object(object)) => serde_json::Value::Object(
                object.fields.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            ),
            Some(Kind::List(list)) => serde_json::Value::Array(list.values.iter().map(Self::to_json).collect()),
        }
    }
}
