//! Layer 2: compressed samples in memory; knows neither files nor series.
//!
//! A blob is one self-describing column of at most [`base::limits::CHUNK_SAMPLES_MAX`] samples:
//! either timestamps or values. The two are apart because one timestamp column may serve many
//! series. `FORMAT.md` beside this file gives every byte; every codec is lossless to the bit.
//!
//! Decoders trust nothing: a blob that is cut, altered or made up gives a [`ChunkError`] or wrong
//! values, never a panic, and never more memory than the samples that its header promises.

#![deny(unsafe_code)]

mod error;
mod extension;
mod header;
mod histograms;
mod kernel;
mod stream;
mod summaries;
mod timestamps;
mod values;

pub use error::ChunkError;
pub use extension::{OpenedValues, ValuesBlob, open_values, put_starts};
pub use histograms::{HistogramsEncoder, decode_histograms};
pub use kernel::prefetch;
pub use stream::Effort;
pub use summaries::{SummariesEncoder, decode_summaries};
pub use timestamps::{TimestampsEncoder, decode_timestamps, encode_timestamps};
pub use values::{
    Values, ValuesEncoder, decode_floats, decode_values, encode_values, sample_count,
};

/// Rounds of a random test: these, or fifty times as many when `LONG` is set.
#[cfg(test)]
fn rounds(short: u64) -> u64 {
    if std::env::var_os("LONG").is_some() { 50 * short } else { short }
}
