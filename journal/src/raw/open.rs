//! Opening a log: every frame is read and checked, the index is built, and the end made clean (INV-04, INV-14).

use std::ops::ControlFlow;
use std::sync::{Arc, RwLock};

use crate::error::JournalError;
use crate::frame::FrameBuilder;
use crate::raw::index::Index;
use crate::raw::log::Log;
use crate::raw::reader::Reader;
use crate::raw::recent::Recent;
use crate::raw::staged::StagedStreams;
use crate::recovery::{Opened, Options, Torn, clean_end, open_directory, remove_unfinished};
use crate::segment::{Content, segment_name};
use crate::shared::{Cursor, Place, Shared};
use crate::storage::Storage;
use crate::tail::Tail;
use crate::walk::{Stop, walk};
use crate::wire::Malformed;

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Position of the last event.
    pub position: u64,
    /// Streams, metadata streams and closed ones included.
    pub streams: usize,
    /// Segment files.
    pub segments: u32,
    /// The end of a frame that was never acknowledged, and is cut.
    pub torn: Option<Torn>,
}

impl<S: Storage> Log<S> {
    /// Opens the log in a directory, or begins one, and takes the directory's lock.
    ///
    /// # Errors
    /// [`JournalError::Locked`] names who has it, [`JournalError::Damaged`] says where, [`JournalError::OtherLog`] when
    /// the directory is a wallets' journal; also the other kinds.
    pub fn open(storage: S, options: Options) -> Result<(Self, Recovered), JournalError> {
        let Opened { lock, shared, files } = open_directory(storage, options.segment_bytes, Content::Opaque)?;
        let mut index = Index::new(options.hash_seed);
        let mut recovered = Recovered { segments: shared.segment_count(), ..Recovered::default() };
        let (file, cursor) = match recovered.segments {
            0 => (None, Cursor::START),
            _ => {
                let stop = replay(&shared, &mut index)?;
                let (file, torn) = clean_end(&shared, &stop)?;
                recovered.torn = torn;
                (Some(file), stop.cursor)
            }
        };
        remove_unfinished(&shared.storage, &files)?;
        shared.publish(cursor.place, cursor.chain.position);
        (recovered.position, recovered.streams) = (shared.position(), index.streams());
        let index = Arc::new(RwLock::new(index));
        let reader = Reader::new(shared.clone(), index.clone());
        let tail = Tail::new(shared.clone(), file, cursor);
        let recent = Recent::new(options.hash_seed);
        let (frame, offsets, staged) = (FrameBuilder::new(), Vec::new(), StagedStreams::default());
        Ok((Self { shared, lock, tail, index, reader, frame, offsets, staged, recent }, recovered))
    }
}

fn replay<S: Storage>(shared: &Shared<S>, index: &mut Index) -> Result<Stop, JournalError> {
    walk(shared, Cursor::START, None, |cursor, frame| {
        let Place { number, offset } = cursor.place;
        for block in frame.blocks() {
            block
                .and_then(|(at, block)| {
                    let place = Place { number, offset: offset + at };
                    index.fold(&block, place, frame.header.time.as_micros())
                })
                .map_err(|Malformed(reason)| JournalError::damaged(segment_name(number), u64::from(offset), reason))?;
        }
        Ok(ControlFlow::Continue(()))
    })
}
