//! librdkafka's log and errors, through `tracing`, at a bounded rate: while a broker is away it repeats itself.
//!
//! Every client has a [`Log`] with a bound of its own, and lines that were left out are counted. The lines are for
//! people: how a call ended is told by the call, what health shows comes from `statistics`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// Lines of one client in one window.
const LINES_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// Where the lines of one client go.
pub(super) struct Log {
    client: &'static str,
    window: Mutex<Window>,
    last_error: Mutex<Option<String>>,
}

struct Window {
    began: Instant,
    lines: u32,
}

impl Log {
    pub(super) fn new(client: &'static str) -> Self {
        Self { client, window: Mutex::new(Window { began: Instant::now(), lines: 0 }), last_error: Mutex::default() }
    }

    /// Whether a line may be written now. Says how many were left out when a window is over.
    fn may_write(&self) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.elapsed() >= WINDOW {
            let left_out = window.lines.saturating_sub(LINES_MAX);
            *window = Window { began: Instant::now(), lines: 0 };
            if left_out > 0 {
                tracing::warn!(client = self.client, left_out, "Kafka's client repeated itself");
            }
        }
        window.lines = window.lines.saturating_add(1);
        window.lines <= LINES_MAX
    }

    /// The last error that the client has reported, however long ago.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn warn(&self, text: &str) {
        if self.may_write() {
            tracing::warn!(client = self.client, "Kafka: {text}");
        }
    }
}

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.warn(&format!("{facility}: {message}")),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(client = self.client, facility, message, "Kafka's client");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let text = format!("{error}: {reason}");
        self.warn(&text);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_repeats_itself_is_cut_off_until_the_window_is_over() {
        let log = Log::new("test");
        let written = (0..1_000).filter(|_| log.may_write()).count();
        assert_eq!(written, LINES_MAX as usize);
        log.window.lock().unwrap().began = Instant::now().checked_sub(WINDOW).unwrap();
        assert!(log.may_write());
    }
}
