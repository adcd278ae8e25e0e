//! The body of `POST /api/put`: one point or an array of points, each straight into the batch.
//!
//! Invariants: a refused point costs none of its neighbours; a body that is no JSON stores nothing;
//! texts are borrowed from the body, so a valid point without escapes allocates nothing.

use std::borrow::Cow;

use base::limits::SAMPLES_PER_REQUEST_MAX;
use model::{METRIC_NAME, SampleKind, WriteBatch};

use super::gate::{Gate, UnknownName};
use super::json::{JsonError, Reader, Scalar};
use super::number::{Value, parse_value};
use super::point::{PointError, before, pack_series, push, push_value, timestamp_ms};
use super::query_json::{push_double, push_integer, push_tags, push_text};
use crate::known_keys::Spelling;

/// Bytes of refusals that are described in an answer; the others are counted.
const ERRORS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Tags that are copied on the stack; a point with more is refused anyway.
const TAGS_ON_STACK: usize = 16;

/// Why a body is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutBodyError {
    /// There is no body.
    #[error("Missing request content")]
    Missing,
    /// Neither `{` nor `[`.
    #[error("The JSON must start as an object or an array")]
    NotPoints,
    /// `[]`.
    #[error("No datapoints found in content")]
    Empty,
    /// Not JSON, or not of the right shape.
    #[error("Unable to parse the given JSON")]
    Json(String),
    /// More than [`SAMPLES_PER_REQUEST_MAX`] points.
    #[error("Request has more than {SAMPLES_PER_REQUEST_MAX} data points")]
    TooMany,
}

impl From<JsonError> for PutBodyError {
    fn from(error: JsonError) -> Self {
        Self::Json(error.to_string())
    }
}

/// Why a point is refused. `Display` is the text that clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// `null` in the array.
    #[error("Unexpected null datapoint encountered in set.")]
    Null,
    /// No metric.
    #[error("Metric name was empty")]
    Metric,
    /// Not positive.
    #[error("Invalid timestamp")]
    Timestamp,
    /// No value.
    #[error("Empty value")]
    Value,
    /// No tags.
    #[error("Missing tags")]
    Tags,
    /// The value is no number.
    #[error("Unable to parse value to a number")]
    Number,
    /// A tag's value is `null`.
    #[error("Invalid tag value with key [{0}]: null")]
    NullTag(String),
    /// A name that may not be used.
    #[error("Unknown metric")]
    Unknown(#[from] UnknownName),
    /// The point breaks a rule.
    #[error(transparent)]
    Point(#[from] PointError),
}

impl PutError {
    /// The reason as the label of the metric that counts refusals.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Null | Self::Metric | Self::Tags => "malformed",
            Self::Timestamp => "invalid_timestamp",
            Self::Value | Self::Number => "invalid_value",
            Self::NullTag(_) | Self::Unknown(_) => "invalid_name",
            Self::Point(error) => error.label(),
        }
    }
}

/// What became of a body's points.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Points put into the batch, each a row of its own.
    pub points: u64,
    /// Points refused.
    pub failed: u64,
    /// The refused points and their errors, as items of a JSON array, where they were asked for.
    pub errors: Vec<u8>,
}

impl Decoded {
    /// Describes a refused point: `datapoint` is its JSON.
    pub(super) fn describe(&mut self, datapoint: impl FnOnce(&mut Vec<u8>), error: &str) {
        if self.errors.len() > ERRORS_BYTES_MAX {
            return;
        }
        if !self.errors.is_empty() {
            self.errors.push(b',');
        }
        self.errors.extend_from_slice(b"{\"datapoint\":");
        datapoint(&mut self.errors);
        self.errors.extend_from_slice(b",\"error\":");
        push_text(&mut self.errors, error);
        self.errors.push(b'}');
    }

