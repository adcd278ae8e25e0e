//! Layer 2: series ⇄ labels and labels → series, with no knowledge of samples, files or threads.

mod automaton;
mod blocked;
mod dictionary;
mod error;
mod pairs;
mod postings;
mod registry;

pub use error::IndexError;
