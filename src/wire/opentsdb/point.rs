//! What must hold of a point before it stands in a batch, for both ways of writing one.
//!
//! The checks run in the original's order, since clients see the first complaint only: the value,
//! the timestamp, the number of tags, the metric, then each tag's key and value.

use std::fmt::Write as _;

use model::{Labels, LabelsRef, METRIC_NAME, SeriesHasher, TenantId, WriteBatch};

use super::gate::{Gate, UnknownName};
use super::name::{complaint, is_legal};
use super::number::Value;
use super::query_json::push_double;

/// Tags of one point.
pub const TAGS_MAX: usize = 8;
/// Last timestamp that means seconds.
const SECONDS_MAX: i64 = u32::MAX as i64;
/// Last timestamp at all: 13 digits, in the year 2286.
const TIMESTAMP_MAX: i64 = 9_999_999_999_999;

/// Why a point is refused. `Display` is the text that clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// The float is infinite.
    #[error("value is NaN or Infinite: {value} for metric={metric} timestamp={timestamp}")]
    NotFinite {
        /// As Java prints it.
        value: String,
        /// The metric.
        metric: String,
        /// As given.
        timestamp: i64,
    },
    /// Outside 1 … 9999999999999.
    #[error(
        "bad timestamp={timestamp} when trying to add value={value} to metric={metric}, tags={tags}"
    )]
    Timestamp {
        /// As given.
        timestamp: i64,
        /// The value's bytes and flags as the original stores them.
        value: String,
        /// The metric.
        metric: String,
        /// `{k=v, k=v}`.
        tags: String,
    },
    /// More than [`TAGS_MAX`].
    #[error("Too many tags: {count} maximum allowed: {TAGS_MAX}, tags: {tags}")]
    TooManyTags {
        /// Tags given.
        count: usize,
        /// `{k=v, k=v}`.
        tags: String,
    },
    /// A metric, key or value that is no name.
    #[error("{0}")]
    Name(String),
    /// The buckets are none.
    #[error("{0}")]
    Histogram(String),
    /// A tag key that the store uses itself.
    #[error("Invalid tag name with value [{0}] (\"{METRIC_NAME}\"): reserved name")]
    Reserved(String),
}

impl PointError {
    /// The reason as the label of the metric that counts refusals.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotFinite { .. } | Self::Histogram(_) => "invalid_value",
            Self::Timestamp { .. } => "invalid_timestamp",
            Self::TooManyTags { .. } => "too_many_labels",
            Self::Name(_) | Self::Reserved(_) => "invalid_name",
        }
    }
}

/// Seconds or milliseconds, told apart by their size, to milliseconds.
pub fn timestamp_ms(timestamp: i64) -> Option<i64> {
    match timestamp {
        1..=SECONDS_MAX => Some(timestamp * 1000),
        _ if (1..=TIMESTAMP_MAX).contains(&timestamp) => Some(timestamp),
        _ => None,
    }
}

/// Checks a point and appends it to `batch` as a row of its own. Sorts `tags`, whose keys must be
/// distinct.
#[inline]
pub fn push<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    batch: &mut WriteBatch,
    metric: &[u8],
    timestamp: i64,
    value: Value,
    tags: &mut [(K, V)],
) -> Result<(), PointError> {
    let legal = is_legal(metric)
        && tags.iter().all(|(key, value)| is_legal(key.as_ref()) && is_legal(value.as_ref()));
    let finite = !matches!(value, Value::Float(float) if !float.is_finite());
    let (true, true, true, Some(at_ms)) =
        (legal, finite, tags.len() <= TAGS_MAX, timestamp_ms(timestamp))
    else {
        return Err(refusal(metric, timestamp, value, tags));
    };
    push_legal(batch, metric, at_ms, value, tags)
}

/// Appends a point that passes all checks.
#[inline]
pub(super) fn push_legal<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    batch: &mut WriteBatch,
    metric: &[u8],
    at_ms: i64,
    value: Value,
    tags: &mut [(K, V)],
) -> Result<(), PointError> {
    if !tags.is_sorted_by(|left, right| !before(right.0.as_ref(), left.0.as_ref())) {
        tags.sort_unstable_by(|left, right| left.0.as_ref().cmp(right.0.as_ref()));
    }
    batch.begin_row();
    let mut packed = [0u8; PACKED_BYTES];
    match pack(&mut packed, metric, tags) {
        Some(packed) => batch.set_labels(LabelsRef::from_packed(packed)),
        None => push_labels(batch, metric, tags)?,
    }
    push_value(batch, at_ms, value);
    Ok(())
}

