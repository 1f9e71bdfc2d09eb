//! What can be wrong with a configuration. Every message names the setting, and where it came from.
//!
//! Owns the words, and the search for the known name that was probably meant. Mistakes are found, and passwords hidden,
//! in `load`.

use super::Source;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no TOML; the message has line and column.
    #[error("the configuration file {path} is not TOML: {reason}")]
    NotToml {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// No setting has this name.
    #[error("{origin}: unknown setting {name}{}", nearest.as_ref().map(|n| format!(" (did you mean {n}?)")).unwrap_or_default())]
    Unknown {
        /// The name as written.
        name: String,
        /// Where it stands.
        origin: Source,
        /// The known name that is closest, if any is close.
        nearest: Option<String>,
    },
    /// The value is not of the setting's type or out of its bounds.
    #[error("{origin}: {name} = {value:?}: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// The value as written.
        value: String,
        /// Where it stands.
        origin: Source,
        /// What it must be.
        reason: String,
    },
    /// An environment variable that is not Unicode.
    #[error("environment variable {name}: the value is not valid Unicode")]
    NotUnicode {
        /// The variable.
        name: String,
    },
    /// Two values that cannot both be meant.
    #[error("{first} and {second} contradict each other: {reason}")]
    Contradiction {
        /// One setting or variable.
        first: String,
        /// The other.
        second: String,
        /// Why they cannot be combined.
        reason: String,
    },
    /// Several of these at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<ConfigError>),
}

/// The known name with the least edits to `name`, when these are few for its length.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|candidate| (edits(name, &candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 2 + name.len() / 4)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two texts (Levenshtein), ignoring case.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, left_char) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, right_char) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left_char != *right_char);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
