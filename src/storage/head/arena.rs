//! Memory of the open append buffers, without a heap allocation per series.
//!
//! A buffer is a chain of blocks, one of each class in turn, from the smallest on: what was written
//! stays where it is while the buffer grows, so that a buffer takes at most twice what it holds and no
//! sample is ever copied. (One slot that is traded for a larger one leaves the smaller ones behind unused:
//! as much memory again, since all series of a window grow together.)
//!
//! A block for `n` samples is `n` words of value bits, then `n / 2` words that hold two sample keys (32
//! bits) each, then, but for the first class, a word with the handle of the block before it. Blocks lie
//! in large pages. Invariant: a block belongs to one buffer at a time; pages never move or shrink, the
//! whole arena is dropped with its partition.

/// Samples in a block of each class; all even.
const CAPACITIES: [usize; CLASSES] = [4, 4, 8, 16, 32, 56];
/// Number of classes.
pub(crate) const CLASSES: usize = 6;
/// Index of the first sample in a block of each class: what the classes before it hold.
const FIRST: [usize; CLASSES] = [0, 4, 8, 16, 32, 64];
/// Samples of a buffer with a block of every class: when it reaches this it is sealed.
pub(crate) const CAPACITY_MAX: usize = FIRST[CLASSES - 1] + CAPACITIES[CLASSES - 1];
/// Blocks in a page of each class, as powers of two: about 200 KiB.
const PER_PAGE_BITS: [u32; CLASSES] = [12, 12, 11, 10, 9, 8];

/// Words that a prefetch brings near.
const PREFETCHED_WORDS: usize = 16;

/// No block.
const NONE: u32 = u32::MAX;

/// Samples that a buffer holds whose newest block is of `class`.
pub(crate) fn capacity(class: u8) -> usize {
    end_of(usize::from(class))
}

/// Index behind the last sample in a block of `class`.
fn end_of(class: usize) -> usize {
    FIRST[class] + CAPACITIES[class]
}

/// Words in front of the link, and with it.
fn words(class: usize) -> (usize, usize) {
    let samples = CAPACITIES[class] + CAPACITIES[class] / 2;
    (samples, samples + usize::from(class > 0))
}

#[derive(Debug)]
struct Class {
    pages: Vec<Vec<u64>>,
    used: u32,
    /// The first free block; the first word of each holds the next one.
    free: u32,
}

/// All open buffers of one partition.
#[derive(Debug)]
pub(crate) struct Arena {
    classes: [Class; CLASSES],
    bytes: u64,
}

impl Default for Arena {
    fn default() -> Self {
        let classes = std::array::from_fn(|_| Class { pages: Vec::new(), used: 0, free: NONE });
        Self { classes, bytes: 0 }
    }
}

impl Arena {
    /// A buffer without samples, whose only block is of class 0.
    pub(crate) fn allocate(&mut self) -> u32 {
        self.block(0)
    }

    /// Adds a block of the class behind `class` to the buffer whose newest block is `handle`; returns it.
    pub(crate) fn grow(&mut self, class: u8, handle: u32) -> u32 {
        let class = usize::from(class) + 1;
        let grown = self.block(class);
        self.words_mut(class, grown)[words(class).0] = u64::from(handle);
        grown
    }