/// Adds a value to the open row.
#[inline]
pub(super) fn push_value(batch: &mut WriteBatch, at_ms: i64, value: Value) {
    match value {
        Value::Integer(integer) => batch.push_integer(at_ms, integer),
        Value::Float(float) => batch.push_float(at_ms, float),
    }
}

/// Checks a point as [`push`] does, asks `gate` about its series, and appends what `add` makes of
/// it: a row of the metric `stored`, which may be any text.
pub fn push_as<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
    point: (&str, i64, Value),
    tags: &mut [(K, V)],
    stored: &str,
    add: impl FnOnce(&mut WriteBatch, i64) -> Result<(), PointError>,
) -> Result<(), PutPointError> {
    let (metric, timestamp, value) = point;
    let sent: Vec<Vec<u8>> = tags.iter().map(|(key, _)| key.as_ref().to_vec()).collect();
    push(batch, metric.as_bytes(), timestamp, value, tags)?;
    let Some(row) = batch.rows().last() else {
        return Ok(());
    };
    let keys: Vec<&str> = sent.iter().filter_map(|key| std::str::from_utf8(key).ok()).collect();
    let admitted = gate.admit(None, row.hash, batch.labels(row), &keys);
    let labels = with_metric(batch.labels(row), stored);
    batch.abandon_row();
    admitted?;
    batch.begin_row();
    batch.set_labels(labels.view());
    let added = add(batch, timestamp_ms(timestamp).unwrap_or_default());
    if added.is_err() {
        batch.abandon_row();
    }
    Ok(added?)
}

/// The labels with another metric.
fn with_metric(labels: LabelsRef<'_>, metric: &str) -> Labels {
    let other = |(name, value)| if name == METRIC_NAME { (name, metric) } else { (name, value) };
    Labels::from_pairs(labels.iter().map(other))
}

/// Why [`push_as`] appends nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutPointError {
    /// The point breaks a rule.
    #[error(transparent)]
    Point(#[from] PointError),
    /// A name that may not be used.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
}

/// That a timestamp is not one where it stands.
pub fn bad_timestamp<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    metric: &str,
    timestamp: i64,
    value: Value,
    tags: &[(K, V)],
) -> PointError {
    let (tags, value) = (show_tags(tags), stored_form(value));
    PointError::Timestamp { timestamp, value, metric: metric.to_owned(), tags }
}

/// Appends the packed labels of a series whose tags have distinct keys.
pub(super) fn pack_series<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    metric: &[u8],
    tags: &mut [(K, V)],
    packed: &mut Vec<u8>,
) {
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(0));
    let value = Value::Integer(0);
    if push_legal(&mut batch, metric, 0, value, tags).is_ok()
        && let Some(row) = batch.rows().first()
    {
        packed.extend_from_slice(batch.labels(row).as_packed());
    }
}

/// True when `left` sorts before `right`. Most names differ in their first byte.
#[inline(always)]
pub(super) fn before(left: &[u8], right: &[u8]) -> bool {
    match (left.first(), right.first()) {
        (Some(left), Some(right)) if left != right => left < right,
        _ => left < right,
    }
}

/// Bytes of labels that are packed on the stack.
const PACKED_BYTES: usize = 512;

/// The labels of a point with sorted tags in packed form, written in one go; `None` where they are
/// too long for that, or a tag has the name of the metric's label.
#[inline]
fn pack<'b, K: AsRef<[u8]>, V: AsRef<[u8]>>(
    buffer: &'b mut [u8; PACKED_BYTES],
    metric: &[u8],
    tags: &[(K, V)],
) -> Option<&'b [u8]> {
    let name = METRIC_NAME.as_bytes();
    let mut at = 0;
    let mut named = false;
    for (key, value) in tags {
        let key = key.as_ref();
        if !named && !before(key, name) {
            if key == name {
                return None;
            }
            named = true;
            at = pack_part(buffer, at, name)?;
            at = pack_part(buffer, at, metric)?;
        }
        at = pack_part(buffer, at, key)?;
        at = pack_part(buffer, at, value.as_ref())?;
    }
    if !named {
        at = pack_part(buffer, at, name)?;
        at = pack_part(buffer, at, metric)?;
    }
    buffer.get(..at)
}

