//! A run as one page: a space-time diagram with a lane for each node, arrows for messages, marks for faults and crashes,
//! and the violated invariant on top. One file, nothing from elsewhere: it can be mailed and opened years later.
//!
//! This file packs the trace's records as compact JSON; `page.js` draws what is in view on a canvas, so that ten
//! messages and ten thousand are both readable. Runs that pass can be drawn too.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use wallex_core::id::WalletId;
use wallex_core::time::Timestamp;

use crate::check::Violation;
use crate::trace::{Kind, Record};

/// What a page shows.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// What ran, in a few words.
    pub title: String,
    /// Facts of the run, by name: seed, preset, hash, how to run it again.
    pub facts: Vec<(String, String)>,
    /// The lanes in the order in which they are drawn: number and name.
    pub lanes: Vec<(u16, String)>,
    /// The trace.
    pub records: &'a [Record],
    /// When the run began.
    pub began: Timestamp,
    /// What was violated; nothing when the run passed.
    pub violations: &'a [Violation],
    /// What the run panicked with, if it did.
    pub panic: Option<&'a str>,
}

impl Page<'_> {
    /// The file.
    #[must_use]
    pub fn html(&self) -> String {
        let data = self.data().to_string().replace('<', "\\u003c");
        let mut html = String::with_capacity(data.len() + 32_768);
        let title = escape(&self.title);
        // Writing to a string cannot fail.
        let _infallible = write!(
            html,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>\n{}</style></head>\n\
             {}\n<script id=\"data\" type=\"application/json\">{data}</script>\n<script>\n{}</script></body></html>\n",
            include_str!("page.css"),
            include_str!("body.html"),
            include_str!("page.js"),
        );
        html
    }

    fn data(&self) -> Value {
        let lane_places: BTreeMap<u16, usize> =
            self.lanes.iter().enumerate().map(|(place, (number, _))| (*number, place)).collect();
        let place = |lane: u16| lane_places.get(&lane).map_or(-1, |place| *place as i64);
        let (mut wallets, mut names) = (Numbered::default(), Numbered::default());
        let records: Vec<Value> = self
            .records
            .iter()
            .map(|record| {
                let note = &record.note;
                let about: Vec<usize> = note.wallets.iter().map(|wallet| wallets.number(wallet.as_str())).collect();
                let states: Vec<Value> = note
                    .states
                    .iter()
                    .map(|state| json!([wallets.number(state.wallet.as_str()), state.version, state.balance]))
                    .collect();
                let peer = record.peer.map_or(-1, place);
                let (kind, name) = (record.kind as u8, names.number(&note.name));
                let (lane, text) = (place(record.lane), note.text.as_str());
                json!([record.step, record.at_us, lane, kind, peer, record.message, name, text, about, states])
            })
            .collect();
        let violations: Vec<Value> = self
            .violations
            .iter()
            .map(|violation| {
                json!({
                    "invariant": violation.invariant.to_string(),
                    "text": violation.text,
                    "at": violation.at.as_micros() - self.began.as_micros(),
                    "step": violation.step,
                    "wallet": violation.wallet.as_ref().map(WalletId::as_str),
                })
            })
            .collect();
        json!({
            "title": self.title,
            "facts": self.facts,
            "lanes": self.lanes.iter().map(|(_, name)| name).collect::<Vec<_>>(),
            "kinds": KINDS.map(|kind| serde_json::to_value(kind).unwrap_or_default()),
            "names": names.texts,
            "wallets": wallets.texts,
            "records": records,
            "violations": violations,
            "panic": self.panic,
        })
    }
}

/// In the order of their numbers.
const KINDS: [Kind; 17] = [
    Kind::Input,
    Kind::Timer,
    Kind::Effect,
    Kind::Send,
    Kind::Deliver,
    Kind::Drop,
    Kind::Duplicate,
    Kind::Crash,
    Kind::Restart,
    Kind::Pause,
    Kind::Fault,
    Kind::Heal,
    Kind::Append,
    Kind::Invoke,
    Kind::Return,
    Kind::Mark,
    Kind::Violation,
];

/// Texts by number, in order of appearance.
#[derive(Default)]
struct Numbered {
    numbers: BTreeMap<String, usize>,
    texts: Vec<String>,
}

impl Numbered {
    fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len();
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
