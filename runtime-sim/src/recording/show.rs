//! What a replay shows: a line for each input and effect as JSON, and the node's state after a step that was asked for.
//!
//! Only of one step, or only lines that name one wallet, when that is asked for. Times count from where the replay
//! begins. What is fed and what is compared is left to the module above.

use std::io::{self, Write};

use serde::Serialize;
use wallex_core::effect::{Effect, Input};
use wallex_core::node::Node;
use wallex_core::time::Timestamp;

use super::{View, since};

/// What is shown, and where the replay is.
pub(super) struct Showing {
    view: View,
    began: Timestamp,
    /// The step that is shown now; inputs and timeouts are counted from 1.
    pub(super) step: u64,
    has_shown_state: bool,
}

impl Showing {
    pub(super) fn new(view: View, began: Timestamp) -> Self {
        Self { view, began, step: 0, has_shown_state: false }
    }

    pub(super) fn input(&self, now: Timestamp, input: &Input, out: &mut impl Write) -> io::Result<()> {
        self.line("in ", Some(now), input, out)
    }

    pub(super) fn timeout(&self, now: Timestamp, out: &mut impl Write) -> io::Result<()> {
        if self.view.wallet.is_some() || self.is_elsewhere() {
            return Ok(());
        }
        writeln!(out, "#{} {} timeout", self.step, since(self.began, now))
    }

    pub(super) fn effect(&self, effect: &Effect, out: &mut impl Write) -> io::Result<()> {
        self.line("out", None, effect, out)
    }

    /// The state after the step that was asked for: what matters most, and then all of it as JSON.
    pub(super) fn state(&mut self, node: &Node, out: &mut impl Write) -> io::Result<()> {
        if self.view.at != Some(self.step) {
            return Ok(());
        }
        self.has_shown_state = true;
        let commands = node.commands();
        writeln!(out, "state after step {}", self.step)?;
        writeln!(
            out,
            "  commands    {} pending, {} wallets cached",
            commands.commands_pending(),
            commands.wallets_cached()
        )?;
        writeln!(out, "  counters    {:?}", commands.statistics())?;
        writeln!(out, "  pipeline    {:?}", node.pipeline())?;
        writeln!(out, "  timer       {:?}", node.poll_timeout().map(|(at, why)| (since(self.began, at), why)))?;
        match &self.view.wallet {
            Some(wallet) => {
                writeln!(out, "wallet {wallet}")?;
                serde_json::to_writer_pretty(&mut *out, &commands.wallet_state(wallet))?;
            }
            None => {
                writeln!(out, "node")?;
                serde_json::to_writer_pretty(&mut *out, node)?;
            }
        }
        writeln!(out)
    }

    /// Says so when the recording has no state after the step that was asked for.
    pub(super) fn say_what_is_missing(&self, out: &mut impl Write) -> io::Result<()> {
        match self.view.at {
            Some(at) if !self.has_shown_state => writeln!(out, "-- the recording has no state after step {at}"),
            Some(_) | None => Ok(()),
        }
    }

    fn is_elsewhere(&self) -> bool {
        self.view.at.is_some_and(|at| at != self.step)
    }

    fn line(&self, way: &str, now: Option<Timestamp>, what: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
        if self.is_elsewhere() {
            return Ok(());
        }
        let json = serde_json::to_string(what)?;
        if self.view.wallet.as_ref().is_some_and(|wallet| !json.contains(&format!("\"{wallet}\""))) {
            return Ok(());
        }
        let when = now.map(|now| since(self.began, now) + " ").unwrap_or_default();
        writeln!(out, "#{} {way} {when}{json}", self.step)
    }
}
