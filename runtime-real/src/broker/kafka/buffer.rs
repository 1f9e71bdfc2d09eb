//! Messages that a consumer has read and the core has not passed yet.
//!
//! For each partition that is assigned: where the reading stands, and the messages between what the core has taken and
//! there. A fetch takes nothing away; only a later fetch, from further on, tells that messages are done with. So what
//! the core asks for again after a failure is still here. A fetch from elsewhere makes the reader seek (INV-06).

use std::collections::{BTreeMap, VecDeque};

use wallex_core::projector::Message;

/// Messages kept, over all partitions. The reader pauses here.
pub(super) const MESSAGES_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Buffer {
    partitions: BTreeMap<u16, Partition>,
    messages: usize,
    /// Whether the core knows that messages wait.
    hinted: bool,
}

enum Place {
    /// Nobody has asked yet, or the reader has to go elsewhere: it shall read on after this offset.
    Seek(Option<u64>),
    /// Everything after `taken` up to `read` is here.
    Reading { taken: u64, read: u64 },
    /// The topic does not have what was asked for.
    Broken(String),
}

struct Partition {
    place: Place,
    messages: VecDeque<Message>,
}

impl Buffer {
    pub(super) fn assign(&mut self, partitions: &[u16]) {
        for partition in partitions {
            let fresh = Partition { place: Place::Seek(None), messages: VecDeque::new() };
            if let Some(before) = self.partitions.insert(*partition, fresh) {
                self.messages -= before.messages.len();
            }
        }
    }

    pub(super) fn revoke(&mut self, partitions: &[u16]) {
        for partition in partitions {
            if let Some(gone) = self.partitions.remove(partition) {
                self.messages -= gone.messages.len();
            }
        }
    }

    pub(super) fn assigned(&self) -> Vec<u16> {
        self.partitions.keys().copied().collect()
    }

    /// Whether the reader should stop reading for now.
    pub(super) fn is_full(&self) -> bool {
        self.messages >= MESSAGES_MAX
    }

    /// Whether a reader that has stopped should go on.
    pub(super) fn has_room(&self) -> bool {
        self.messages <= MESSAGES_MAX / 2
    }

    /// Keeps a message; says whether the core has to be told.
    pub(super) fn push(&mut self, message: Message) -> bool {
        let Some(partition) = self.partitions.get_mut(&message.partition) else { return false };
        let Place::Reading { read, .. } = &mut partition.place else { return false };
        if message.offset <= *read {
            return false;
        }
        *read = message.offset;
        partition.messages.push_back(message);
        self.messages += 1;
        !std::mem::replace(&mut self.hinted, true)
    }

    /// Where the reader has to go: partition, and the offset after which it shall read.
    pub(super) fn seeks(&self) -> Vec<(u16, u64)> {
        let wanted = |(partition, one): (&u16, &Partition)| match one.place {
            Place::Seek(Some(after)) => Some((*partition, after)),
            Place::Seek(None) | Place::Reading { .. } | Place::Broken(_) => None,
        };
        self.partitions.iter().filter_map(wanted).collect()
    }

    /// The reader reads after this offset now, or says why it cannot.
    pub(super) fn sought(&mut self, partition: u16, after: u64, result: Result<(), String>) {
        let Some(one) = self.partitions.get_mut(&partition) else { return };
        if matches!(one.place, Place::Seek(Some(wanted)) if wanted == after) {
            one.place = match result {
                Ok(()) => Place::Reading { taken: after, read: after },
                Err(reason) => Place::Broken(reason),
            };
        }
    }

    /// The messages after the given offsets that are here, in order within each partition. What is at or before those
    /// offsets is done with.
    ///
    /// # Errors
    /// When the topic does not have what is asked for.
    pub(super) fn fetch(&mut self, after: &[(u16, u64)], limit: usize) -> Result<Vec<Message>, String> {
        self.hinted = false;
        let mut broken = None;
        for (partition, offset) in after {
            if let Some(one) = self.partitions.get_mut(partition) {
                let before = one.messages.len();
                broken = one.pass(*offset).or(broken);
                self.messages -= before - one.messages.len();
            }
        }
        if let Some(reason) = broken {
            return Err(reason);
        }
        // A partition that has much does not hold up the others: each gets its share first.
        let share = (limit / after.len().max(1)).max(1);
        let mut found = Vec::new();
        for (from, most) in [(0, share), (share, limit)] {
            for (partition, _) in after {
                let Some(one) = self.partitions.get(partition) else { continue };
                let room = limit.saturating_sub(found.len()).min(most);
                found.extend(one.messages.iter().skip(from).take(room).cloned());
            }
        }
        Ok(found)
    }
}

impl Partition {
    /// The core has taken everything up to `offset`. Gives the reason when the partition is broken.
    fn pass(&mut self, offset: u64) -> Option<String> {
        match &mut self.place {
            Place::Seek(wanted) => *wanted = Some(offset),
            Place::Reading { taken, read } if *taken <= offset && offset <= *read => {
                *taken = offset;
                let done = self.messages.partition_point(|message| message.offset <= offset);
                self.messages.drain(..done);
            }
            Place::Reading { .. } => {
                self.place = Place::Seek(Some(offset));
                self.messages.clear();
            }
            Place::Broken(reason) => {
                // Looked at again: somebody may have moved the checkpoint, or the topic may have grown.
                let reason = std::mem::take(reason);
                self.place = Place::Seek(Some(offset));
                return Some(reason);
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
