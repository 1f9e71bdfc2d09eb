//! The trace of a run: every input and effect of the node, with its virtual time, hashed with all its contents.
//!
//! A checker that compares only randomness and time misses data that changed; this one does not.

use serde::Serialize;
use sha2::{Digest, Sha256};
use wallex_core::time::Timestamp;

/// Hashes what happens, as it happens.
#[derive(Debug, Default)]
pub struct Trace {
    hasher: Sha256,
    lines: u64,
    kept: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    at: Timestamp,
    direction: &'a str,
    what: &'a T,
}

impl Trace {
    /// A trace that also keeps its lines, to be written to a file.
    #[must_use]
    pub fn keeping_lines() -> Self {
        Self { kept: Some(Vec::new()), ..Self::default() }
    }

    /// Records one input (`in`) or effect (`out`).
    ///
    /// # Panics
    /// When it cannot be written as JSON: inputs and effects are plain data, so all of them can.
    pub fn record(&mut self, at: Timestamp, direction: &str, what: &impl Serialize) {
        let line = serde_json::to_string(&Line { at, direction, what }).expect("plain data has a JSON form");
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        self.lines += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(line);
        }
    }

    /// Number of inputs and effects.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The hash in hexadecimal, and the lines if they were kept.
    #[must_use]
    pub fn finish(self) -> (String, Vec<String>) {
        let hash = self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        (hash, self.kept.unwrap_or_default())
    }
}
