//! Choosing and writing the form of one stream.
//!
//! A plan is complete: its size is known to the byte before anything is written, so that an encoder
//! compares forms by plans and writes only the winner.

use super::window::{Window, cheapest_window};
use super::{BLOCK, Effort, Marks, WIDTH_CODE_64, WIDTH_CODE_VARINT};
use super::{bit_width, stored_width, varint_size};
use base::codec::{put_uvarint, put_varint, zigzag};

/// An integer outside its window.
#[derive(Clone, Copy, Debug)]
struct Exception {
    position: u16,
    /// What is added to the window's base.
    offset: i64,
}

/// How the offsets of the exceptions are written.
#[derive(Clone, Copy, Debug)]
enum Offsets {
    Varints,
    Packed(Window),
}

/// The chosen form of one stream; reused from stream to stream.
#[derive(Debug)]
pub(crate) struct StreamPlan {
    blocked: bool,
    windows: Vec<Window>,
    exceptions: Vec<Exception>,
    marks: Marks,
    offsets: Offsets,
    size: usize,
}

impl Default for StreamPlan {
    fn default() -> Self {
        Self {
            blocked: false,
            windows: Vec::new(),
            exceptions: Vec::new(),
            marks: Marks::None,
            offsets: Offsets::Varints,
            size: 0,
        }
    }
}

/// Scratch of the search.
#[derive(Debug, Default)]
pub(crate) struct StreamPlanner {
    sorted: Vec<i64>,
    blocks: StreamPlan,
}

impl StreamPlanner {
    /// Makes `plan` the smallest form of `numbers` that this effort finds.
    pub(crate) fn plan(&mut self, numbers: &[i64], effort: Effort, plan: &mut StreamPlan) {
        plan.blocked = false;
        plan.windows.clear();
        plan.exceptions.clear();
        if numbers.is_empty() {
            plan.windows.push(Window { base: 0, width: 0 });
        } else {
            let window = self.whole_window(numbers);
            plan.put_block(0, numbers, window);
        }
        plan.measure(numbers.len());
        // Blocks cost two bytes each at the least: they cannot pay below two bits a number.
        let may_pay = numbers.len() > BLOCK && plan.size * 4 > numbers.len();
        if effort == Effort::Best && may_pay {
            self.plan_blocks(numbers);
            if self.blocks.size < plan.size {
                std::mem::swap(&mut self.blocks, plan);
            }
        }
    }

    fn sort(&mut self, numbers: &[i64]) -> u64 {
        self.sorted.clear();
        self.sorted.extend_from_slice(numbers);
        self.sorted.sort_unstable();
        let (first, last) = (self.sorted[0], self.sorted[numbers.len() - 1]);
        u64::from(bit_width((last as u64).wrapping_sub(first as u64)))
    }

    /// The window of a whole stream, with exceptions priced as a list and as a bitmap.
    fn whole_window(&mut self, numbers: &[i64]) -> Window {
        let range = self.sort(numbers);
        let listed = cheapest_window(&self.sorted, range + 8);
        let bitmap_bits = numbers.len() as u64;
        if listed.bits > bitmap_bits {
            let mapped = cheapest_window(&self.sorted, range + 1);
            if mapped.bits + bitmap_bits <= listed.bits {
                return mapped.window;
            }
        }
        listed.window
    }

    fn plan_blocks(&mut self, numbers: &[i64]) {
        self.blocks.blocked = true;
        self.blocks.windows.clear();
        self.blocks.exceptions.clear();
        for (index, block) in numbers.chunks(BLOCK).enumerate() {
            let range = self.sort(block);
            let window = cheapest_window(&self.sorted, range + 8).window;
            self.blocks.put_block(index * BLOCK, block, window);
        }
        self.blocks.measure(numbers.len());
    }
}

