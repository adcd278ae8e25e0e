//! Buffers of requests that are done, kept for the next ones: memory that the allocator would give back
//! to the system and get again as zeroed pages costs a request as much as reading it.

use base::limits::{SPARE_BUFFER_BYTES_MAX, SPARE_BUFFERS_MAX};
use model::WriteBatch;
use parking_lot::Mutex;

/// What can be kept.
pub trait Buffer {
    /// Bytes that it holds on to, roughly.
    fn held_bytes(&self) -> usize;
}

impl Buffer for Vec<u8> {
    fn held_bytes(&self) -> usize {
        self.capacity()
    }
}

impl Buffer for WriteBatch {
    fn held_bytes(&self) -> usize {
        self.bytes()
    }
}

/// Buffers that nobody uses now; at most [`SPARE_BUFFERS_MAX`] of [`SPARE_BUFFER_BYTES_MAX`] each.
#[derive(Debug)]
pub struct Spare<T>(Mutex<Vec<T>>);

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Buffer> Spare<T> {
    /// One of them, with the content that it was left with.
    pub fn take(&self) -> Option<T> {
        self.0.lock().pop()
    }

    /// Keeps `buffer`, unless it is large or there are enough.
    pub fn give(&self, buffer: T) {
        if buffer.held_bytes() <= SPARE_BUFFER_BYTES_MAX {
            let mut kept = self.0.lock();
            if kept.len() < SPARE_BUFFERS_MAX {
                kept.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_small_buffers_are_kept() {
        let spare = Spare::default();
        for _ in 0..2 * SPARE_BUFFERS_MAX {
            spare.give(Vec::<u8>::with_capacity(100));
        }
        spare.give(Vec::with_capacity(SPARE_BUFFER_BYTES_MAX + 1));
        let kept: Vec<Vec<u8>> = std::iter::from_fn(|| spare.take()).collect();
        assert_eq!(kept.len(), SPARE_BUFFERS_MAX);
        assert!(kept.iter().all(|buffer| buffer.capacity() == 100));
        spare.give(Vec::with_capacity(SPARE_BUFFER_BYTES_MAX + 1));
        assert!(spare.take().is_none());
    }
}