    /// Describes a row that the store refused, in place of a point that was put into the batch.
    pub fn refuse_row(&mut self, batch: &WriteBatch, row: usize, error: &str, details: bool) {
        self.points = self.points.saturating_sub(1);
        self.failed += 1;
        if let Some(row) = batch.rows().get(row).filter(|_| details) {
            let labels = batch.labels(row);
            let (times, bits) = batch.samples(row);
            let mut value = Vec::new();
            match (row.kind, bits.first()) {
                (SampleKind::Integer, Some(bits)) => push_integer(&mut value, *bits as i64),
                (SampleKind::Float, Some(bits)) => push_double(&mut value, f64::from_bits(*bits)),
                // OpenTSDB has no histograms of this sort.
                (SampleKind::Histogram, _) | (_, None) => {}
            }
            let at_ms = times.first().copied().unwrap_or_default();
            let point = Point {
                metric: labels.get(METRIC_NAME).map(Cow::Borrowed),
                timestamp: if at_ms % 1000 == 0 { at_ms / 1000 } else { at_ms },
                value: Some(String::from_utf8_lossy(&value)),
                tags: labels
                    .iter()
                    .filter(|(name, _)| *name != METRIC_NAME)
                    .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
                    .collect(),
                has_tags: true,
                ..Point::default()
            };
            self.describe(|out| point.write(out), error);
        }
    }
}

