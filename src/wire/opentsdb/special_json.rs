//! The bodies of `POST /api/rollup` and `POST /api/histogram`: points with a few members more.

use std::borrow::Cow;

use model::WriteBatch;

use super::gate::Gate;
use super::histogram::SimpleHistogram;
use super::json::Reader;
use super::number::{Value, parse_value};
use super::point::{PointError, PutPointError, bad_timestamp, push_as, push_value};
use super::put_json::{Decoded, Point, PutBodyError, PutError, as_text, each_point};
use super::query_json::{push_integer, push_text};

/// Last timestamp in seconds; rollups have no others.
const SECONDS_MAX: i64 = u32::MAX as i64;
const ROLLUP_MEMBERS: &[&str] = &["interval", "aggregator", "groupByAggregator"];
const HISTOGRAM_MEMBERS: &[&str] = &["id", "buckets", "underflow", "overflow"];

/// What a rollup says about how it came to be; a missing part is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollupParts {
    /// `1h`.
    pub interval: String,
    /// The function over time.
    pub aggregator: String,
    /// The function over tags.
    pub group_by: String,
}

/// Decodes rollups into `batch`. `stored` gives the metric under which a point is kept, or the text
/// of the refusal.
pub fn decode_rollups(
    body: &[u8],
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
    details: bool,
    stored: impl Fn(&RollupParts, &str) -> Result<String, String>,
) -> Result<Decoded, PutBodyError> {
    decode(body, ROLLUP_MEMBERS, details, |point, echo| {
        let text = |name: &str| member_text(point, name).unwrap_or_default();
        let parts = RollupParts {
            interval: text("interval"),
            aggregator: text("aggregator"),
            group_by: text("groupByAggregator"),
        };
        for name in ROLLUP_MEMBERS {
            if let Some(value) = member_text(point, name) {
                echo.extend_from_slice(format!(",\"{name}\":").as_bytes());
                push_text(echo, &value);
            }
        }
        let (metric, value) = point.check(true).map_err(|error| error.to_string())?;
        if parts.group_by.is_empty() && parts.interval.is_empty() {
            return Err("Missing interval".to_owned());
        }
        if parts.group_by.is_empty() && parts.aggregator.is_empty() {
            return Err("Missing aggregator".to_owned());
        }
        let value = parse_value(value.as_bytes()).map_err(|_| PutError::Number.to_string())?;
        let stored = stored(&parts, metric)?;
        let mut tags = tags(point);
        push_rollup(batch, gate, (metric, point.timestamp, value), &mut tags, &stored).map_err(told)
    })
}

/// Appends one rollup under the metric `stored`.
pub fn push_rollup<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
    point: (&str, i64, Value),
    tags: &mut [(K, V)],
    stored: &str,
) -> Result<(), PutPointError> {
    let (metric, timestamp, value) = point;
    if timestamp > SECONDS_MAX {
        return Err(bad_timestamp(metric, timestamp, value, tags).into());
    }
    push_as(batch, gate, point, tags, stored, |batch, at_ms| {
        push_value(batch, at_ms, value);
        Ok(())
    })
}

/// Decodes histograms into `batch`.
pub fn decode_histograms(
    body: &[u8],
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
    details: bool,
) -> Result<Decoded, PutBodyError> {
    decode(body, HISTOGRAM_MEMBERS, details, |point, echo| {
        for name in ["id", "underflow", "overflow"] {
            let number = member_text(point, name).and_then(|text| text.parse().ok());
            echo.extend_from_slice(format!(",\"{name}\":").as_bytes());
            push_integer(echo, number.unwrap_or_default());
        }
        if let Some((_, buckets)) = point.others.iter().find(|(name, _)| name == "buckets") {
            echo.extend_from_slice(b",\"buckets\":");
            echo.extend_from_slice(buckets.as_bytes());
        }
        let (metric, _) = point.check(false).map_err(|error| error.to_string())?;
        let histogram = sent(point)?;
        let mut tags = tags(point);
        push_histogram(batch, gate, (metric, point.timestamp), &mut tags, &histogram).map_err(told)
    })
}

