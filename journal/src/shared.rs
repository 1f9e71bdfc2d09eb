//! What the writer, the readers and the maintenance share: the list of segments and the end of what is durable.
//!
//! The end is one atomic number. The writer moves it after a sync, so nobody ever sees a frame that could still be lost
//! (INV-04). Open files of segments are kept in a bounded cache: a journal may have more segments than a process may
//! have files open.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use crate::error::{Damage, During, JournalError};
use crate::frame::{FRAME_HEADER_BYTES, Header};
use crate::index::SegmentIndex;
use crate::recent::Recent;
use crate::segment::{Chain, Content, SEGMENT_HEADER_BYTES, segment_name};
use crate::storage::{Access, Storage};
use crate::window::Window;

/// Most segment files that readers keep open.
const OPEN_FILES_MAX: usize = 128;
/// Most places that are remembered for readers.
const MARKS_MAX: usize = 16_384;

/// A byte of the journal: segment and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) number: u32,
    pub(crate) offset: u32,
}

impl Place {
    pub(crate) const START: Self = Self { number: 1, offset: SEGMENT_HEADER_BYTES as u32 };

    fn packed(self) -> u64 {
        u64::from(self.number) << 32 | u64::from(self.offset)
    }

    fn unpacked(packed: u64) -> Self {
        Self { number: (packed >> 32) as u32, offset: packed as u32 }
    }
}

/// A place between two frames, and the state of the chain there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) place: Place,
    pub(crate) chain: Chain,
}

impl Cursor {
    /// Before the first frame of the journal.
    pub(crate) const START: Self = Self { place: Place::START, chain: Chain::START };

    /// Behind the frame with this header, which begins here.
    pub(crate) fn after(mut self, header: &Header) -> Self {
        self.place.offset += header.length;
        self.chain = Chain { sequence: header.sequence + 1, position: header.next_position(), previous: header.check };
        self
    }
}

/// A segment as readers know it.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) number: u32,
    pub(crate) start: Chain,
    pub(crate) index: Mutex<SegmentIndex<F>>,
}

/// A file of durable zeros under a temporary name.
#[derive(Debug)]
pub(crate) struct Prepared<F> {
    pub(crate) file: F,
    pub(crate) name: String,
}

/// The common part of all handles on one journal.
#[derive(Debug)]
pub(crate) struct Shared<S: Storage> {
    pub(crate) storage: S,
    pub(crate) segment_bytes: u64,
    pub(crate) content: Content,
    segments: RwLock<Vec<Arc<Segment<S::File>>>>,
    end: AtomicU64,
    position: AtomicU64,
    /// The position up to which the newest snapshot reaches.
    pub(crate) snapshot_position: AtomicU64,
    files: Mutex<BTreeMap<u32, Arc<S::File>>>,
    /// Known places between frames, by the position of the next event.
    marks: Mutex<BTreeMap<u64, Cursor>>,
    /// The first damage that a read met.
    damage: OnceLock<Damage>,
    /// The newest events of wallets, for who follows the log.
    pub(crate) recent: Recent,
    /// A file of zeros that waits to become the next segment.
    pub(crate) prepared: Mutex<Option<Prepared<S::File>>>,
    /// How many files were prepared: each gets a name of its own, because one may still be on its way to its segment.
    pub(crate) preparations: AtomicU64,
    /// One preparation, one index build and one snapshot at a time.
    pub(crate) preparing: Mutex<()>,
    pub(crate) indexing: Mutex<()>,
    pub(crate) snapshotting: Mutex<()>,
}