    /// A block whose content is whatever was there before.
    fn block(&mut self, class: usize) -> u32 {
        let free = self.classes[class].free;
        if free != NONE {
            let next = self.words(class, free)[0] as u32;
            self.classes[class].free = next;
            return free;
        }
        let (words, per_page) = (words(class).1, 1 << PER_PAGE_BITS[class]);
        let state = &mut self.classes[class];
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

    /// Gives the blocks of a buffer back.
    pub(crate) fn release(&mut self, class: u8, mut handle: u32) {
        for class in (0..=usize::from(class)).rev() {
            let next = self.classes[class].free;
            let block = self.words_mut(class, handle);
            let before = if class > 0 { block[words(class).0] as u32 } else { NONE };
            block[0] = u64::from(next);
            self.classes[class].free = handle;
            handle = before;
        }
    }

    /// Bytes of all pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    #[inline]
    fn words(&self, class: usize, handle: u32) -> &[u64] {
        let (words, bits) = (words(class).1, PER_PAGE_BITS[class]);
        let start = (handle as usize & ((1 << bits) - 1)) * words;
        &self.classes[class].pages[handle as usize >> bits][start..start + words]
    }

    #[inline]
    fn words_mut(&mut self, class: usize, handle: u32) -> &mut [u64] {
        let (words, bits) = (words(class).1, PER_PAGE_BITS[class]);
        let start = (handle as usize & ((1 << bits) - 1)) * words;
        &mut self.classes[class].pages[handle as usize >> bits][start..start + words]
    }

    /// Key and value bits of the sample at `index`, which lies in the buffer's newest block.
    #[inline]
    pub(crate) fn newest(&self, class: u8, handle: u32, index: usize) -> (u32, u64) {
        let class = usize::from(class);
        sample(self.words(class, handle), class, index)
    }

    /// Stores a sample at `index`, which lies in the buffer's newest block.
    #[inline]
    pub(crate) fn set(&mut self, class: u8, handle: u32, index: usize, key: u32, bits: u64) {
        let class = usize::from(class);
        let index = index - FIRST[class];
        let block = self.words_mut(class, handle);
        block[index] = bits;
        let word = &mut block[CAPACITIES[class] + index / 2];
        let shift = (index % 2) * 32;
        *word = (*word & !(0xffff_ffff << shift)) | (u64::from(key) << shift);
    }

    /// The block before the one of `class` in a buffer of `length` samples, if one of its newest `wanted` is in it.
    #[inline]
    pub(crate) fn before(
        &self,
        class: u8,
        handle: u32,
        length: usize,
        wanted: usize,
    ) -> Option<u32> {
        let class = usize::from(class);
        if class == 0 || length.saturating_sub(wanted) >= FIRST[class] {
            return None;
        }
        Some(self.words(class, handle)[words(class).0] as u32)
    }

    /// Brings near what the newest `wanted` of a buffer's `length` samples have in its block of `class`, and the
    /// link.
    pub(crate) fn approach(&self, class: u8, handle: u32, length: usize, wanted: usize) {
        let class = usize::from(class);
        let block = self.words(class, handle);
        let first = length.saturating_sub(wanted).saturating_sub(FIRST[class]);
        // The first wanted one is looked for among all keys.
        let (bits, keys) = block.split_at(CAPACITIES[class]);
        let bits = bits.get(first..).unwrap_or_default();
        let lines = bits.chunks(PREFETCHED_WORDS).chain(keys.chunks(PREFETCHED_WORDS));
        lines.for_each(chunk::prefetch);
        block.last().into_iter().for_each(chunk::prefetch);
    }

    /// The buffer whose newest block is `handle`.
    pub(crate) fn buffer(&self, class: u8, handle: u32) -> Buffer<'_> {
        self.buffer_since(class, handle, 0, |_| false)
    }

    /// The same without what comes before the last sample whose key `is_old`, but for what shares its block
    /// where that begins with a later one, or its word: a question about the last minutes follows no more
    /// links and reads no more of the newest block than it needs. Only for [`Buffer::each_block`], of a buffer
    /// of `length` samples whose keys ascend.
    #[inline]
    pub(crate) fn buffer_since(
        &self,
        class: u8,
        mut handle: u32,
        length: usize,
        is_old: impl Fn(u32) -> bool,
    ) -> Buffer<'_> {
        let mut blocks: [&[u64]; CLASSES] = [&[]; CLASSES];
        let mut old_words = 0;
        for class in (0..=usize::from(class)).rev() {
            let block = self.words(class, handle);
            blocks[class] = block;
            if class > 0 && !is_old(sample(block, class, FIRST[class]).0) {
                handle = block[words(class).0] as u32;
                continue;
            }
            let samples = length.min(end_of(class)).saturating_sub(FIRST[class]);
            let keys = &block[CAPACITIES[class]..CAPACITIES[class] + samples / 2];
            old_words = keys.partition_point(|keys| is_old((keys >> 32) as u32));
            break;
        }
        Buffer { blocks, old_words }
    }
}

/// The sample at `index` of a buffer, out of its block of `class`.
#[inline]
fn sample(block: &[u64], class: usize, index: usize) -> (u32, u64) {
    let index = index - FIRST[class];
    let key = block[CAPACITIES[class] + index / 2] >> ((index % 2) * 32);
    (key as u32, block[index])
}

/// The samples of one buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer<'a> {
    blocks: [&'a [u64]; CLASSES],
    /// Words of two keys that are left out of the oldest block.
    old_words: usize,
}

