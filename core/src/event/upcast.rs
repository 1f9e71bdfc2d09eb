//! Upcasters: events of older schema versions, rewritten step by step into the current one.
//!
//! Each step is a function from one version's members to the next one's; [`to_current`] runs those that are due. Members
//! stay raw JSON text, so that no digit of money passes through a float.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::codec::{CodecError, SCHEMA_VERSION, malformed};

type Members = BTreeMap<String, Box<RawValue>>;

/// The `data` object in the current schema, whatever older version it was written in.
pub(super) fn to_current(data: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut members: Members = serde_json::from_slice(data).map_err(malformed)?;
    let version: u32 = match members.get("schemaVersion") {
        Some(raw) => serde_json::from_str(raw.get()).map_err(malformed)?,
        None => return Err(CodecError::Invalid { field: "schemaVersion", reason: "is missing".to_owned() }),
    };
    if version > SCHEMA_VERSION {
        return Err(CodecError::TooNew(version));
    }
    if version < 2 {
        money_as_strings(&mut members)?;
    }
    members.insert("schemaVersion".to_owned(), raw(SCHEMA_VERSION.to_string())?);
    serde_json::to_vec(&members).map_err(malformed)
}

/// 1 → 2: money became a string of digits, and `balanceAfter` became `balance`.
fn money_as_strings(members: &mut Members) -> Result<(), CodecError> {
    if let Some(balance) = members.remove("balanceAfter") {
        members.insert("balance".to_owned(), balance);
    }
    for field in ["amount", "balance"] {
        if let Some(number) = members.get_mut(field) {
            *number = raw(format!("\"{}\"", number.get().trim_matches('"')))?;
        }
    }
    Ok(())
}

fn raw(json: String) -> Result<Box<RawValue>, CodecError> {
    RawValue::from_string(json).map_err(malformed)
}