/// Decodes `body` into `batch`. `details`: describe refused points. `refused` is called with the
/// metric's label of every refusal. On `Err` the batch must not be stored.
pub fn decode(
    body: &[u8],
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
    details: bool,
    refused: impl FnMut(&'static str),
) -> Result<Decoded, PutBodyError> {
    if body.is_empty() {
        return Err(PutBodyError::Missing);
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        PutBodyError::Json(format!("expected UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let mut decoder = Decoder { batch, gate, details, refused, decoded: Decoded::default() };
    let mut point = Point::default();
    each_point(text, |reader| match reader {
        Some(reader) => decoder.read(&mut point, reader),
        None => {
            decoder.refuse(None, &PutError::Null);
            Ok(())
        }
    })?;
    Ok(decoder.decoded)
}

/// Calls `take` before every object of a body that is one or an array of them, and with nothing for
/// a `null` among them.
#[inline]
pub(super) fn each_point<'a>(
    text: &'a str,
    mut take: impl FnMut(Option<&mut Reader<'a>>) -> Result<(), JsonError>,
) -> Result<(), PutBodyError> {
    let mut reader = Reader::new(text);
    match reader.peek() {
        Some(b'{') => take(Some(&mut reader))?,
        Some(b'[') => {
            reader.expect(b'[', "'['")?;
            let (mut first, mut count) = (true, 0);
            while reader.item(&mut first)? {
                if reader.peek() == Some(b'n') {
                    reader.skip()?;
                    take(None)?;
                } else {
                    take(Some(&mut reader))?;
                }
                count += 1;
                if count > SAMPLES_PER_REQUEST_MAX {
                    return Err(PutBodyError::TooMany);
                }
            }
            if count == 0 {
                return Err(PutBodyError::Empty);
            }
        }
        _ => return Err(PutBodyError::NotPoints),
    }
    Ok(())
}

struct Decoder<'b, G, F> {
    batch: &'b mut WriteBatch,
    gate: &'b mut G,
    details: bool,
    refused: F,
    decoded: Decoded,
}

impl<G: Gate, F: FnMut(&'static str)> Decoder<'_, G, F> {
    /// Reads the object that comes next and takes the point that it is.
    #[inline]
    fn read<'a>(
        &mut self,
        point: &mut Point<'a>,
        reader: &mut Reader<'a>,
    ) -> Result<(), JsonError> {
        point.read(reader, |metric, tags| {
            let parts = [metric.as_bytes(), tags.as_bytes()];
            self.gate.recognise(Spelling::of(&parts, self.batch.hasher()))
        })?;
        if point.store_known(self.batch) {
            self.decoded.points += 1;
            return Ok(());
        }
        point.spell_out()?;
        if let Some((key, value)) = self.gate.extra_tag() {
            point.tags.retain(|(known, _)| *known != key);
            point.tags.push((Cow::Owned(key.into_owned()), Cow::Owned(value.into_owned())));
            point.has_tags = true;
        }
        match point.store(self.batch).and_then(|()| self.admit(point)) {
            Ok(()) => self.decoded.points += 1,
            Err(error) => self.refuse(Some(point), &error),
        }
        Ok(())
    }

    fn admit(&mut self, point: &Point<'_>) -> Result<(), PutError> {
        let Some(row) = self.batch.rows().last() else {
            return Ok(());
        };
        let key = match (&point.metric, point.tags_text) {
            (Some(Cow::Borrowed(metric)), Some(tags)) => {
                Some(Spelling::of(&[metric.as_bytes(), tags.as_bytes()], self.batch.hasher()))
            }
            _ => None,
        };
        let keys: Vec<&str> = point.tags.iter().map(|(key, _)| key.as_ref()).collect();
        if let Err(error) = self.gate.admit(key, row.hash, self.batch.labels(row), &keys) {
            self.batch.abandon_row();
            return Err(error.into());
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, point: Option<&Point<'_>>, error: &PutError) {
        self.decoded.failed += 1;
        (self.refused)(error.label());
        if self.details {
            let write = |out: &mut Vec<u8>| match point {
                Some(point) => point.write(out),
                None => out.extend_from_slice(b"null"),
            };
            self.decoded.describe(write, &error.to_string());
        }
    }
}

/// A point as it is spelled; reused from point to point.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) metric: Option<Cow<'a, str>>,
    pub(super) timestamp: i64,
    pub(super) value: Option<Cow<'a, str>>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    has_tags: bool,
    /// Members beyond those of a point that are of interest, as they are spelled.
    pub(super) others: Vec<(Cow<'a, str>, &'a str)>,
    /// Which these are.
    pub(super) wanted: &'static [&'static str],
    /// A tag whose value is `null`.
    null_tag: Option<String>,
    /// The tags' object as it is spelled.
    tags_text: Option<&'a str>,
    /// The hash of the series, where its spelling was recognised; its tags are not read then.
    known: Option<u128>,
}

/// Makes labels of the spelling of a series that was admitted before: the metric and the object of
/// its tags.
fn unpack(raw: &[u8], _shared: &[u8], packed: &mut Vec<u8>) {
    let text = std::str::from_utf8(raw).unwrap_or_default();
    let (metric, tags) = text.split_at(text.find('{').unwrap_or(text.len()));
    let mut point = Point::default();
    if point.read_tags(&mut Reader::new(tags)).is_ok() {
        let pairs = point.tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        pack_series(metric.as_bytes(), &mut pairs.collect::<Vec<_>>(), packed);
    }
}

impl<'a> Point<'a> {
    /// A point that also keeps these members.
    pub(super) fn wanting(wanted: &'static [&'static str]) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Replaces the content by the object that comes next. `recognise` knows the hash of the series
    /// with a metric and an object of tags.
    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'a>,
        mut recognise: impl FnMut(&str, &str) -> Option<u128>,
    ) -> Result<(), JsonError> {
        self.metric = None;
        self.timestamp = 0;
        self.value = None;
        self.tags.clear();
        self.has_tags = false;
        self.null_tag = None;
        self.others.clear();
        (self.tags_text, self.known) = (None, None);
        reader.expect(b'{', "'{'")?;
        let mut first = true;
        while let Some(key) = reader.key(&mut first)? {
            // Told apart by length first: comparing texts is a call each.
            match (key.len(), &*key) {
                (6, "metric") => {
                    self.spell_out()?;
                    self.metric = as_text(reader.scalar()?);
                }
                (9, "timestamp") => self.timestamp = read_timestamp(reader)?,
                (5, "value") => self.value = as_text(reader.scalar()?),
                (4, "tags") => self.meet_tags(reader, &mut recognise)?,
                _ => self.read_other(key, reader)?,
            }
        }
        Ok(())
    }

    fn read_other(&mut self, key: Cow<'a, str>, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        reader.peek();
        let (rest, start) = (reader.rest(), reader.offset());
        reader.skip()?;
        if self.wanted.contains(&&*key) {
            let spelled = rest.get(..reader.offset() - start).unwrap_or_default();
            self.others.push((key, spelled));
        }
        Ok(())
    }

    /// Reads the tags, or only over them where the series is recognised.
    ///
    /// The end of the object is guessed at the first brace. The guess is wrong only where a brace
    /// stands inside a text; then what is in front of it ends in the middle of a text, and no whole
    /// object, which alone is ever learned, does that.
    #[inline]
    fn meet_tags(
        &mut self,
        reader: &mut Reader<'a>,
        mut recognise: impl FnMut(&str, &str) -> Option<u128>,
    ) -> Result<(), JsonError> {
        (self.tags_text, self.known) = (None, None);
        if reader.peek() == Some(b'{')
            && let Some(Cow::Borrowed(metric)) = &self.metric
            && let Some(length) = memchr::memchr(b'}', reader.rest().as_bytes())
        {
            let text = &reader.rest()[..=length];
            self.known = recognise(metric, text);
            if self.known.is_some() {
                self.tags_text = Some(text);
                reader.advance(text.len());
                return Ok(());
            }
        }
        let rest = reader.rest();
        let start = reader.offset();
        self.read_tags(reader)?;
        self.tags_text = rest.get(..reader.offset() - start).filter(|_| self.null_tag.is_none());
        Ok(())
    }

    /// Reads the tags that were only read over.
    fn spell_out(&mut self) -> Result<(), JsonError> {
        match self.known.take().and(self.tags_text) {
            Some(text) => self.read_tags(&mut Reader::new(text)),
            None => Ok(()),
        }
    }

    /// Appends a point of a recognised series with which nothing is wrong; false otherwise, with
    /// the batch untouched.
    #[inline]
    fn store_known(&self, batch: &mut WriteBatch) -> bool {
        let (Some(hash), Some(metric), Some(tags)) = (self.known, &self.metric, self.tags_text)
        else {
            return false;
        };
        let value = self.value.as_deref().and_then(|text| parse_value(text.as_bytes()).ok());
        let (Some(value), Some(at_ms)) = (value, timestamp_ms(self.timestamp)) else {
            return false;
        };
        if matches!(value, Value::Float(float) if !float.is_finite()) {
            return false;
        }
        batch.begin_known_row(&[metric.as_bytes(), tags.as_bytes()], hash, unpack);
        push_value(batch, at_ms, value);
        true
    }

    fn read_tags(&mut self, reader: &mut Reader<'a>) -> Result<(), JsonError> {
        self.tags.clear();
        self.has_tags = reader.peek() != Some(b'n');
        if !self.has_tags {
            return reader.skip();
        }
        reader.expect(b'{', "'{'")?;
        let mut first = true;
        // Keys in ascending order need not be compared with all before them.
        let mut ascending = true;
        while let Some(key) = reader.key(&mut first)? {
            let Some(value) = as_text(reader.scalar()?) else {
                self.null_tag = Some(key.into_owned());
                continue;
            };
            let last = self.tags.last().map(|last| last.0.as_bytes());
            ascending &= last.is_none_or(|last| before(last, key.as_bytes()));
            match if ascending {
                None
            } else {
                self.tags.iter_mut().find(|(known, _)| *known == key)
            } {
                Some(known) => known.1 = value,
                None => self.tags.push((key, value)),
            }
        }
        Ok(())
    }

    /// Checks that all is there, in the original's order; gives the metric and the value's text.
    #[inline]
    pub(super) fn check(&self, needs_value: bool) -> Result<(&str, &str), PutError> {
        let metric = self.metric.as_deref().filter(|name| !name.is_empty());
        let metric = metric.ok_or(PutError::Metric)?;
        if self.timestamp <= 0 {
            return Err(PutError::Timestamp);
        }
        let value = self.value.as_deref().filter(|text| !text.is_empty());
        let value = if needs_value { value.ok_or(PutError::Value)? } else { "" };
        if self.tags.is_empty() && self.null_tag.is_none() {
            return Err(PutError::Tags);
        }
        Ok((metric, value))
    }

    /// Checks the point in the original's order and appends it to the batch.
    #[inline]
    fn store(&self, batch: &mut WriteBatch) -> Result<(), PutError> {
        let (metric, value) = self.check(true)?;
        let value: Value = parse_value(value.as_bytes()).map_err(|_| PutError::Number)?;
        if let Some(key) = &self.null_tag {
            return Err(PutError::NullTag(key.clone()));
        }
        let (metric, at) = (metric.as_bytes(), self.timestamp);
        // A copy of the borrows: the batch wants its tags sorted, the client sees its own order.
        let mut stack = [(&b""[..], &b""[..]); TAGS_ON_STACK];
        if self.tags.len() <= TAGS_ON_STACK {
            for (slot, (key, value)) in stack.iter_mut().zip(&self.tags) {
                *slot = (key.as_bytes(), value.as_bytes());
            }
            push(batch, metric, at, value, &mut stack[..self.tags.len()])?;
        } else {
            let pairs = self.tags.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            push(batch, metric, at, value, &mut pairs.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Writes the point as the client is shown it.
    fn write(&self, out: &mut Vec<u8>) {
        self.write_open(out);
        out.push(b'}');
    }

    /// Writes the point without the brace behind it.
    pub(super) fn write_open(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(metric) = &self.metric {
            out.extend_from_slice(b"\"metric\":");
            push_text(out, metric);
            out.push(b',');
        }
        out.extend_from_slice(b"\"timestamp\":");
        push_integer(out, self.timestamp);
        if let Some(value) = &self.value {
            out.extend_from_slice(b",\"value\":");
            push_text(out, value);
        }
        if self.has_tags {
            out.extend_from_slice(b",\"tags\":");
            push_tags(out, self.tags.iter().map(|(key, value)| (&**key, &**value)));
        }
    }
}

/// The text of a scalar as the original's reader makes one of it.
#[inline]
pub(super) fn as_text(scalar: Scalar<'_>) -> Option<Cow<'_, str>> {
    match scalar {
        Scalar::Text(text) => Some(text),
        Scalar::Number(text) => Some(Cow::Borrowed(text)),
        Scalar::Bool(true) => Some(Cow::Borrowed("true")),
        Scalar::Bool(false) => Some(Cow::Borrowed("false")),
        Scalar::Null => None,
    }
}

/// An integer, the text of one, or a fraction without its fraction; `null` and `""` are 0.
#[inline]
fn read_timestamp(reader: &mut Reader<'_>) -> Result<i64, JsonError> {
    let offset = reader.offset();
    let number = match reader.scalar()? {
        Scalar::Number(text) => match text.parse() {
            Ok(number) => Some(number),
            Err(_) => text.parse().ok().filter(in_range).map(|number: f64| number as i64),
        },
        Scalar::Text(text) => match text.trim() {
            "" => Some(0),
            text => text.parse().ok(),
        },
        Scalar::Null => Some(0),
        Scalar::Bool(_) => None,
    };
    number.ok_or(JsonError { expected: "a timestamp", offset })
}

fn in_range(number: &f64) -> bool {
    number.abs() < 9.2e18
}

#[cfg(test)]
mod tests {
    use super::super::gate::OpenGate;
    use super::*;
    use base::rng::Rng;
    use model::{SeriesHasher, TenantId};

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    fn run(body: &str) -> Result<(WriteBatch, Decoded), PutBodyError> {
        let mut batch = batch();
        let decoded = decode(body.as_bytes(), &mut batch, &mut OpenGate, true, |_| {})?;
        Ok((batch, decoded))
    }

    #[test]
    fn points_keep_the_spelling_of_their_numbers() {
        let body = r#" [
            {"metric":"m","timestamp":1356998400,"value":5,"tags":{"h":1}},
            {"metric":"m","timestamp":"1356998400500","value":"5.0","tags":{"h":"1"},"x":[{}]},
            {"value":1e3,"tags":{"h":"a\u0062"},"timestamp":1356998401.9,"metric":"m"}
        ] trailing"#;
        let (batch, decoded) = run(body).unwrap();
        assert_eq!((decoded.points, decoded.failed), (3, 0));
        let rows = batch.rows();
        assert_eq!(batch.labels(&rows[0]).to_string(), r#"{__name__="m", h="1"}"#);
        assert_eq!(batch.labels(&rows[2]).to_string(), r#"{__name__="m", h="ab"}"#);
        assert_eq!(batch.samples(&rows[0]), (&[1_356_998_400_000][..], &[5][..]));
        assert_eq!(rows[0].kind, SampleKind::Integer);
        let bits = [5.0f64.to_bits()];
        assert_eq!(batch.samples(&rows[1]), (&[1_356_998_400_500][..], &bits[..]));
        assert_eq!(batch.samples(&rows[2]).0, [1_356_998_401_000]);
    }

    #[test]
    fn refused_points_are_shown_with_the_reason_and_cost_no_neighbour() {
        let tags = r#""tags":{"h":"1"}"#;
        for (point, error) in [
            ("null".to_owned(), "Unexpected null datapoint encountered in set."),
            (r#"{"timestamp":0}"#.to_owned(), "Metric name was empty"),
            (format!(r#"{{"metric":"m","timestamp":-1,"value":"1",{tags}}}"#), "Invalid timestamp"),
            (format!(r#"{{"metric":"m","timestamp":1,"value":"",{tags}}}"#), "Empty value"),
            (r#"{"metric":"m","timestamp":1,"value":"1","tags":{}}"#.to_owned(), "Missing tags"),
            (
                format!(r#"{{"metric":"m","timestamp":1,"value":"true",{tags}}}"#),
                "Unable to parse value to a number",
            ),
            (
                r#"{"metric":"m","timestamp":1,"value":"1","tags":{"z":"!","a":"1"}}"#.to_owned(),
                "Invalid tag value with key [z] (\\\"!\\\"): illegal character: !",
            ),
        ] {
            let body =
                format!(r#"[{point},{{"metric":"m","timestamp":1,"value":1,"tags":{{"h":"1"}}}}]"#);
            let (batch, decoded) = run(&body).unwrap();
            assert_eq!((decoded.points, decoded.failed, batch.rows().len()), (1, 1, 1), "{point}");
            let error = error.replace("\\\\", "\\");
            let want = format!(r#"{{"datapoint":{point},"error":"{error}"}}"#);
            assert_eq!(String::from_utf8(decoded.errors).unwrap(), want);
        }
    }

    #[test]
    fn bodies_that_are_no_points_are_refused_whole() {
        for (body, want) in [
            ("", "Missing request content"),
            ("hello", "The JSON must start as an object or an array"),
            ("[]", "No datapoints found in content"),
            ("[{\"metric\":", "Unable to parse the given JSON"),
            ("[1]", "Unable to parse the given JSON"),
            ("{\"value\":{}}", "Unable to parse the given JSON"),
            ("{\"timestamp\":\"abc\"}", "Unable to parse the given JSON"),
            ("{\"timestamp\":true}", "Unable to parse the given JSON"),
            ("{\"tags\":[]}", "Unable to parse the given JSON"),
        ] {
            assert_eq!(run(body).unwrap_err().to_string(), want, "{body}");
        }
        assert!(
            decode(b"{\"metric\":\"\xff\"}", &mut batch(), &mut OpenGate, false, |_| {}).is_err()
        );
    }

    #[test]
    fn a_row_that_the_store_refuses_is_shown_again() {
        let body = r#"{"metric":"m","timestamp":1356998400,"value":1.5,"tags":{"h":"1"}}"#;
        let (batch, mut decoded) = run(body).unwrap();
        decoded.refuse_row(&batch, 0, "too old", true);
        let want =
            format!(r#"{{"datapoint":{},"error":"too old"}}"#, body.replace("1.5", "\"1.5\""));
        assert_eq!(String::from_utf8(decoded.errors).unwrap(), want);
        assert_eq!((decoded.points, decoded.failed), (0, 1));
    }

    #[test]
    fn any_body_is_survived() {
        let parts = [
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "\"metric\"",
            "\"m\"",
            "\"timestamp\"",
            "1",
            "\"value\"",
            "1.5",
            "\"tags\"",
            "{\"a\":\"b\"}",
            "null",
            "\\",
            "\"",
            "{\"metric\":\"m\",\"timestamp\":1,\"value\":1,\"tags\":{\"a\":\"b\"}}",
            "NaN",
        ];
        let mut rng = Rng::new(11);
        for _ in 0..5_000 {
            let body: String =
                (0..rng.below(16)).map(|_| parts[rng.below(parts.len() as u64) as usize]).collect();
            let mut batch = batch();
            if let Ok(decoded) = decode(body.as_bytes(), &mut batch, &mut OpenGate, true, |_| {}) {
                assert_eq!(decoded.points as usize, batch.rows().len(), "{body}");
                let array = format!("[{}]", String::from_utf8(decoded.errors).unwrap());
                assert!(serde_json::from_str::<serde_json::Value>(&array).is_ok(), "{array}");
            }
        }
    }
}
