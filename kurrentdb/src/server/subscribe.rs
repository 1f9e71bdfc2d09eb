//! Version 1: subscriptions to a stream or to the log.
//!
//! First a confirmation, then every event after the start, then "caught up", then events as they come; a filtered
//! subscription also gets checkpoints, so that its reader can resume behind what it was not sent. A subscription reads
//! from the log at its client's pace, so it needs no memory for what the client has not taken. Starts are exclusive.

use std::sync::Arc;

use tokio::sync::watch;
use wallex_journal::raw::{Direction, StreamPage};

use super::answers::{deleted, shutting_down};
use super::events::{event, random_id};
use super::filter::Filter;
use super::paging::{Ended, Outlet, log_page, stream_page};
use super::read::Form;
use super::route::State;
use super::writer::now;
use crate::protocol::read::{AllStart, Checkpoint, Confirmation, LiveChange, ReadContent, StreamStart};
use crate::protocol::shared::{Position, Seconds};

/// What a live subscription waits for.
struct Live<'o> {
    outlet: &'o Outlet,
    position: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
}

impl Live<'_> {
    /// Waits until the log has an event after this position.
    async fn moved_beyond(&mut self, position: u64) -> Result<(), Ended> {
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(shutting_down().into()),
            () = self.outlet.gone() => Err(Ended::Gone),
            moved = self.position.wait_for(|end| *end > position) => match moved {
                Ok(_) => Ok(()),
                Err(_) => Err(shutting_down().into()),
            },
        }
    }

    fn is_stopping(&self) -> Result<(), Ended> {
        if *self.stopping.borrow() { Err(shutting_down().into()) } else { Ok(()) }
    }

    async fn confirm(&self) -> Result<(), Ended> {
        let subscription_id = random_id()?.hyphenated().to_string();
        self.outlet.send(ReadContent::Confirmation(Confirmation { subscription_id })).await
    }
}

fn live<'o>(state: &State, outlet: &'o Outlet) -> Live<'o> {
    Live { outlet, position: state.position.clone(), stopping: state.stopping.clone() }
}

/// Subscribes to a stream, which need not exist yet.
pub(super) fn subscribe_stream(
    state: Arc<State>,
    outlet: Outlet,
    form: Form,
    stream: String,
    start: Option<StreamStart>,
) {
    tokio::spawn(async move {
        let result = follow_stream(&state, &outlet, form, &stream, start).await;
        outlet.end(result);
    });
}

async fn follow_stream(
    state: &Arc<State>,
    outlet: &Outlet,
    form: Form,
    stream: &str,
    start: Option<StreamStart>,
) -> Result<(), Ended> {
    let mut live = live(state, outlet);
    let mut next = match start {
        Some(StreamStart::Revision(revision)) => revision.saturating_add(1),
        Some(StreamStart::Start(())) | None => 0,
        Some(StreamStart::End(())) => state.reader.state(stream).next,
    };
    live.confirm().await?;
    let mut has_caught_up = false;
    loop {
        live.is_stopping()?;
        // Taken before the page is read: what comes in between wakes the wait below.
        let end = state.reader.position();
        let events = match stream_page(state, stream, next, Direction::Forwards, u64::MAX).await? {
            StreamPage::Tombstoned => return Err(deleted(stream).into()),
            StreamPage::NotFound => Vec::new(),
            StreamPage::Events(events) => events,
        };
        if events.is_empty() {
            if !has_caught_up {
                has_caught_up = true;
                let revision = next.checked_sub(1).and_then(|last| i64::try_from(last).ok());
                caught_up(outlet, form, revision.or(Some(-1)), None).await?;
            }
            live.moved_beyond(end).await?;
        }
        for stored in events {
            next = stored.revision.saturating_add(1);
            outlet.hand_over(event(stored, form.ids)).await?;
        }
    }
}

/// Subscribes to the log.
pub(super) fn subscribe_log(
    state: Arc<State>,
    outlet: Outlet,
    form: Form,
    start: Option<AllStart>,
    filter: Option<Filter>,
) {
    tokio::spawn(async move {
        let result = follow_log(&state, &outlet, form, start, filter).await;
        outlet.end(result);
    });
}

async fn follow_log(
    state: &Arc<State>,
    outlet: &Outlet,
    form: Form,
    start: Option<AllStart>,
    filter: Option<Filter>,
) -> Result<(), Ended> {
    let mut live = live(state, outlet);
    let end = state.reader.position();
    let mut last = match start {
        // The end of the log can be written as a position that is beyond everything.
        Some(AllStart::Position(position)) => position.commit_position.min(end),
        Some(AllStart::Start(())) | None => 0,
        Some(AllStart::End(())) => end,
    };
    live.confirm().await?;
    let mut has_caught_up = false;
    let mut since_checkpoint = 0;
    loop {
        live.is_stopping()?;
        let events = log_page(state, last + 1, Direction::Forwards, u64::MAX).await?;
        if events.is_empty() {
            if !has_caught_up {
                has_caught_up = true;
                if filter.is_some() && since_checkpoint > 0 {
                    since_checkpoint = 0;
                    checkpoint(outlet, last).await?;
                }
                caught_up(outlet, form, None, Some(Position::at(last))).await?;
            }
            live.moved_beyond(last).await?;
        }
        for stored in events {
            last = stored.position;
            if filter.as_ref().is_none_or(|filter| filter.passes(&stored)) {
                outlet.hand_over(event(stored, form.ids)).await?;
            }
            since_checkpoint += 1;
            if filter.as_ref().is_some_and(|filter| since_checkpoint >= filter.checkpoint_every) {
                since_checkpoint = 0;
                checkpoint(outlet, last).await?;
            }
        }
    }
}

async fn checkpoint(outlet: &Outlet, position: u64) -> Result<(), Ended> {
    let timestamp = Some(seconds());
    let checkpoint = Checkpoint { commit_position: position, prepare_position: position, timestamp };
    outlet.send(ReadContent::Checkpoint(checkpoint)).await
}

async fn caught_up(
    outlet: &Outlet,
    form: Form,
    stream_revision: Option<i64>,
    position: Option<Position>,
) -> Result<(), Ended> {
    if !form.is_modern {
        return Ok(());
    }
    outlet.send(ReadContent::CaughtUp(LiveChange { timestamp: Some(seconds()), stream_revision, position })).await
}

/// The wall clock, as messages write it.
pub(super) fn seconds() -> Seconds {
    let micros = now().as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    Seconds { seconds: micros.div_euclid(1_000_000), nanos }
}
