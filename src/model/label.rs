//! Label sets in packed form.
//!
//! ```text
//! ( varint length | name | varint length | value )*     sorted by name, names unique, values not empty
//! ```
//!
//! The packed bytes are the identity of a series everywhere: they are what a write hashes, what the
//! log holds and what results carry. Two label sets are equal exactly when their bytes are; their
//! *order* is that of Prometheus (pairs compared name first, then value), which is not byte order.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base::codec::{ByteReader, put_bytes};

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A borrowed packed label set. The bytes must be well-formed; [`LabelsRef::check`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a [u8]);

/// Why packed bytes are no label set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The bytes end inside a pair, or a length is malformed.
    #[error("label set is cut off")]
    Truncated,
    /// A name or a value is not UTF-8.
    #[error("label name or value is not valid UTF-8: {0}")]
    NotUtf8(String),
    /// A name is empty.
    #[error("label name is empty")]
    EmptyName,
    /// A name occurs twice.
    #[error("duplicated label {0}")]
    Duplicate(String),
    /// More labels than [`base::limits::LABELS_PER_SERIES_MAX`].
    #[error("too many labels: {got}, at most {max} are allowed")]
    TooMany {
        /// Labels seen.
        got: usize,
        /// Labels allowed.
        max: usize,
    },
    /// A name or a value is longer than its limit.
    #[error("label {name} is too long: {got} bytes, at most {max} are allowed")]
    TooLong {
        /// The label's name, shortened.
        name: String,
        /// Bytes seen.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
}

impl<'a> LabelsRef<'a> {
    /// Wraps packed bytes without looking at them.
    pub fn from_packed(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The packed bytes.
    pub fn as_packed(&self) -> &'a [u8] {
        self.0
    }

    /// The pairs in name order, as bytes; stops at the first malformed pair.
    pub fn pairs(&self) -> PairIter<'a> {
        PairIter(ByteReader::new(self.0))
    }

    /// The pairs in name order, as text. Only for label sets that passed [`LabelsRef::check`]; a
    /// part that is not UTF-8 reads as empty.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.pairs().map(|(name, value)| {
            (
                std::str::from_utf8(name).unwrap_or_default(),
                std::str::from_utf8(value).unwrap_or_default(),
            )
        })
    }

    /// Appends the packed pairs whose name passes.
    pub fn put_some(&self, out: &mut Vec<u8>, keep: impl Fn(&str) -> bool) {
        for (name, value) in self.pairs() {
            if keep(std::str::from_utf8(name).unwrap_or_default()) {
                put_bytes(out, name);
                put_bytes(out, value);
            }
        }
    }

    /// The value of `name`; `None` when the label is missing.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs()
            .find(|(found, _)| *found == name.as_bytes())
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// True when there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that must hold of a label set before it names a series.
    pub fn check(&self) -> Result<(), LabelError> {
        use base::limits::{LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_PER_SERIES_MAX};
        let mut pairs = self.pairs();
        let mut count = 0;
        let mut previous: &[u8] = &[];
        for (name, value) in pairs.by_ref() {
            count += 1;
            let shown = || String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned();
            if name.is_empty() {
                return Err(LabelError::EmptyName);
            }
            if count > 1 && name <= previous {
                return Err(LabelError::Duplicate(shown()));
            }
            for (bytes, max) in [(name, LABEL_NAME_BYTES_MAX), (value, LABEL_VALUE_BYTES_MAX)] {
                if bytes.len() > max {
                    return Err(LabelError::TooLong { name: shown(), got: bytes.len(), max });
                }
                if std::str::from_utf8(bytes).is_err() {
                    return Err(LabelError::NotUtf8(shown()));
                }
            }
            previous = name;
        }
        if pairs.0.failed() {
            return Err(LabelError::Truncated);
        }
        if count > LABELS_PER_SERIES_MAX {
            return Err(LabelError::TooMany { got: count, max: LABELS_PER_SERIES_MAX });
        }
        Ok(())
    }

    /// An owned copy.
    pub fn to_labels(&self) -> Labels {
        Labels(self.0.into())
    }
}

impl PartialOrd for LabelsRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelsRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.pairs().cmp(other.pairs())
    }
}

impl fmt::Display for LabelsRef<'_> {
    /// Prometheus's spelling: `name{a="b"}`, `{a="b"}`, with quoted names where needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if is_legacy_name(name) {
                write!(f, "{comma}{name}={value:?}")?;
            } else {
                write!(f, "{comma}{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// True for `[a-zA-Z_][a-zA-Z0-9_]*`, the label names that need no quotes.
pub fn is_legacy_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Iterates the pairs of a packed label set as bytes.
#[derive(Clone, Debug)]
pub struct PairIter<'a>(ByteReader<'a>);

impl<'a> Iterator for PairIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.remaining() == 0 {
            return None;
        }
        let name = self.0.bytes();
        let value = self.0.bytes();
        if self.0.failed() { None } else { Some((name, value)) }
    }
}

