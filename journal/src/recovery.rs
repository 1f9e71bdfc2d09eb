//! Opening a journal: the newest good snapshot, the frames after it, and a clean end to write on (INV-04, INV-14).
//!
//! What comes back is exactly what was acknowledged, plus at most whole appends that were written and not acknowledged
//! before the crash. A torn end is cut and reported. Damage anywhere else is an error, and nothing is changed on the disk.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wallex_core::event::Event;
use wallex_core::id::{Position, WalletId};
use wallex_core::mutant::{self, Mutant};

use crate::block::{Block, WALLET_STREAM, Write};
use crate::error::{Damage, During, JournalError};
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, Invalid};
use crate::heads::Heads;
use crate::keys::{KeyEntry, Keys};
use crate::segment::{Content, UNFINISHED, read_header, segment_name, segment_numbers, write_zeros};
use crate::shared::{Cursor, Place, Shared};
use crate::snapshot::{SnapshotReader, snapshot_names};
use crate::stage::Stage;
use crate::storage::{Access, File, LockError, Storage, read_full};
use crate::tail::Tail;
use crate::torn::{Ending, ending};
use crate::walk::{Stop, walk};
use crate::window::Window;
use crate::wire::Malformed;
use crate::writer::Journal;

/// How a journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size at which a segment is full, in bytes: 4 KiB to 1 GiB. May differ from one start to the next.
    pub segment_bytes: u64,
    /// Seed of the hash tables in memory. Wallet ids are chosen by clients, so a service draws it at random.
    pub hash_seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, hash_seed: 0x5741_4c4c_4558 }
    }
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last event.
    pub position: Position,
    /// Wallets in memory.
    pub wallets: usize,
    /// Idempotency keys in memory, expired ones included.
    pub keys: usize,
    /// Segment files.
    pub segments: u32,
    /// The position that the snapshot reached; none was used when there is nothing here.
    pub snapshot: Option<Position>,
    /// Snapshots that could not be used, with the reason.
    pub damaged_snapshots: Vec<Damage>,
    /// Frames read after the snapshot.
    pub frames_read: u64,
    /// Events read after the snapshot.
    pub events_read: u64,
    /// The end of a frame that was never acknowledged, and is cut.
    pub torn: Option<Torn>,
}

/// A torn end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub segment: String,
    /// Where the frame began.
    pub offset: u64,
    /// How many bytes of it there were.
    pub bytes: u64,
}

impl<S: Storage> Journal<S> {
    /// Opens the journal in a directory, or begins one, and takes the directory's lock.
    ///
    /// # Errors
    /// [`JournalError::Locked`] names who has it, [`JournalError::Damaged`] says where; also the other kinds.
    pub fn open(storage: S, options: Options) -> Result<(Self, Recovery), JournalError> {
        let Opened { lock, shared, files } = open_directory(storage, options.segment_bytes, Content::Wallets)?;
        let mut recovery = Recovery { segments: shared.segment_count(), ..Recovery::default() };
        let mut state = State::new(&options);
        let from = state.restore(&shared, &files, &options, &mut recovery)?;
        let (file, cursor) = match recovery.segments {
            0 => (None, Cursor::START),
            _ => state.replay(&shared, from, &mut recovery)?,
        };
        remove_unfinished(&shared.storage, &files)?;
        shared.publish(cursor.place, cursor.chain.position);
        recovery.position = Position(shared.position());
        (recovery.wallets, recovery.keys) = (state.heads.len(), state.keys.len());
        let tail = Tail::new(shared.clone(), file, cursor);
        let State { heads, keys } = state;
        Ok((Self { shared, lock, tail, heads, keys, stage: Stage::new() }, recovery))
    }
}

/// A directory whose lock is held and whose segments are known.
#[derive(Debug)]
pub(crate) struct Opened<S: Storage> {
    pub(crate) lock: S::Lock,
    pub(crate) shared: Arc<Shared<S>>,
    pub(crate) files: Vec<String>,
}

