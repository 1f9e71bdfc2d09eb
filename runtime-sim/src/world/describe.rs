//! What people are told about inputs and effects; made only when a trace is kept.

use serde::Serialize;
use wallex_core::effect::{Effect, Input};

use crate::trace::Note;

/// Longest text of a step, in characters: a batch of events would fill the page.
const TEXT_MAX: usize = 600;

pub(super) fn input(name: &str, input: &Input) -> Note {
    note(name, input)
}

pub(super) fn effect(name: &str, effect: &Effect) -> Note {
    note(name, effect)
}

fn note(name: &str, what: &impl Serialize) -> Note {
    let json = serde_json::to_string(what).unwrap_or_default();
    let mut wallets = Vec::new();
    // Wallets are named w0, w1, … as JSON strings.
    for part in json.split('"') {
        let is_wallet = part.strip_prefix('w').is_some_and(|digits| {
            !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_wallet
            && let Ok(wallet) = wallex_core::id::WalletId::parse(part)
            && !wallets.contains(&wallet)
        {
            wallets.push(wallet);
        }
    }
    let text = match json.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json,
    };
    Note { name: name.to_owned(), text, wallets, states: Vec::new() }
}
