//! What open buffers hold beside 64 bits a sample: the bytes of histograms, and start timestamps.
//!
//! Invariants: a slot of a buffer that is marked as a histogram owns one place here until it is
//! overwritten or sealed; start timestamps are runs, since most series begin once.

use hashbrown::HashMap;
use model::histogram::{decode, hint_of, set_hint};
use model::{Histogram, ResetHint};

/// Encoded histograms by place, with room for new ones where old ones were.
#[derive(Debug, Default)]
pub(crate) struct OpenHistograms {
    blobs: Vec<Box<[u8]>>,
    free: Vec<u32>,
    bytes: u64,
    /// The most that `bytes` ever was: what is counted, since a partition's memory only grows.
    bytes_peak: u64,
    /// By series: the last histogram that was sealed, when it was the last sample at all.
    sealed: HashMap<u32, Box<[u8]>>,
}

/// What an encoded histogram takes beside its bytes.
const OVERHEAD_BYTES: u64 = 32;

impl OpenHistograms {
    /// True when no series ever had one.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Keeps `bytes`; returns their place.
    pub(crate) fn insert(&mut self, bytes: Box<[u8]>) -> u64 {
        self.grow(bytes.len());
        match self.free.pop() {
            Some(place) => {
                self.blobs[place as usize] = bytes;
                u64::from(place)
            }
            None => {
                self.blobs.push(bytes);
                self.blobs.len() as u64 - 1
            }
        }
    }

    /// The histogram at `place`.
    pub(crate) fn get(&self, place: u64) -> &[u8] {
        self.blobs.get(place as usize).map(|bytes| &**bytes).unwrap_or_default()
    }

    /// Takes the histogram at `place`, which is free from now on.
    pub(crate) fn take(&mut self, place: u64) -> Box<[u8]> {
        let Some(blob) = self.blobs.get_mut(place as usize) else {
            return Box::default();
        };
        let bytes = std::mem::take(blob);
        self.free.push(place as u32);
        self.bytes -= (bytes.len() as u64 + OVERHEAD_BYTES).min(self.bytes);
        bytes
    }

    /// Remembers that the sealed samples of `series` ended with this histogram, or with none.
    pub(crate) fn note_sealed(&mut self, series: u32, last: Option<Box<[u8]>>) {
        let before = match last {
            Some(last) => {
                self.grow(last.len());
                self.sealed.insert(series, last)
            }
            None => self.sealed.remove(&series),
        };
        if let Some(before) = before {
            self.bytes -= (before.len() as u64 + OVERHEAD_BYTES).min(self.bytes);
        }
    }

    /// The histogram with which the sealed samples of `series` ended.
    pub(crate) fn last_sealed(&self, series: u32) -> Option<&[u8]> {
        self.sealed.get(&series).map(|bytes| &**bytes)
    }

    fn grow(&mut self, length: usize) {
        self.bytes += length as u64 + OVERHEAD_BYTES;
        self.bytes_peak = self.bytes_peak.max(self.bytes);
    }

    /// Estimated bytes of memory; never less than before.
    pub(crate) fn bytes_peak(&self) -> u64 {
        self.bytes_peak
    }
}

/// `bytes` with what is known of a reset behind `previous`, the sample before it.
pub(crate) fn with_hint(bytes: &[u8], previous: Option<&[u8]>) -> Box<[u8]> {
    let mut bytes: Box<[u8]> = bytes.into();
    let said = hint_of(&bytes);
    if said == ResetHint::Gauge || said == ResetHint::Reset {
        return bytes;
    }
    let decoded = |bytes: &[u8]| -> Option<Histogram> { decode(bytes).ok() };
    let hint = match previous.and_then(decoded).zip(decoded(&bytes)) {
        Some((previous, now)) => now.hint_after(&previous),
        None => ResetHint::Unknown,
    };
    set_hint(&mut bytes, hint);
    bytes
}

/// Start timestamps of the open buffer of one series: from which sample on which one holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct StartRuns(Vec<(u8, i64)>);

impl StartRuns {
    /// Notes the start of the sample at `index`, which is the last one.
    pub(crate) fn note(&mut self, index: usize, start_ms: i64) {
        let runs = &mut self.0;
        if runs.last().is_some_and(|run| usize::from(run.0) == index) {
            runs.pop();
        }
        if runs.last().map_or(0, |run| run.1) != start_ms {
            runs.push((index as u8, start_ms));
        }
    }

    /// The start of the sample at `index`; 0 where there is none.
    pub(crate) fn at(&self, index: usize) -> i64 {
        let behind = self.0.iter().take_while(|run| usize::from(run.0) <= index);
        behind.last().map_or(0, |run| run.1)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_answer_like_a_list() {
        let mut runs = StartRuns::default();
        for (index, start) in [(0, 0), (1, 5), (2, 5), (3, 7), (3, 5), (4, 0), (5, 9)] {
            runs.note(index, start);
        }
        let got: Vec<i64> = (0..7).map(|index| runs.at(index)).collect();
        assert_eq!(got, [0, 5, 5, 5, 0, 9, 9]);
        assert_eq!(runs.0.len(), 3);
    }

    #[test]
    fn places_are_used_again() {
        let mut open = OpenHistograms::default();
        let first = open.insert([1u8, 2].into());
        let bytes = open.bytes_peak();
        assert_eq!(&*open.take(first), [1, 2]);
        assert_eq!(open.insert([3u8, 4].into()), first);
        assert_eq!((open.get(first), open.bytes_peak()), (&[3u8, 4][..], bytes));
        open.note_sealed(7, Some([5u8].into()));
        assert_eq!(open.last_sealed(7), Some(&[5u8][..]));
        open.note_sealed(7, None);
        assert_eq!((open.last_sealed(7), open.bytes), (None, bytes));
        assert!(open.bytes_peak() > bytes);
    }
}