/// Takes the lock and reads the headers of all segments.
pub(crate) fn open_directory<S: Storage>(
    storage: S,
    segment_bytes: u64,
    content: Content,
) -> Result<Opened<S>, JournalError> {
    if !(4 << 10..=1 << 30).contains(&segment_bytes) {
        return Err(JournalError::SegmentSize(segment_bytes));
    }
    let lock = storage.lock().map_err(|error| match error {
        LockError::Held(holder) => JournalError::Locked(holder),
        LockError::Io(source) => JournalError::Io { action: "lock", file: "the directory".to_owned(), source },
    })?;
    let files = storage.list().during("list", "the directory")?;
    let shared = Arc::new(Shared::new(storage, segment_bytes, content));
    for number in segment_numbers(&files)? {
        let file = shared.file(number)?;
        shared.add_segment(number, read_header(&*file, number, content)?.chain);
    }
    Ok(Opened { lock, shared, files })
}

/// Removes what a crash left half made.
pub(crate) fn remove_unfinished<S: Storage>(storage: &S, files: &[String]) -> Result<(), JournalError> {
    for unfinished in files.iter().filter(|name| name.ends_with(UNFINISHED)) {
        storage.remove(unfinished).during("remove", unfinished)?;
    }
    Ok(())
}

/// What a start builds up in memory.
#[derive(Debug)]
struct State {
    heads: Heads,
    keys: Keys,
}

impl State {
    fn new(options: &Options) -> Self {
        Self { heads: Heads::new(options.hash_seed), keys: Keys::new(options.hash_seed) }
    }

