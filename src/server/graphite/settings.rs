//! What a user may set about Graphite.

use lang::graphite::StepRules;
use wire::graphite::intake::PathRules;

/// Rules in the form in which they are used: whoever makes this has read and checked their texts.
#[derive(Clone, Debug)]
pub struct GraphiteSettings {
    /// Steps, retentions and merges of series.
    pub steps: StepRules,
    /// Which paths are taken, and what becomes of them.
    pub paths: PathRules,
    /// Bytes of one frame of pickles.
    pub pickle_bytes_max: usize,
}

impl Default for GraphiteSettings {
    fn default() -> Self {
        Self {
            steps: StepRules::uniform(60_000),
            paths: PathRules::default(),
            pickle_bytes_max: base::limits::PICKLE_BYTES_MAX,
        }
    }
}
