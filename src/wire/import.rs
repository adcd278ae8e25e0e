//! Bulk text of other programs, line by line into batches: histories that are brought in by hand.
//!
//! Invariants: a line that is no sample costs none of its neighbours, and its reason says what is wrong
//! with it; a line's memory is bounded by [`LINE_BYTES_MAX`].

pub mod csv;
pub mod exposition;
pub mod json_lines;

use model::WriteBatch;

/// Longest line: a line of JSON holds many samples.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Reads the lines of one format.
pub trait LineReader: Send {
    /// Adds the samples of `line` (without its end) to `batch`. `Err` says why there are none; nothing of the line is in the
    /// batch then.
    fn read(&mut self, line: &[u8], batch: &mut WriteBatch) -> Result<(), String>;
}

/// Labels that a request adds to all of its series, over what the lines say.
pub type ExtraLabels = Vec<(String, String)>;

/// Opens a row with `labels` and `extra`; names must be given and not repeat.
fn begin_row<'a>(
    labels: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    extra: &ExtraLabels,
    batch: &mut WriteBatch,
) -> Result<(), String> {
    batch.begin_row();
    for (name, value) in labels {
        if !extra.iter().any(|(known, _)| known.as_bytes() == name) {
            batch.push_label(name, value);
        }
    }
    for (name, value) in extra {
        batch.push_label(name.as_bytes(), value.as_bytes());
    }
    batch.end_labels().map_err(|error| {
        batch.abandon_row();
        error.to_string()
    })
}
