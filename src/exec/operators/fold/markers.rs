//! Taking the markers of ended series out of rows of listed instants.

use model::is_stale;

use crate::row::{Row, is_absent};

/// Values that are looked through for markers at once.
const MARKER_STRIDE: usize = 32;

/// Takes markers of ended series out of a row of floats at listed instants.
pub(crate) fn remove_markers(row: &mut Row) {
    // In strides, each looked at as a whole: most rows have none.
    let has_marker = |stride: &[f64]| stride.iter().fold(false, |any, at| any | is_stale(*at));
    if !row.values().chunks(MARKER_STRIDE).any(has_marker) {
        return;
    }
    let samples = &mut row.samples;
    let mut kept = 0;
    for index in 0..samples.values.len() {
        if !is_stale(samples.values[index]) {
            samples.values[kept] = samples.values[index];
            samples.timestamps[kept] = samples.timestamps[index];
            kept += 1;
        }
    }
    samples.values.truncate(kept);
    samples.timestamps.truncate(kept);
    samples.integers.clear();
}

/// The same of a row that may have histograms and start timestamps.
pub(super) fn remove_native_markers(row: &mut Row) {
    let samples = &mut row.samples;
    let mut kept = 0;
    for index in 0..samples.values.len() {
        if is_absent(samples.values[index]) && samples.histogram(index).is_none() {
            continue;
        }
        samples.values[kept] = samples.values[index];
        samples.timestamps[kept] = samples.timestamps[index];
        if index < samples.histograms.len() {
            samples.histograms.swap(kept, index);
        }
        if index < samples.starts.len() {
            samples.starts[kept] = samples.starts[index];
        }
        kept += 1;
    }
    samples.values.truncate(kept);
    samples.timestamps.truncate(kept);
    samples.histograms.truncate(kept);
    samples.starts.truncate(kept);
    samples.integers.clear();
}