/// Writes a length of one byte and the bytes behind it. Short parts are copied as two overlapping
/// words, which is several times faster than a call that looks at the length again.
#[inline(always)]
fn pack_part(buffer: &mut [u8; PACKED_BYTES], at: usize, part: &[u8]) -> Option<usize> {
    let length = part.len();
    if length >= 0x80 || at + 1 + length > PACKED_BYTES {
        return None;
    }
    buffer[at] = length as u8;
    let out = &mut buffer[at + 1..at + 1 + length];
    match length {
        8..=16 => {
            out[..8].copy_from_slice(&part[..8]);
            out[length - 8..].copy_from_slice(&part[length - 8..]);
        }
        4..8 => {
            out[..4].copy_from_slice(&part[..4]);
            out[length - 4..].copy_from_slice(&part[length - 4..]);
        }
        2..4 => {
            out[..2].copy_from_slice(&part[..2]);
            out[length - 2..].copy_from_slice(&part[length - 2..]);
        }
        _ => out.copy_from_slice(part),
    }
    Some(at + 1 + length)
}

/// The way for labels of any length.
#[cold]
fn push_labels<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    batch: &mut WriteBatch,
    metric: &[u8],
    tags: &[(K, V)],
) -> Result<(), PointError> {
    batch.push_label(METRIC_NAME.as_bytes(), metric);
    tags.iter().for_each(|(key, value)| batch.push_label(key.as_ref(), value.as_ref()));
    if batch.end_labels().is_err() {
        batch.abandon_row();
        let same = tags.iter().find(|(key, _)| key.as_ref() == METRIC_NAME.as_bytes());
        return Err(PointError::Reserved(same.map(|tag| text(tag.1.as_ref())).unwrap_or_default()));
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `{k=v, k=v}`: how Java prints a map.
pub fn show_tags<K: AsRef<[u8]>, V: AsRef<[u8]>>(tags: &[(K, V)]) -> String {
    let mut out = String::from("{");
    for (index, (key, value)) in tags.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}{}={}", text(key.as_ref()), text(value.as_ref()));
    }
    out.push('}');
    out
}

#[cold]
fn refusal<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    metric: &[u8],
    timestamp: i64,
    value: Value,
    tags: &[(K, V)],
) -> PointError {
    let metric = text(metric);
    if let Value::Float(float) = value
        && !float.is_finite()
    {
        let mut shown = Vec::new();
        push_double(&mut shown, float);
        return PointError::NotFinite { value: text(&shown), metric, timestamp };
    }
    if timestamp_ms(timestamp).is_none() {
        let tags = show_tags(tags);
        return PointError::Timestamp { timestamp, value: stored_form(value), metric, tags };
    }
    if tags.len() > TAGS_MAX {
        return PointError::TooManyTags { count: tags.len(), tags: show_tags(tags) };
    }
    let mut complaints = complaint("metric name", &metric).into_iter().chain(tags.iter().flat_map(
        |(key, value)| {
            let (key, value) = (text(key.as_ref()), text(value.as_ref()));
            let of_key = complaint(&format!("tag name with value [{value}]"), &key);
            let of_value = complaint(&format!("tag value with key [{key}]"), &value);
            of_key.into_iter().chain(of_value)
        },
    ));
    PointError::Name(complaints.next().unwrap_or_else(|| "Invalid name: not UTF-8".to_owned()))
}

