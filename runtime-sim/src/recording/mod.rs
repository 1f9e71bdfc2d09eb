//! Replays what the flight recorder of the service wrote: a real [`Node`] is fed the recorded inputs at the recorded times,
//! asked for effects exactly as often, and the hash over its effects is held against the recorded one (INV-13).
//!
//! It begins where the oldest file that is left does: with a new node, or with the node's recorded state. At every state
//! after that, the node that was stepped through must have come to the same. Where frames were dropped, inputs are still
//! shown, and it goes on at the next state. Output is text, the same bytes every time.

pub mod cli;
mod show;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::Path;

use wallex_core::effect::Effect;
use wallex_core::id::WalletId;
use wallex_core::node::Node;
use wallex_core::time::Timestamp;
use wallex_recording::reader::RunError;
use wallex_recording::{Digest, End, Frame, Run, State};

use show::Showing;

/// What is to be shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Only this step, with the node's state after it as JSON.
    pub at: Option<u64>,
    /// Only what is about this wallet.
    pub wallet: Option<WalletId>,
}

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The node asked for the same effects.
    Same,
    /// It did not, from this step on.
    Differs(u64),
    /// It could not be stepped through to the end, and why.
    Partly(String),
}

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no recording that can be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Replays the recording in a directory and shows it.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(directory: &Path, view: &View, out: &mut impl Write) -> Result<Replayed, ReplayError> {
    let run = Run::open(directory)?;
    let begin = run.begin();
    writeln!(out, "node          {} (software {}), began {}", begin.node, begin.software, begin.began)?;
    let mut replay = Replay::new(&run, view);
    let mut written = Ok(());
    let end = run.read(|entry| {
        written = replay.step(entry.frame, out);
        written.is_ok() && view.at.is_none_or(|at| replay.showing.step <= at)
    })?;
    written?;
    replay.finish(&end, out)?;
    Ok(replay.came_to())
}

struct Replay {
    /// Nothing when the recording cannot be stepped through from here.
    node: Option<Node>,
    why_not: Option<String>,
    digest: Digest,
    differs: Option<u64>,
    showing: Showing,
    /// Inputs and effects that were replayed.
    inputs: u64,
    effects: u64,
}

impl Replay {
    fn new(run: &Run, view: &View) -> Self {
        let begin = run.begin();
        let node = run.is_whole().then(|| Node::new(begin.config.clone(), begin.began));
        let showing = Showing::new(view.clone(), begin.began);
        Self { node, why_not: None, digest: Digest::default(), differs: None, showing, inputs: 0, effects: 0 }
    }

    fn step(&mut self, frame: Frame, out: &mut impl Write) -> io::Result<()> {
        match frame {
            Frame::Begin(_) => Ok(()),
            Frame::Input(now, input) => {
                self.next(out)?;
                self.showing.input(now, &input, out)?;
                if let Some(node) = &mut self.node {
                    node.handle(now, input);
                }
                Ok(())
            }
            Frame::Timeout(now) => {
                self.next(out)?;
                self.showing.timeout(now, out)?;
                if let Some(node) = &mut self.node {
                    node.handle_timeout(now);
                }
                Ok(())
            }
            Frame::Polled { effects, drained, digest } => self.poll(effects, drained, digest, out),
            Frame::Dropped(frames) => {
                self.leave_off(out)?;
                self.why_not.get_or_insert_with(|| format!("{frames} frames were dropped: the disk was too slow"));
                writeln!(out, "-- {frames} frames were dropped here")
            }
            Frame::State(state) => self.state(&state, out),
        }
    }

    /// The node goes on from a state, or is held against it.
    fn state(&mut self, state: &State, out: &mut impl Write) -> io::Result<()> {
        if let Some(node) = &self.node {
            if serde_json::to_vec(node)? != state.node {
                self.differ(out, "the node came to another state than was recorded")?;
            }
            return Ok(());
        }
        match state.node() {
            Ok(node) => {
                writeln!(out, "-- stepping through from the state after step {}", state.inputs)?;
                self.node = Some(node);
            }
            Err(error) => {
                self.why_not.get_or_insert_with(|| format!("a state is not understood: {error}"));
            }
        }
        self.digest = Digest::from_halves(state.digest);
        self.showing.step = state.inputs;
        Ok(())
    }

    fn next(&mut self, out: &mut impl Write) -> io::Result<()> {
        match &self.node {
            Some(node) => self.showing.state(node, out)?,
            None => {
                self.why_not
                    .get_or_insert_with(|| "the ring has overwritten the beginning, and has no state".to_owned());
            }
        }
        self.inputs += 1;
        self.showing.step += 1;
        Ok(())
    }

    fn leave_off(&mut self, out: &mut impl Write) -> io::Result<()> {
        match self.node.take() {
            Some(node) => self.showing.state(&node, out),
            None => Ok(()),
        }
    }

    fn differ(&mut self, out: &mut impl Write, how: &str) -> io::Result<()> {
        if self.differs.is_some() {
            return Ok(());
        }
        self.differs = Some(self.showing.step);
        writeln!(out, "-- step {}: {how}", self.showing.step)
    }

    fn poll(&mut self, effects: u64, drained: bool, recorded: [u64; 2], out: &mut impl Write) -> io::Result<()> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let mut given: Vec<Effect> = Vec::new();
        while (given.len() as u64) < effects {
            match node.poll_effect() {
                Some(effect) => given.push(effect),
                None => break,
            }
        }
        let more = if drained { node.poll_effect() } else { None };
        for effect in &given {
            self.digest.value(effect);
            self.showing.effect(effect, out)?;
        }
        self.effects += given.len() as u64;
        if given.len() as u64 == effects && more.is_none() && self.digest.halves() == recorded {
            return Ok(());
        }
        let more = if more.is_some() { "has more" } else { "no more" };
        let asked = given.len();
        self.differ(
            out,
            &format!("the node asked for {asked} effects and {more}, the recording has {effects}; or other ones"),
        )
    }

    fn finish(&mut self, end: &End, out: &mut impl Write) -> io::Result<()> {
        self.leave_off(out)?;
        if let End::Broken { file, offset, error } = end {
            writeln!(out, "-- the recording breaks off in file {file} at byte {offset}: {error}")?;
        }
        self.showing.say_what_is_missing(out)?;
        writeln!(out, "replayed      {} inputs, {} effects", self.inputs, self.effects)?;
        writeln!(out, "effects       {}", self.digest)?;
        match self.came_to() {
            Replayed::Same => writeln!(out, "verdict       the node asked for the recorded effects"),
            Replayed::Differs(step) => writeln!(out, "verdict       OTHER EFFECTS from step {step} on"),
            Replayed::Partly(why) => {
                writeln!(out, "verdict       inputs only, where the node could not be stepped through: {why}")
            }
        }
    }

    fn came_to(&self) -> Replayed {
        match (self.differs, &self.why_not) {
            (Some(step), _) => Replayed::Differs(step),
            (None, Some(why)) => Replayed::Partly(why.clone()),
            (None, None) => Replayed::Same,
        }
    }
}

/// Seconds since the node began.
fn since(began: Timestamp, now: Timestamp) -> String {
    format!("{:+.6} s", (now.as_micros() - began.as_micros()) as f64 / 1e6)
}
