//! What carbon's listeners refuse, counted by reason, with the first example of each for the log.
//!
//! Senders of these protocols get no answer, so the counters and the log are the only places where a
//! mistake shows. An example is kept shortened and only once per decoder, so that a flood of bad
//! lines costs nothing.

/// Why a line, or an element of a pickle, gave no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not three fields; not the shape of a data point.
    Malformed,
    /// The path is no valid (tagged) path.
    InvalidName,
    /// The value is no number, or infinite.
    InvalidValue,
    /// The time is no number, or outside 1970 … 2106.
    InvalidTimestamp,
    /// The line is longer than [`base::limits::GRAPHITE_LINE_BYTES_MAX`].
    TooLong,
    /// The value is not a number, which means "no value".
    Nan,
    /// An expression of the blacklist matches the path.
    Blacklisted,
    /// No expression of the whitelist matches the path.
    NotWhitelisted,
    /// A mapping rule drops the path.
    Unmapped,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 9] = [
        Reason::Malformed,
        Reason::InvalidName,
        Reason::InvalidValue,
        Reason::InvalidTimestamp,
        Reason::TooLong,
        Reason::Nan,
        Reason::Blacklisted,
        Reason::NotWhitelisted,
        Reason::Unmapped,
    ];

    /// The reason as the value of the metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidName => "invalid_name",
            Self::InvalidValue => "invalid_value",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::TooLong => "too_long",
            Self::Nan => "nan",
            Self::Blacklisted => "blacklisted",
            Self::NotWhitelisted => "not_whitelisted",
            Self::Unmapped => "unmapped",
        }
    }
}

/// Bytes of a refused line that are shown; as many as carbon logs.
const EXAMPLE_BYTES_MAX: usize = 400;

/// Reasons that occurred, and how often.
pub type Counts = Vec<(Reason, u64)>;
/// Reasons not shown before, each with what was refused.
pub type Examples = Vec<(Reason, String)>;

/// Counts by reason since the last [`Rejects::take`].
#[derive(Clone, Debug, Default)]
pub struct Rejects {
    counts: [u64; Reason::ALL.len()],
    shown: [bool; Reason::ALL.len()],
    examples: Vec<(Reason, String)>,
}

impl Rejects {
    /// Counts one refusal; `example` is shown if it is the first for this reason.
    #[cold]
    pub fn note(&mut self, reason: Reason, example: &[u8]) {
        self.counts[reason as usize] += 1;
        if !self.shown[reason as usize] {
            self.shown[reason as usize] = true;
            let cut = &example[..example.len().min(EXAMPLE_BYTES_MAX)];
            self.examples.push((reason, String::from_utf8_lossy(cut).into_owned()));
        }
    }

    /// How many were refused for `reason`.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }

    /// How many were refused.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The counts and the new examples; starts counting anew, but shows no reason a second time.
    pub fn take(&mut self) -> (Counts, Examples) {
        let counts = Reason::ALL.into_iter().map(|reason| (reason, self.count(reason)));
        let counts = counts.filter(|(_, count)| *count > 0).collect();
        self.counts = Default::default();
        (counts, std::mem::take(&mut self.examples))
    }
}
