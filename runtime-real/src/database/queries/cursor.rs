//! Cursors: where a page ended, as text that clients hand back and do not read.
//!
//! A cursor names the key of the last row that was shown, so rows that come later neither repeat one nor hide one. It
//! is bound to its question: with another filter it is refused, as is one that was damaged.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The form of the bytes below; another one is refused.
const FORM: u8 = 1;
const KEY: std::ops::Range<usize> = 1..9;
const QUESTION: std::ops::Range<usize> = 9..17;
const CHECKSUM: std::ops::Range<usize> = 17..21;
const LENGTH: usize = CHECKSUM.end;

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) key: u64,
    pub(super) question: [u8; 8],
}

/// Why a text is no cursor, or not this question's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a text that [`Cursor::encode`] gave.
    #[error("the cursor is damaged")]
    Damaged,
    /// Given for another wallet or another filter.
    #[error("the cursor belongs to another question")]
    Foreign,
}

impl Cursor {
    /// The opaque text: 28 characters of base64url.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = FORM;
        bytes[KEY].copy_from_slice(&self.key.to_be_bytes());
        bytes[QUESTION].copy_from_slice(&self.question);
        let checksum = checksum(&bytes);
        bytes[CHECKSUM].copy_from_slice(&checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] gave.
    ///
    /// # Errors
    /// [`CursorError::Damaged`] for anything else.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Damaged)?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| CursorError::Damaged)?;
        if bytes[0] != FORM || bytes[CHECKSUM] != checksum(&bytes) {
            return Err(CursorError::Damaged);
        }
        let mut cursor = Self { key: 0, question: [0; 8] };
        cursor.question.copy_from_slice(&bytes[QUESTION]);
        cursor.key = bytes[KEY].iter().fold(0, |key, byte| key << 8 | u64::from(*byte));
        Ok(cursor)
    }

    /// The key, when the cursor belongs to this question.
    pub(in crate::database) fn key_for(self, question: [u8; 8]) -> Result<u64, CursorError> {
        if self.question == question { Ok(self.key) } else { Err(CursorError::Foreign) }
    }
}

fn checksum(bytes: &[u8; LENGTH]) -> [u8; 4] {
    let digest = Sha256::digest(&bytes[..CHECKSUM.start]);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// What tells one question from another: its kind and every part of its filter.
pub(super) fn question(parts: &[&str]) -> [u8; 8] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut question = [0; 8];
    question.copy_from_slice(&digest[..8]);
    question
}