impl Buffer<'_> {
    /// Hands the index, the key and the value bits of each of the first `count` samples to `visit`.
    #[inline]
    pub(crate) fn each(&self, count: usize, mut visit: impl FnMut(usize, u32, u64)) {
        for (class, block) in self.blocks.iter().enumerate() {
            for index in FIRST[class]..count.min(capacity(class as u8)) {
                let (key, bits) = sample(block, class, index);
                visit(index, key, bits);
            }
        }
    }

    /// Hands each block's keys, two in a word and perhaps one too many, and value bits of the first `count`
    /// samples to `visit`.
    #[inline]
    pub(crate) fn each_block(&self, count: usize, mut visit: impl FnMut(&[u64], &[u64])) {
        let mut skipped = self.old_words;
        for (class, block) in self.blocks.iter().enumerate() {
            let length = count.min(end_of(class)).saturating_sub(FIRST[class]);
            let (keys, end) = (CAPACITIES[class], length.div_ceil(2));
            if let (Some(keys), Some(bits)) =
                (block.get(keys + skipped..keys + end), block.get(2 * skipped..length))
            {
                skipped = 0;
                if !bits.is_empty() {
                    visit(keys, bits);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer as a series has it.
    struct Open {
        class: u8,
        handle: u32,
        samples: Vec<(u32, u64)>,
    }

    impl Open {
        fn new(arena: &mut Arena) -> Self {
            Self { class: 0, handle: arena.allocate(), samples: Vec::new() }
        }

        fn push(&mut self, arena: &mut Arena, key: u32, bits: u64) {
            let index = self.samples.len();
            if index == capacity(self.class) {
                self.handle = arena.grow(self.class, self.handle);
                self.class += 1;
            }
            arena.set(self.class, self.handle, index, key, bits);
            self.samples.push((key, bits));
        }

        fn check(&self, arena: &Arena) {
            let newest_first = self.samples[FIRST[usize::from(self.class)]].0;
            let mut newest = Vec::new();
            arena
                .buffer_since(self.class, self.handle, 0, |key| key <= newest_first)
                .each_block(self.samples.len(), |_, bits| newest.extend_from_slice(bits));
            let behind = &self.samples[FIRST[usize::from(self.class)]..];
            assert!(newest.iter().eq(behind.iter().map(|(_, bits)| bits)));
            for (first, (oldest, _)) in self.samples.iter().enumerate() {
                let mut since = Vec::new();
                arena
                    .buffer_since(self.class, self.handle, self.samples.len(), |key| key < *oldest)
                    .each_block(self.samples.len(), |_, bits| since.extend_from_slice(bits));
                let wanted = self.samples.len() - first;
                let is_newest = first >= FIRST[usize::from(self.class)];
                assert!(since.len() >= wanted && (!is_newest || since.len() <= wanted + 1));
                let newest = self.samples[self.samples.len() - since.len()..].iter();
                assert!(since.iter().eq(newest.map(|(_, bits)| bits)));
            }
            let buffer = arena.buffer(self.class, self.handle);
            let mut got = Vec::new();
            buffer.each(self.samples.len(), |index, key, bits| {
                assert_eq!(index, got.len());
                got.push((key, bits));
            });
            assert_eq!(got, self.samples);
            got.clear();
            buffer.each_block(self.samples.len(), |keys, bits| {
                assert_eq!(keys.len(), bits.len().div_ceil(2));
                let keys = keys.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]);
                got.extend(keys.zip(bits.iter().copied()));
            });
            assert_eq!(got, self.samples);
            let last = self.samples.len() - 1;
            assert_eq!(arena.newest(self.class, self.handle, last), self.samples[last]);
        }
    }

    #[test]
    fn buffers_grow_and_blocks_are_used_again() {
        let mut rng = base::rng::Rng::new(4);
        let mut arena = Arena::default();
        let mut open: Vec<Open> = (0..5000).map(|_| Open::new(&mut arena)).collect();
        let mut bytes = 0;
        for round in 0..3 {
            for number in 0..5000u32 {
                let length = 1 + rng.below(CAPACITY_MAX as u64) as u32;
                for index in 0..length {
                    open[number as usize].push(&mut arena, number * 200 + index, rng.next_u64());
                }
            }
            open.iter().for_each(|open| open.check(&arena));
            let full = open.iter().map(|open| open.samples.len() as u64 * 12).sum::<u64>();
            assert!(arena.bytes() < full * 2, "{} for {full}", arena.bytes());
            if round == 1 {
                bytes = arena.bytes();
            }
            for open in &mut open {
                arena.release(open.class, open.handle);
                *open = Open::new(&mut arena);
            }
        }
        assert!(arena.bytes() < bytes + bytes / 10, "{} after {bytes}", arena.bytes());
    }

    #[test]
    fn classes_follow_each_other() {
        assert_eq!(CAPACITY_MAX, 120);
        let behind = (0..CLASSES as u8 - 1).map(capacity);
        assert!(behind.eq(FIRST[1..].iter().copied()));
    }
}
