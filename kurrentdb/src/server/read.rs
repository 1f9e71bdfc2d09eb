//! Version 1: `Read`, for reads that end. Subscriptions are in [`super::subscribe`].
//!
//! Starts are inclusive, but for the log backwards: there the event at the start is left out, as in KurrentDB.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use wallex_journal::raw::{Direction, StreamPage};

use super::answers::deleted;
use super::events::{IdForm, event, stream_name};
use super::filter::Filter;
use super::paging::{Ended, Messages, Outlet, log_page, stream_page};
use super::route::State;
use super::subscribe::{subscribe_log, subscribe_stream};
use crate::protocol::read::{
    AllSource, AllStart, Amount, Direction as WireDirection, ReadContent, ReadOptions, ReadReq, Source, StreamNotFound,
    StreamSource, StreamStart, UuidContent,
};
use crate::protocol::shared::StreamIdentifier;

/// How the client wants its events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) ids: IdForm,
    /// Whether it understands more than events, confirmations and checkpoints.
    pub(super) is_modern: bool,
}

/// Reads a stream or the log, or subscribes to one.
pub(super) async fn read(state: Arc<State>, request: Request<ReadReq>) -> Result<Response<Messages>, Status> {
    let options = request.into_inner().options.ok_or_else(|| Status::invalid_argument("the options are missing"))?;
    let form = form(&options);
    let direction = match WireDirection::try_from(options.direction) {
        Ok(WireDirection::Forwards) => Direction::Forwards,
        Ok(WireDirection::Backwards) => Direction::Backwards,
        Err(_) => return Err(Status::invalid_argument("the direction is unknown")),
    };
    let filter = Filter::read(options.filtering)?;
    let (outlet, messages) = Outlet::new(state.options.stall_timeout)?;
    match (options.source, options.amount) {
        (_, None) => return Err(Status::invalid_argument("neither a count nor a subscription is asked for")),
        (None, Some(_)) => return Err(Status::invalid_argument("neither a stream nor the log is asked for")),
        (Some(_), Some(Amount::Subscription(()))) if direction == Direction::Backwards => {
            return Err(Status::invalid_argument("there are no subscriptions backwards"));
        }
        (Some(Source::Stream(source)), Some(amount)) => {
            let stream = stream_name(source.stream.as_ref())?;
            match amount {
                Amount::Count(count) => {
                    let read = StreamRead { from: revision(&source, direction), stream, direction, count };
                    tokio::spawn(async move {
                        let result = read.run(&state, &outlet, form).await;
                        outlet.end(result);
                    });
                }
                Amount::Subscription(()) => subscribe_stream(state, outlet, form, stream, source.start),
            }
        }
        (Some(Source::All(source)), Some(amount)) => match amount {
            Amount::Count(count) => {
                let read = LogRead { from: position(&source, direction), direction, count, filter };
                tokio::spawn(async move {
                    let result = read.run(&state, &outlet, form).await;
                    outlet.end(result);
                });
            }
            Amount::Subscription(()) => subscribe_log(state, outlet, form, source.start, filter),
        },
    }
    Ok(Response::new(messages))
}

fn form(options: &ReadOptions) -> Form {
    let ids = match options.uuid.and_then(|option| option.content) {
        Some(UuidContent::Structured(())) => IdForm::Structured,
        Some(UuidContent::Text(())) | None => IdForm::Text,
    };
    Form { ids, is_modern: options.control.is_some_and(|control| control.compatibility >= 1) }
}

fn revision(source: &StreamSource, direction: Direction) -> u64 {
    match (source.start, direction) {
        (Some(StreamStart::Revision(revision)), _) => revision,
        (Some(StreamStart::Start(())) | None, _) => 0,
        (Some(StreamStart::End(())), _) => u64::MAX,
    }
}

fn position(source: &AllSource, direction: Direction) -> u64 {
    match (source.start, direction) {
        (Some(AllStart::Position(position)), _) => position.commit_position,
        (Some(AllStart::Start(())) | None, _) => 0,
        (Some(AllStart::End(())), _) => u64::MAX,
    }
}

struct StreamRead {
    stream: String,
    from: u64,
    direction: Direction,
    count: u64,
}

impl StreamRead {
    async fn run(mut self, state: &Arc<State>, outlet: &Outlet, form: Form) -> Result<(), Ended> {
        while self.count > 0 {
            let page = stream_page(state, &self.stream, self.from, self.direction, self.count).await?;
            let events = match page {
                StreamPage::NotFound => {
                    let stream = Some(StreamIdentifier::new(self.stream));
                    return outlet.send(ReadContent::StreamNotFound(StreamNotFound { stream })).await;
                }
                StreamPage::Tombstoned => return Err(deleted(&self.stream).into()),
                StreamPage::Events(events) => events,
            };
            let Some(last) = events.last().map(|event| event.revision) else { break };
            self.count -= events.len() as u64;
            for stored in events {
                outlet.hand_over(event(stored, form.ids)).await?;
            }
            let next = match self.direction {
                Direction::Forwards => last.checked_add(1),
                Direction::Backwards => last.checked_sub(1),
            };
            let Some(next) = next else { break };
            self.from = next;
        }
        match (form.is_modern, self.direction, state.reader.state(&self.stream).last()) {
            (true, Direction::Forwards, Some(last)) => outlet.send(ReadContent::LastStreamPosition(last)).await,
            (_, Direction::Forwards | Direction::Backwards, _) => Ok(()),
        }
    }
}

struct LogRead {
    from: u64,
    direction: Direction,
    count: u64,
    filter: Option<Filter>,
}

impl LogRead {
    async fn run(mut self, state: &Arc<State>, outlet: &Outlet, form: Form) -> Result<(), Ended> {
        while self.count > 0 {
            // Of a filtered read nobody knows how many events have to be looked at.
            let wanted = if self.filter.is_some() { u64::MAX } else { self.count };
            let events = log_page(state, self.from, self.direction, wanted).await?;
            let Some(last) = events.last().map(|event| event.position) else { break };
            for stored in events {
                let passes = self.filter.as_ref().is_none_or(|filter| filter.passes(&stored));
                if passes && self.count > 0 {
                    self.count -= 1;
                    outlet.hand_over(event(stored, form.ids)).await?;
                }
            }
            self.from = match self.direction {
                Direction::Forwards => last + 1,
                Direction::Backwards => last,
            };
        }
        Ok(())
    }
}