/// The bytes and flags of a stored cell: the smallest of 1, 2, 4, 8 bytes, the float flag 8.
fn stored_form(value: Value) -> String {
    let (bytes, flags) = match value {
        Value::Integer(integer) => {
            let width = match integer {
                -0x80..=0x7f => 1,
                -0x8000..=0x7fff => 2,
                -0x8000_0000..=0x7fff_ffff => 4,
                _ => 8,
            };
            (integer.to_be_bytes()[8 - width..].to_vec(), width - 1)
        }
        Value::Float(float) if f64::from(float as f32) == float => {
            ((float as f32).to_be_bytes().to_vec(), 0x8 | 3)
        }
        Value::Float(float) => (float.to_be_bytes().to_vec(), 0x8 | 7),
    };
    let bytes: Vec<String> = bytes.iter().map(|byte| (*byte as i8).to_string()).collect();
    format!("[{}]/{flags}", bytes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    #[test]
    fn points_become_rows_with_sorted_labels() {
        let mut batch = batch();
        let mut tags = [("host", "a"), ("Z", "1"), ("dc", "x")];
        push(&mut batch, b"sys.cpu", 1_356_998_400, Value::Integer(42), &mut tags).unwrap();
        let row = batch.rows()[0];
        let want = r#"{Z="1", __name__="sys.cpu", dc="x", host="a"}"#;
        assert_eq!(batch.labels(&row).to_string(), want);
        assert_eq!(batch.samples(&row), (&[1_356_998_400_000][..], &[42][..]));
        assert!(batch.labels(&row).check().is_ok());
    }

    #[test]
    fn labels_of_any_length_pack_alike() {
        for length in [1, 2, 3, 4, 7, 8, 15, 16, 17, 127, 128, 500, 2000] {
            let value = "x".repeat(length);
            let mut tags = [("A", value.as_str()), ("b", "1"), ("host", value.as_str())];
            let mut batch = batch();
            push(&mut batch, b"m", 1, Value::Integer(1), &mut tags).unwrap();
            let pairs = tags.into_iter().chain([(METRIC_NAME, "m")]);
            let want = model::Labels::from_pairs(pairs);
            assert_eq!(batch.labels(&batch.rows()[0]), want.view(), "{length}");
            let hash = SeriesHasher::with_seed(1).hash(want.as_packed());
            assert_eq!(batch.rows()[0].hash, hash);
        }
    }

    #[test]
    fn the_first_complaint_is_the_one_shown() {
        let inf = Value::Float(f64::INFINITY);
        let nine: Vec<(String, &str)> = ('a'..='i').map(|key| (key.to_string(), "1")).collect();
        type Tags<'a> = Vec<(String, &'a str)>;
        let one = |key: &str, value: &'static str| -> Tags<'static> { vec![(key.into(), value)] };
        let cases: Vec<(&str, i64, Value, Tags<'_>, &str)> = vec![
            (
                "!",
                0,
                inf,
                nine.clone(),
                "value is NaN or Infinite: Infinity for metric=! timestamp=0",
            ),
            (
                "!",
                0,
                Value::Integer(1),
                one("h", "1"),
                "bad timestamp=0 when trying to add value=[1]/0 to metric=!, tags={h=1}",
            ),
            (
                "!",
                1,
                Value::Integer(1),
                nine,
                "Too many tags: 9 maximum allowed: 8, tags: {a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1}",
            ),
            (
                "a b",
                1,
                Value::Integer(1),
                one("!", "!"),
                "Invalid metric name (\"a b\"): illegal character:  ",
            ),
            (
                "a",
                1,
                Value::Integer(1),
                one("k!", "v"),
                "Invalid tag name with value [v] (\"k!\"): illegal character: !",
            ),
            (
                "a",
                1,
                Value::Integer(1),
                one("k", "v v"),
                "Invalid tag value with key [k] (\"v v\"): illegal character:  ",
            ),
            (
                "a",
                1,
                Value::Integer(1),
                one("k", ""),
                "Invalid tag value with key [k]: empty string",
            ),
            (
                "a",
                1,
                Value::Integer(1),
                one("__name__", "x"),
                "Invalid tag name with value [x] (\"__name__\"): reserved name",
            ),
            (
                "a",
                10_000_000_000_000,
                Value::Float(0.1),
                one("k", "v"),
                "bad timestamp=10000000000000 when trying to add value=[63, -71, -103, -103, -103, -103, \
              -103, -102]/15 to metric=a, tags={k=v}",
            ),
        ];
        for (metric, timestamp, value, mut tags, want) in cases {
            let mut batch = batch();
            let error = push(&mut batch, metric.as_bytes(), timestamp, value, &mut tags);
            assert_eq!(error.unwrap_err().to_string(), want);
            assert!(batch.is_empty() && batch.bytes() == 0);
        }
    }
}
