//! Memory of the open append buffers: slots of a few sizes in large pages, without a heap
//! allocation per series.
//!
//! A slot of capacity `n` is `n` words of value bits followed by `n / 2` words that hold two
//! sample keys (32 bits) each. Invariant: a handle is used by one series at a time; pages never
//! move or shrink, the whole arena is dropped with its partition.

/// Capacities of the size classes, in samples; all even.
const CAPACITIES: [usize; 6] = [4, 8, 16, 32, 64, 120];
/// Slots in a page of each class: about 200 KiB.
const SLOTS_PER_PAGE: [usize; 6] = [4096, 2048, 1024, 512, 256, 128];

/// Number of size classes.
pub(crate) const CLASSES: usize = CAPACITIES.len();
/// The largest capacity: a buffer that reaches it is sealed.
pub(crate) const CAPACITY_MAX: usize = CAPACITIES[CLASSES - 1];

/// Samples that a slot of `class` holds.
pub(crate) fn capacity(class: u8) -> usize {
    CAPACITIES[usize::from(class)]
}

#[derive(Debug, Default)]
struct Class {
    pages: Vec<Vec<u64>>,
    used: u32,
    free: Vec<u32>,
}

/// All open buffers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    classes: [Class; CLASSES],
    bytes: u64,
}

fn words(class: usize) -> usize {
    CAPACITIES[class] + CAPACITIES[class] / 2
}

impl Arena {
    /// A slot of `class`; its content is whatever was there before.
    pub(crate) fn allocate(&mut self, class: u8) -> u32 {
        let class = usize::from(class);
        let (words, per_page) = (words(class), SLOTS_PER_PAGE[class]);
        let state = &mut self.classes[class];
        if let Some(handle) = state.free.pop() {
            return handle;
        }
        let handle = state.used;
        state.used += 1;
        let page = handle as usize / per_page;
        if page == state.pages.len() {
            state.pages.push(Vec::new());
        }
        let page = &mut state.pages[page];
        let before = page.capacity();
        if page.len() + words > before {
            // Doubling keeps the partitions of a back-fill small; a full page has no slack.
            let grown = (page.len() * 2).clamp(words * 4, words * per_page);
            page.reserve_exact(grown - page.len());
        }
        page.resize(page.len() + words, 0);
        self.bytes += ((page.capacity() - before) * 8) as u64;
        handle
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, class: u8, handle: u32) {
        self.classes[usize::from(class)].free.push(handle);
    }

    /// Bytes of all pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A view of a slot.
    #[inline]
    pub(crate) fn slot(&self, class: u8, handle: u32) -> Slot<'_> {
        let class = usize::from(class);
        let (words, per_page) = (words(class), SLOTS_PER_PAGE[class]);
        let start = handle as usize % per_page * words;
        let page = &self.classes[class].pages[handle as usize / per_page];
        Slot { words: &page[start..start + words], capacity: CAPACITIES[class] }
    }

    /// Stores a sample in a slot.
    #[inline]
    pub(crate) fn set(&mut self, class: u8, handle: u32, index: usize, key: u32, bits: u64) {
        let class = usize::from(class);
        let (words, per_page) = (words(class), SLOTS_PER_PAGE[class]);
        let start = handle as usize % per_page * words;
        let page = &mut self.classes[class].pages[handle as usize / per_page];
        let slot = &mut page[start..start + words];
        slot[index] = bits;
        let word = &mut slot[CAPACITIES[class] + index / 2];
        let shift = (index % 2) * 32;
        *word = (*word & !(0xffff_ffff << shift)) | (u64::from(key) << shift);
    }

    /// Copies the first `count` samples of a slot to a new one of `class`, releases the old one.
    pub(crate) fn grow(&mut self, from: u8, handle: u32, count: usize, class: u8) -> u32 {
        let grown = self.allocate(class);
        for index in 0..count {
            let (key, bits) = self.slot(from, handle).get(index);
            self.set(class, grown, index, key, bits);
        }
        self.release(from, handle);
        grown
    }
}

/// The samples of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'a> {
    words: &'a [u64],
    capacity: usize,
}

impl Slot<'_> {
    /// Key and value bits of a sample.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> (u32, u64) {
        let key = self.words[self.capacity + index / 2] >> ((index % 2) * 32);
        (key as u32, self.words[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_grow_and_are_used_again() {
        let mut arena = Arena::default();
        let mut handles: Vec<u32> = (0..10_000).map(|_| arena.allocate(0)).collect();
        for (number, handle) in handles.iter().enumerate() {
            for index in 0..4 {
                arena.set(0, *handle, index, (number * 4 + index) as u32, number as u64);
            }
        }
        handles[77] = arena.grow(0, handles[77], 4, 5);
        for (number, handle) in handles.iter().enumerate() {
            let class = if number == 77 { 5 } else { 0 };
            for index in 0..4 {
                let want = ((number * 4 + index) as u32, number as u64);
                assert_eq!(arena.slot(class, *handle).get(index), want);
            }
        }
        let (bytes, reused) = (arena.bytes(), arena.allocate(0));
        assert_eq!(arena.bytes(), bytes);
        assert!(!handles.iter().enumerate().any(|(n, h)| n != 77 && *h == reused));
    }
}
