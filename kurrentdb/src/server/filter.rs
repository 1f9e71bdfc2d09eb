//! Which events of the log a read or a subscription is about.

use tonic::Status;
use wallex_journal::raw::StoredEvent;

use super::pattern::Pattern;
use crate::protocol::read::{Expression, Filter as Wanted, FilterBy, FilterWindow, Filtering};

/// Events between two checkpoints when the client does not say.
const WINDOW_DEFAULT: u32 = 32;

/// A filter on stream names or event types.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    field: Field,
    test: Test,
    /// So many events are looked at between two checkpoints.
    pub(super) checkpoint_every: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Stream,
    Type,
}

#[derive(Clone, Debug)]
enum Test {
    Prefixes(Vec<String>),
    Pattern(Pattern),
}

impl Filter {
    /// Reads what the client asks for.
    pub(super) fn read(filtering: Option<Filtering>) -> Result<Option<Self>, Status> {
        match filtering {
            Some(Filtering::Filter(wanted)) => Self::of(wanted).map(Some),
            Some(Filtering::Nothing(())) | None => Ok(None),
        }
    }

    fn of(wanted: Wanted) -> Result<Self, Status> {
        let (field, expression) = match wanted.by {
            Some(FilterBy::Stream(expression)) => (Field::Stream, expression),
            Some(FilterBy::EventType(expression)) => (Field::Type, expression),
            None => return Err(Status::invalid_argument("a filter without an expression")),
        };
        let Expression { regex, prefix } = expression;
        let test = match prefix.is_empty() {
            true => Test::Pattern(Pattern::parse(&regex).map_err(|what| {
                Status::invalid_argument(format!(
                    "this server does not understand the expression of the filter: {what}"
                ))
            })?),
            false => Test::Prefixes(prefix),
        };
        let window = match wanted.window {
            Some(FilterWindow::Max(most)) => most.max(1),
            Some(FilterWindow::Count(())) | None => WINDOW_DEFAULT,
        };
        let checkpoint_every = u64::from(window) * u64::from(wanted.checkpoint_interval_multiplier.max(1));
        Ok(Self { field, test, checkpoint_every })
    }

    /// Whether an event passes.
    pub(super) fn passes(&self, event: &StoredEvent) -> bool {
        let text = match self.field {
            Field::Stream => &event.stream,
            Field::Type => &event.event.kind,
        };
        match &self.test {
            Test::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
            Test::Pattern(pattern) => pattern.is_in(text),
        }
    }
}