/// Appends one histogram.
pub fn push_histogram<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    batch: &mut WriteBatch,
    gate: &mut impl Gate,
    point: (&str, i64),
    tags: &mut [(K, V)],
    histogram: &SimpleHistogram,
) -> Result<(), PutPointError> {
    let bad = |text: String| PointError::Histogram(text);
    let native = histogram.to_native().map_err(|error| bad(error.to_string()))?;
    let (metric, timestamp) = point;
    let point = (metric, timestamp, Value::Integer(0));
    push_as(batch, gate, point, tags, metric, |batch, at_ms| {
        batch.push_histogram(at_ms, &native).map_err(|error| bad(error.to_string()))
    })
}

/// The histogram of a point: encoded, or bucket by bucket.
fn sent(point: &Point<'_>) -> Result<SimpleHistogram, String> {
    if let Some(value) = point.value.as_deref().filter(|value| !value.is_empty()) {
        return SimpleHistogram::from_base64(value).map_err(|error| error.to_string());
    }
    let count = |name: &str| -> Result<u64, String> {
        let text = member_text(point, name).unwrap_or_else(|| "0".to_owned());
        text.parse().map_err(|_| format!("For input string: \"{text}\""))
    };
    let mut histogram = SimpleHistogram {
        buckets: Vec::new(),
        underflow: count("underflow")?,
        overflow: count("overflow")?,
    };
    let buckets = point.others.iter().find(|(name, _)| name == "buckets");
    if let Some((_, spelled)) = buckets.filter(|(_, spelled)| spelled.starts_with('{')) {
        read_buckets(spelled, &mut histogram)?;
    }
    if histogram.buckets.is_empty() {
        let text = "Histogram buckets cannot be null or empty if 'value' is empty.";
        return Err(text.to_owned());
    }
    Ok(histogram)
}

