//! Live progress on standard error, drawn from the shared counters by a thread of its own, so that workers only count.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::worker::Phase;

/// A progress bar of one phase; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

const TICK: Duration = Duration::from_millis(100);

impl Progress {
    /// Draws the phase under a title; draws nothing when `shown` is false or standard error is no terminal.
    #[must_use]
    pub(super) fn start(title: &'static str, phase: &Arc<Phase>, shown: bool) -> Self {
        if !shown || !std::io::stderr().is_terminal() {
            return Self { stop: None, thread: None };
        }
        let bar = phase.total().map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = if phase.total().is_some() {
            "{prefix:<12} [{bar:32}] {human_pos}/{human_len}  {per_sec}  {msg}"
        } else {
            "{prefix:<12} {spinner} {human_pos}  {per_sec}  {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(title);
        let (stop, stopped) = channel();
        let phase = Arc::clone(phase);
        let thread = std::thread::spawn(move || {
            loop {
                let over = stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout);
                bar.set_position(phase.done.load(Relaxed));
                bar.set_message(format!("{} ✗", phase.failed.load(Relaxed)));
                if over {
                    break bar.finish();
                }
                bar.tick();
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A bar that could not be drawn is no reason to fail the run.
            let _ = thread.join();
        }
    }
}