/// Locks a mutex; a thread that panicked while holding it has left nothing half done that matters here.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Storage> Shared<S> {
    pub(crate) fn new(storage: S, segment_bytes: u64, content: Content) -> Self {
        Self {
            storage,
            segment_bytes,
            content,
            segments: RwLock::default(),
            end: AtomicU64::new(Place::START.packed()),
            position: AtomicU64::new(0),
            snapshot_position: AtomicU64::new(0),
            files: Mutex::default(),
            marks: Mutex::default(),
            damage: OnceLock::new(),
            recent: Recent::default(),
            prepared: Mutex::default(),
            preparations: AtomicU64::new(0),
            preparing: Mutex::default(),
            indexing: Mutex::default(),
            snapshotting: Mutex::default(),
        }
    }

    /// Where durable frames end.
    pub(crate) fn end(&self) -> Place {
        Place::unpacked(self.end.load(Ordering::Acquire))
    }

    /// The last durable event.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// The first damage that a read met.
    pub(crate) fn damage(&self) -> Option<&Damage> {
        self.damage.get()
    }

    /// Damage at a place, which is remembered: bytes do not heal.
    pub(crate) fn damaged(&self, place: Place, reason: &str) -> JournalError {
        let damage =
            Damage { segment: segment_name(place.number), offset: u64::from(place.offset), reason: reason.to_owned() };
        let _first = self.damage.set(damage.clone());
        JournalError::Damaged(damage)
    }

    /// Damage in the append at a place, named as a walk over the frames would name it: by the frame around the append.
    /// Where the header of a frame on the way cannot be read, that is the damage.
    pub(crate) fn damaged_append(&self, place: Place, reason: &str) -> JournalError {
        let frame = self.frame_around(place).unwrap_or(place);
        self.damaged(frame, reason)
    }

    fn frame_around(&self, place: Place) -> Option<Place> {
        let file = self.file(place.number).ok()?;
        let mut window = Window::new(&*file, u64::from(place.offset));
        let mut frame = Place { offset: SEGMENT_HEADER_BYTES as u32, ..place };
        loop {
            let header = window.at(u64::from(frame.offset), FRAME_HEADER_BYTES).ok()?;
            let Ok(header) = Header::parse(header) else { return Some(frame) };
            let next = frame.offset.checked_add(header.length)?;
            if next > place.offset {
                return Some(frame);
            }
            frame.offset = next;
        }
    }

    /// Shows what is durable now. The end first: whoever knows a position can also read up to it.
    pub(crate) fn publish(&self, end: Place, next_position: u64) {
        self.end.store(end.packed(), Ordering::Release);
        self.position.store(next_position - 1, Ordering::Release);
    }

    pub(crate) fn add_segment(&self, number: u32, start: Chain) {
        let segment = Segment { number, start, index: Mutex::default() };
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(segment));
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment<S::File>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn segment(&self, number: u32) -> Option<Arc<Segment<S::File>>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get((number as usize).checked_sub(1)?).cloned()
    }

    pub(crate) fn segment_count(&self) -> u32 {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).len() as u32
    }

    /// A segment's file, for reading.
    pub(crate) fn file(&self, number: u32) -> Result<Arc<S::File>, JournalError> {
        let mut files = locked(&self.files);
        if let Some(file) = files.get(&number) {
            return Ok(file.clone());
        }
        let name = segment_name(number);
        let file = Arc::new(self.storage.open(&name, Access::Read).during("open", &name)?);
        if files.len() >= OPEN_FILES_MAX {
            files.pop_first();
        }
        files.insert(number, file.clone());
        Ok(file)
    }

    /// Remembers a place for readers that come back.
    pub(crate) fn mark(&self, cursor: Cursor) {
        let mut marks = locked(&self.marks);
        if marks.len() >= MARKS_MAX {
            let mut odd = false;
            marks.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        marks.insert(cursor.chain.position, cursor);
    }

    /// The known place that is nearest before the event with this position.
    pub(crate) fn nearest(&self, position: u64) -> Cursor {
        let marked = locked(&self.marks).range(..=position).next_back().map(|(_, cursor)| *cursor);
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.start.position <= position);
        let segment = after.checked_sub(1).and_then(|index| segments.get(index));
        let start = segment.map_or(Cursor::START, |segment| Cursor {
            place: Place { number: segment.number, offset: SEGMENT_HEADER_BYTES as u32 },
            chain: segment.start,
        });
        match marked {
            Some(marked) if marked.place > start.place => marked,
            Some(_) | None => start,
        }
    }
}