fn read_buckets(spelled: &str, histogram: &mut SimpleHistogram) -> Result<(), String> {
    let mut reader = Reader::new(spelled);
    reader.expect(b'{', "'{'").map_err(|error| error.to_string())?;
    let mut first = true;
    while let Some(bounds) = reader.key(&mut first).map_err(|error| error.to_string())? {
        let count = reader.scalar().map_err(|error| error.to_string())?;
        let count = as_text(count).unwrap_or_default();
        let count = count.parse().map_err(|_| format!("For input string: \"{count}\""))?;
        histogram.push(&bounds, count).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What a client of the HTTP endpoints is told.
fn told(error: PutPointError) -> String {
    match error {
        PutPointError::Point(error) => error.to_string(),
        PutPointError::Unknown(unknown) => PutError::Unknown(unknown).to_string(),
    }
}

fn tags<'p>(point: &'p Point<'_>) -> Vec<(&'p str, &'p str)> {
    point.tags.iter().map(|(key, value)| (&**key, &**value)).collect()
}

/// A member that is a scalar, as text.
fn member_text(point: &Point<'_>, name: &str) -> Option<String> {
    let (_, spelled) = point.others.iter().rev().find(|(key, _)| key == name)?;
    as_text(Reader::new(spelled).scalar().ok()?).map(Cow::into_owned)
}

/// Decodes a body; `take` appends a point to what it decodes into and writes to its second argument
/// the members with which the point is shown when it is refused, for which it gives the reason.
fn decode(
    body: &[u8],
    wanted: &'static [&'static str],
    details: bool,
    mut take: impl FnMut(&Point<'_>, &mut Vec<u8>) -> Result<(), String>,
) -> Result<Decoded, PutBodyError> {
    if body.is_empty() {
        return Err(PutBodyError::Missing);
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        PutBodyError::Json(format!("expected UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let mut decoded = Decoded::default();
    let mut point = Point::wanting(wanted);
    each_point(text, |reader| {
        let mut echo = Vec::new();
        let (refusal, shown) = match reader {
            Some(reader) => {
                point.read(reader, |_, _| None)?;
                (take(&point, &mut echo).err(), true)
            }
            None => (Some(PutError::Null.to_string()), false),
        };
        let Some(error) = refusal else {
            decoded.points += 1;
            return Ok(());
        };
        decoded.failed += 1;
        if details {
            let write = |out: &mut Vec<u8>| {
                if shown {
                    point.write_open(out);
                    out.extend_from_slice(&echo);
                    out.push(b'}');
                } else {
                    out.extend_from_slice(b"null");
                }
            };
            decoded.describe(write, &error);
        }
        Ok(())
    })?;
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::super::gate::OpenGate;
    use super::*;
    use base::rng::Rng;
    use model::{SampleKind, SeriesHasher, TenantId};

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    fn rollups(body: &str) -> (WriteBatch, Decoded) {
        let mut batch = batch();
        let stored = |parts: &RollupParts, metric: &str| match parts.interval.as_str() {
            "2h" => Err("Unexpected exception".to_owned()),
            interval => Ok(format!("{interval}:{}:{metric}", parts.aggregator)),
        };
        let decoded = decode_rollups(body.as_bytes(), &mut batch, &mut OpenGate, true, stored);
        (batch, decoded.unwrap())
    }

    #[test]
    fn rollups_are_kept_under_a_metric_of_their_own() {
        let body = r#"[{"metric":"r","timestamp":1356998400,"value":10,"tags":{"h":"1"},
            "interval":"1h","aggregator":"sum"},null]"#;
        let (batch, decoded) = rollups(body);
        assert_eq!((decoded.points, decoded.failed), (1, 1));
        let row = batch.rows()[0];
        assert_eq!(batch.labels(&row).to_string(), r#"{__name__="1h:sum:r", h="1"}"#);
        assert_eq!(batch.samples(&row), (&[1_356_998_400_000][..], &[10][..]));
    }

    #[test]
    fn refused_rollups_are_shown_with_all_their_members() {
        let point = |more: &str| {
            format!(r#"{{"metric":"r","timestamp":1,"value":"1","tags":{{"h":"1"}}{more}}}"#)
        };
        for (more, error) in [
            ("", "Missing interval"),
            (r#","interval":"1h""#, "Missing aggregator"),
            (r#","interval":"2h","aggregator":"sum""#, "Unexpected exception"),
        ] {
            let (batch, decoded) = rollups(&point(more));
            assert!(batch.is_empty());
            let want = format!(r#"{{"datapoint":{},"error":"{error}"}}"#, point(more));
            assert_eq!(String::from_utf8(decoded.errors).unwrap(), want);
        }
        let (_, decoded) = rollups(
            r#"{"metric":"r","timestamp":1356998400005,"value":10,"tags":{"h":"1"},"interval":"1h","aggregator":"sum"}"#,
        );
        let errors = String::from_utf8(decoded.errors).unwrap();
        assert!(errors.contains("bad timestamp=1356998400005 when trying"), "{errors}");
    }

    #[test]
    fn histograms_come_bucket_by_bucket_or_encoded() {
        let body = r#"[{"metric":"h","timestamp":1356998400,"tags":{"h":"1"},"underflow":1,
            "overflow":"2","buckets":{"0,1.75":12,"1.75,3.5":16}},
            {"metric":"h","timestamp":1356998401,"tags":{"h":"1"},"id":0,"value":"AAEAAAAAP4AAAAUAAA=="},
            {"metric":"h","timestamp":1356998400,"tags":{"h":"1"}}]"#;
        let mut batch = batch();
        let decoded = decode_histograms(body.as_bytes(), &mut batch, &mut OpenGate, true).unwrap();
        assert_eq!((decoded.points, decoded.failed), (2, 1));
        assert!(batch.rows().iter().all(|row| row.kind == SampleKind::Histogram));
        let want = r#"{"datapoint":{"metric":"h","timestamp":1356998400,"tags":{"h":"1"},"id":0,"underflow":0,"overflow":0},"error":"Histogram buckets cannot be null or empty if 'value' is empty."}"#;
        assert_eq!(String::from_utf8(decoded.errors).unwrap(), want);
    }

    #[test]
    fn any_body_is_survived() {
        let body = r#"[{"metric":"h","timestamp":1,"tags":{"h":"1"},"buckets":{"0,1":1},"interval":"1h","aggregator":"sum","value":1}]"#;
        let mut rng = Rng::new(4);
        for _ in 0..5_000 {
            let mut damaged = body.as_bytes().to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.below(damaged.len() as u64) as usize;
                damaged[at] = rng.below(128) as u8;
            }
            let mut batch = batch();
            let _ = decode_histograms(&damaged, &mut batch, &mut OpenGate, true);
            let _ =
                decode_rollups(&damaged, &mut batch, &mut OpenGate, true, |_, m| Ok(m.to_owned()));
            batch.rows().iter().for_each(|row| assert!(batch.labels(row).check().is_ok()));
        }
    }
}