    /// Loads the newest snapshot that is good, and returns where it ends.
    fn restore<S: Storage>(
        &mut self,
        shared: &Shared<S>,
        files: &[String],
        options: &Options,
        recovery: &mut Recovery,
    ) -> Result<Cursor, JournalError> {
        for name in snapshot_names(files) {
            match self.load(shared, &name) {
                Ok(cursor) => {
                    let position = cursor.chain.position - 1;
                    shared.snapshot_position.store(position, Ordering::Release);
                    recovery.snapshot = Some(Position(position));
                    return Ok(cursor);
                }
                Err(JournalError::Damaged(damage)) if damage.segment == name => {
                    recovery.damaged_snapshots.push(damage);
                    *self = Self::new(options);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Cursor::START)
    }

    fn load<S: Storage>(&mut self, shared: &Shared<S>, name: &str) -> Result<Cursor, JournalError> {
        let file = shared.storage.open(name, Access::Read).during("open", name)?;
        let mut snapshot = SnapshotReader::open(file, name)?;
        reaches(shared, &snapshot)?;
        self.heads.reserve(usize::try_from(snapshot.header.wallets).unwrap_or(0));
        self.keys.reserve(usize::try_from(snapshot.header.keys).unwrap_or(0));
        while let Some(wallet) = snapshot.next_wallet()? {
            self.heads.restore(wallet);
        }
        while let Some((key, entry)) = snapshot.next_key()? {
            self.keys.restore(key, entry);
        }
        Ok(snapshot.header.cursor)
    }

    /// Folds all frames from a place on, and makes the end of the last segment clean.
    fn replay<S: Storage>(
        &mut self,
        shared: &Shared<S>,
        from: Cursor,
        recovery: &mut Recovery,
    ) -> Result<(Option<S::File>, Cursor), JournalError> {
        let stop = walk(shared, from, None, |cursor, frame| {
            self.fold(cursor.place, frame)?;
            recovery.events_read += u64::from(frame.header.events);
            Ok(ControlFlow::Continue(()))
        })?;
        recovery.frames_read = stop.frames;
        let (file, torn) = clean_end(shared, &stop)?;
        let mut cursor = stop.cursor;
        if let Some(torn) = torn.as_ref().filter(|_| mutant::on(Mutant::TornTailTrusted)) {
            cursor.place.offset += torn.bytes as u32;
        }
        recovery.torn = torn;
        Ok((Some(file), cursor))
    }

    fn fold(&mut self, place: Place, frame: &Frame<'_>) -> Result<(), JournalError> {
        let malformed =
            |Malformed(reason)| JournalError::damaged(segment_name(place.number), u64::from(place.offset), reason);
        for block in frame.blocks() {
            let (offset, block) = block.map_err(malformed)?;
            for write in block.writes() {
                let write = write.map_err(malformed)?;
                if write.stream.starts_with(WALLET_STREAM) {
                    let position = block.first_position + u64::from(write.events_before);
                    self.fold_write(&write, position, &malformed)?;
                }
            }
            let block_place = Place { number: place.number, offset: place.offset + offset };
            self.fold_records(&block, block_place).map_err(malformed)?;
        }
        self.heads.keep();
        Ok(())
    }

    fn fold_write(
        &mut self,
        write: &Write<'_>,
        first: u64,
        malformed: &impl Fn(Malformed) -> JournalError,
    ) -> Result<(), JournalError> {
        let name = write.stream.strip_prefix(WALLET_STREAM).and_then(|id| WalletId::parse(id).ok());
        let wallet = name.ok_or_else(|| malformed(Malformed("a wallet's stream has a name that is no wallet's")))?;
        let mut events: Vec<Event> = Vec::with_capacity(write.count as usize);
        for (position, event) in (first..).map(Position).zip(write.events()) {
            let event = event.map_err(malformed)?.decode();
            events.push(event.map_err(|source| JournalError::Unreadable { position, source })?);
        }
        if events.iter().any(|event| event.wallet_id != wallet) {
            return Err(malformed(Malformed("a wallet's stream holds an event of another wallet")));
        }
        self.heads
            .fold(self.heads.index_of(&wallet), &events)
            .map(|_| ())
            .map_err(|source| JournalError::Inconsistent { position: Position(first), source })
    }

    fn fold_records(&mut self, block: &Block<'_>, place: Place) -> Result<(), Malformed> {
        if mutant::on(Mutant::KeysForgotten) {
            return Ok(());
        }
        for record in block.records()? {
            let record = record?;
            let (fingerprint, expires_at) = (record.fingerprint, record.expires_at);
            self.keys.restore(record.key, KeyEntry { fingerprint, expires_at, block: place, record: record.offset });
        }
        Ok(())
    }
}

/// A snapshot is made of durable frames: a journal that does not have the last of them has lost something.
fn reaches<S: Storage>(shared: &Shared<S>, snapshot: &SnapshotReader<S::File>) -> Result<(), JournalError> {
    let (cursor, last) = (snapshot.header.cursor, snapshot.header.last_frame);
    let name = segment_name(last.number);
    let lost = |reason: &str| JournalError::damaged(name.clone(), u64::from(last.offset), reason);
    if shared.segment_count() < cursor.place.number.max(last.number) {
        return Err(lost("the segment is missing, and a snapshot says that it was there"));
    }
    let file = shared.file(last.number)?;
    let mut window = Window::new(&*file, u64::from(last.offset) + FRAME_HEADER_BYTES as u64);
    match window.header(u64::from(last.offset)).during("read", &name)? {
        Ok(header) if cursor.chain == Cursor::START.after(&header).chain => Ok(()),
        Ok(_) => Err(lost("a snapshot says that another frame was here")),
        Err(invalid) => Err(lost(invalid.reason())),
    }
}

/// Cuts a torn end; damage is an error. Returns the last segment, open for writing.
pub(crate) fn clean_end<S: Storage>(shared: &Shared<S>, stop: &Stop) -> Result<(S::File, Option<Torn>), JournalError> {
    let Cursor { place, chain } = stop.cursor;
    let name = segment_name(place.number);
    let offset = u64::from(place.offset);
    let file = shared.storage.open(&name, Access::Write).during("open", &name)?;
    let length = file.length().during("measure", &name)?;
    let invalid = stop.invalid.unwrap_or(Invalid::Blank);
    match ending(&file, (offset, length), chain, invalid).during("read", &name)? {
        Ending::Torn { bytes } if mutant::on(Mutant::TornTailTrusted) => {
            Ok((file, Some(Torn { segment: name, offset, bytes })))
        }
        Ending::Clean => {
            make_durable(&file, offset, length).during("write", &name)?;
            Ok((file, None))
        }
        Ending::Torn { bytes } => {
            make_durable(&file, offset, length).during("cut", &name)?;
            Ok((file, Some(Torn { segment: name, offset, bytes })))
        }
        Ending::Damaged(reason) => Err(JournalError::damaged(name, offset, reason)),
    }
}

/// Writes the end of a segment once more, as much as a frame can have, and zeros over all that follows, and syncs both.
/// After a sync that failed in an earlier life the system may hold bytes in memory alone and count them as clean: a frame
/// would be read as if it were on the disk, and a frame that was taken back would still be there, under the next one to be
/// written. No later sync would mend that. Bytes of frames are written over with the same bytes.
fn make_durable(file: &impl File, end: u64, length: u64) -> std::io::Result<()> {
    let start = end.saturating_sub(FRAME_BYTES_MAX as u64);
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or_default()];
    let read = read_full(file, &mut bytes, start)?;
    file.write_at(&bytes[..read], start)?;
    write_zeros(file, end, length)?;
    file.sync_data()
}