impl StreamPlan {
    /// Bytes that [`StreamPlan::write`] will append.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    fn put_block(&mut self, start: usize, block: &[i64], window: Window) {
        self.windows.push(window);
        if window.width == 64 {
            return;
        }
        for (index, &number) in block.iter().enumerate() {
            let offset = number.wrapping_sub(window.base);
            if offset as u64 >> window.width != 0 {
                self.exceptions.push(Exception { position: (start + index) as u16, offset });
            }
        }
    }

    /// Chooses how exceptions are written and adds up the size.
    fn measure(&mut self, count: usize) {
        let block = if self.blocked { BLOCK } else { count.max(1) };
        let mut size = 1 + self.measure_exceptions(count);
        let (mut previous, mut left) = (0i64, count);
        for window in &self.windows {
            size += usize::from(self.blocked);
            size += varint_size(zigzag(window.base.wrapping_sub(previous)));
            size += (left.min(block) * window.width as usize).div_ceil(8);
            left -= left.min(block);
            previous = window.base;
        }
        self.size = size;
    }

    fn measure_exceptions(&mut self, count: usize) -> usize {
        self.marks = Marks::None;
        let (mut low, mut high) = match self.exceptions.first() {
            None => return 0,
            Some(first) => (first.offset, first.offset),
        };
        let (mut gap_bytes, mut varint_bytes, mut next) = (0, 0, 0);
        for exception in &self.exceptions {
            gap_bytes += 1 + (usize::from(exception.position) - next) / 255;
            next = usize::from(exception.position) + 1;
            varint_bytes += varint_size(zigzag(exception.offset));
            low = low.min(exception.offset);
            high = high.max(exception.offset);
        }
        let width = stored_width(bit_width((high as u64).wrapping_sub(low as u64)));
        let packed_bytes =
            varint_size(zigzag(low)) + (self.exceptions.len() * width as usize).div_ceil(8);
        // Varints are slower to read: few, and they must earn it.
        let varints = self.exceptions.len() <= 48 && varint_bytes + 8 < packed_bytes;
        self.offsets = match varints {
            true => Offsets::Varints,
            false => Offsets::Packed(Window { base: low, width }),
        };
        gap_bytes += varint_size(self.exceptions.len() as u64);
        let bitmap_bytes = count.div_ceil(8);
        self.marks = if gap_bytes > bitmap_bytes { Marks::Bitmap } else { Marks::Gaps };
        1 + gap_bytes.min(bitmap_bytes) + if varints { varint_bytes } else { packed_bytes }
    }

    /// Appends `numbers`, which are those that were planned.
    pub(crate) fn write(&self, numbers: &[i64], out: &mut Vec<u8>) {
        let start = out.len();
        match (self.blocked, self.windows.first()) {
            (true, _) | (_, None) => out.push(3 << 6 | self.marks as u8),
            (false, Some(window)) => out.push((self.marks as u8) << 6 | width_code(window.width)),
        }
        self.write_marks(numbers.len(), out);
        self.write_offsets(out);
        let mut previous = 0i64;
        for window in &self.windows {
            if self.blocked {
                out.push(width_code(window.width));
            }
            put_varint(out, window.base.wrapping_sub(previous));
            previous = window.base;
        }
        let block = if self.blocked { BLOCK } else { numbers.len().max(1) };
        for (block, window) in numbers.chunks(block).zip(&self.windows) {
            pack(block, *window, out);
        }
        debug_assert_eq!(out.len() - start, self.size, "the plan's size is exact");
    }

    fn write_marks(&self, count: usize, out: &mut Vec<u8>) {
        match self.marks {
            Marks::None => {}
            Marks::Gaps => {
                put_uvarint(out, self.exceptions.len() as u64);
                let mut next = 0;
                for exception in &self.exceptions {
                    let mut gap = exception.position - next;
                    while gap >= 255 {
                        out.push(255);
                        gap -= 255;
                    }
                    out.push(gap as u8);
                    next = exception.position + 1;
                }
            }
            Marks::Bitmap => {
                let start = out.len();
                out.resize(start + count.div_ceil(8), 0);
                for exception in &self.exceptions {
                    let position = usize::from(exception.position);
                    out[start + position / 8] |= 1 << (position % 8);
                }
            }
        }
    }

    fn write_offsets(&self, out: &mut Vec<u8>) {
        if self.marks == Marks::None {
            return;
        }
        match self.offsets {
            Offsets::Varints => {
                out.push(WIDTH_CODE_VARINT);
                for exception in &self.exceptions {
                    put_varint(out, exception.offset);
                }
            }
            Offsets::Packed(window) => {
                out.push(width_code(window.width));
                put_varint(out, window.base);
                let mut packer = Packer::new(window, out);
                for exception in &self.exceptions {
                    packer.put(exception.offset);
                }
                packer.finish();
            }
        }
    }
}

fn width_code(width: u32) -> u8 {
    if width == 64 { WIDTH_CODE_64 } else { width as u8 }
}

/// Appends the block's offsets; an exception's place holds zero, to which the reader adds.
fn pack(block: &[i64], window: Window, out: &mut Vec<u8>) {
    if window.width == 0 {
        return;
    }
    let mut packer = Packer::new(window, out);
    for &number in block {
        packer.put(number);
    }
    packer.finish();
}

/// Packs numbers from the lowest bit upwards.
struct Packer<'a> {
    out: &'a mut Vec<u8>,
    window: Window,
    mask: u64,
    word: u64,
    filled: u32,
}

impl<'a> Packer<'a> {
    fn new(window: Window, out: &'a mut Vec<u8>) -> Self {
        let mask = if window.width == 64 { u64::MAX } else { (1 << window.width) - 1 };
        Self { out, window, mask, word: 0, filled: 0 }
    }

    #[inline]
    fn put(&mut self, number: i64) {
        let offset = number.wrapping_sub(self.window.base) as u64;
        let offset = if offset > self.mask { 0 } else { offset };
        self.word |= offset << self.filled;
        self.filled += self.window.width;
        if self.filled >= 64 {
            self.out.extend_from_slice(&self.word.to_le_bytes());
            self.filled -= 64;
            let taken = self.window.width - self.filled;
            self.word = if taken < 64 { offset >> taken } else { 0 };
        }
    }

    fn finish(self) {
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.word.to_le_bytes()[..bytes]);
    }
}