/// An owned, immutable, cheaply cloned label set.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self(Arc::default())
    }

    /// Sorts and packs `pairs`, leaving out empty values; of equal names the last one stays.
    pub fn from_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut builder = LabelBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// A borrowed view.
    pub fn view(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    /// The packed bytes.
    pub fn as_packed(&self) -> &[u8] {
        &self.0
    }

    /// The value of `name`; `None` when the label is missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.view().get(name)
    }

    /// The value of `__name__`, or nothing.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// The pairs in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.view().iter()
    }

    /// True when there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.view().cmp(&other.view())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.view(), f)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.view(), f)
    }
}

/// Edits a label set, in packed form.
#[derive(Clone, Debug, Default)]
pub struct LabelBuilder(Vec<u8>);

impl LabelBuilder {
    /// Starts from the labels of `labels`.
    pub fn from_labels(labels: LabelsRef<'_>) -> Self {
        Self(labels.as_packed().to_vec())
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        let place = self.place(name);
        let mut pair = Vec::new();
        if !value.is_empty() {
            put_bytes(&mut pair, name.as_bytes());
            put_bytes(&mut pair, value.as_bytes());
        }
        self.0.splice(place, pair);
        self
    }

    /// Where the pair of `name` is, or would be.
    fn place(&self, name: &str) -> Range<usize> {
        let mut reader = ByteReader::new(&self.0);
        loop {
            let start = reader.position();
            if reader.remaining() == 0 {
                return start..start;
            }
            let known = reader.bytes();
            reader.bytes();
            match known.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return start..reader.position(),
                Ordering::Greater => return start..start,
            }
        }
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps the labels for whose name `keep` answers true.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) -> &mut Self {
        let mut kept = Vec::with_capacity(self.0.len());
        LabelsRef(&self.0).put_some(&mut kept, keep);
        self.0 = kept;
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        LabelsRef(&self.0).get(name)
    }

    /// The packed set.
    pub fn build(&self) -> Labels {
        LabelsRef(&self.0).to_labels()
    }
}

/// Hashes packed label sets under a key of this process.
///
/// 128 bits under a secret seed stand for the label set itself in the registry's table: two of ten
/// million series collide with a chance of 10^-25, and a sender cannot search for a collision
/// without the seed. (xxh3, 128-bit variant.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesHasher {
    seed: u64,
}

impl SeriesHasher {
    /// A hasher with a known seed, for tests.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed }
    }

    /// A hasher whose seed nobody knows.
    pub fn from_entropy() -> Self {
        Self { seed: base::rng::Rng::from_entropy().next_u64() }
    }

    /// The hash of a packed label set.
    #[inline]
    pub fn hash(&self, packed: &[u8]) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_seed(packed, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_sorted_and_reads_back() {
        let labels = Labels::from_pairs([("job", "a"), ("__name__", "up"), ("empty", "")]);
        assert_eq!(labels.to_string(), r#"{__name__="up", job="a"}"#);
        assert_eq!(labels.get("job"), Some("a"));
        assert_eq!(labels.get("empty"), None);
        assert!(labels.view().check().is_ok());
    }

    #[test]
    fn edits_keep_the_labels_sorted() {
        let mut builder = LabelBuilder::default();
        builder.set("m", "1").set("a", "2").set("z", "3").set("aa", "4").set("m", "longer");
        let built = builder.build();
        assert_eq!(built.to_string(), r#"{a="2", aa="4", m="longer", z="3"}"#);
        assert!(built.view().check().is_ok());
        assert_eq!((builder.get("m"), builder.get("b")), (Some("longer"), None));
        builder.remove("b").remove("aa").set("z", "");
        assert_eq!(builder.build().to_string(), r#"{a="2", m="longer"}"#);
        let mut builder = LabelBuilder::from_labels(built.view());
        builder.retain(|name| name.starts_with('a'));
        assert_eq!(builder.build(), Labels::from_pairs([("aa", "4"), ("a", "2")]));
        builder.remove("aa").remove("a");
        assert_eq!(builder.build(), Labels::empty());
    }

    #[test]
    fn orders_by_pairs_not_by_bytes() {
        // The longer value has the larger length byte, yet sorts first.
        let long = Labels::from_pairs([("a", "aaa")]);
        let short = Labels::from_pairs([("a", "b")]);
        assert!(long < short);
        assert!(Labels::empty() < long);
    }

    #[test]
    fn check_names_what_is_wrong() {
        let check = |bytes: &[u8]| LabelsRef::from_packed(bytes).check();
        assert_eq!(check(&[5, b'a']), Err(LabelError::Truncated));
        assert_eq!(check(&[0, 1, b'a']), Err(LabelError::EmptyName));
        assert_eq!(check(&[1, b'a', 1, 0xff]), Err(LabelError::NotUtf8("a".into())));
        let twice = [1, b'a', 1, b'x', 1, b'a', 1, b'y'];
        assert_eq!(check(&twice), Err(LabelError::Duplicate("a".into())));
    }
}
