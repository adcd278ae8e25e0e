//! What OpenTSDB answers: results, errors, lists, and its spelling of numbers and texts.

use std::io::Write as _;

use model::{METRIC_NAME, Points, ResultSeries};

/// How points look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// `[[time, value], …]` instead of `{"time": value, …}`.
    pub arrays: bool,
    /// Times in milliseconds instead of seconds.
    pub milliseconds: bool,
    /// NaN as `null` instead of `"NaN"`.
    pub nan_as_null: bool,
}

/// Members of a result beside its points, each as ready JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The sub-query.
    pub query: Option<&'a [u8]>,
    /// Numeric names of the series behind the result.
    pub tsuids: Option<&'a [u8]>,
    /// Annotations of these series.
    pub annotations: Option<&'a [u8]>,
    /// Annotations of no series.
    pub global_annotations: Option<&'a [u8]>,
    /// Figures about the query, behind the points.
    pub stats: Option<&'a [u8]>,
}

/// Appends one result.
pub fn push_result(out: &mut Vec<u8>, series: &ResultSeries, style: Style, extras: Extras<'_>) {
    out.extend_from_slice(b"{\"metric\":");
    push_text(out, series.labels.metric_name().unwrap_or_default());
    out.extend_from_slice(b",\"tags\":");
    push_tags(out, series.labels.iter().filter(|(name, _)| *name != METRIC_NAME));
    out.extend_from_slice(b",\"aggregateTags\":");
    push_texts(out, series.disagreeing.iter().map(String::as_str));
    for (name, json) in [
        ("query", extras.query),
        ("tsuids", extras.tsuids),
        ("annotations", extras.annotations),
        ("globalAnnotations", extras.global_annotations),
    ] {
        if let Some(json) = json {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            out.extend_from_slice(json);
        }
    }
    out.extend_from_slice(b",\"dps\":");
    push_points(out, &series.points, style);
    if let Some(stats) = extras.stats {
        out.extend_from_slice(b",\"stats\":");
        out.extend_from_slice(stats);
    }
    out.push(b'}');
}

fn push_points(out: &mut Vec<u8>, points: &Points, style: Style) {
    out.push(if style.arrays { b'[' } else { b'{' });
    for (index, (at_ms, value)) in points.timestamps.iter().zip(&points.values).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let time = if style.milliseconds { *at_ms } else { at_ms.div_euclid(1000) };
        if style.arrays {
            out.push(b'[');
            push_integer(out, time);
            out.push(b',');
        } else {
            out.push(b'"');
            push_integer(out, time);
            out.extend_from_slice(b"\":");
        }
        match points.integers.get(index).copied().flatten() {
            Some(integer) => push_integer(out, integer),
            None if value.is_nan() && style.nan_as_null => out.extend_from_slice(b"null"),
            None if value.is_finite() => push_double(out, *value),
            None => {
                out.push(b'"');
                push_double(out, *value);
                out.push(b'"');
            }
        }
        if style.arrays {
            out.push(b']');
        }
    }
    out.push(if style.arrays { b']' } else { b'}' });
}

/// Appends a float as Java prints it: `1.0`, `0.001`, `1.0E7`, `-1.5E-10`, `NaN`, `Infinity`. The
/// digits are the shortest that read back, of which Java before 19 sometimes prints one more.
pub fn push_double(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) {
        if size == size.trunc() {
            if value.is_sign_negative() {
                out.push(b'-');
            }
            push_integer(out, size as i64);
            out.extend_from_slice(b".0");
        } else {
            let _ = write!(out, "{value}");
        }
        return;
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    let _ = write!(out, "{digits}{point}E{exponent}");
}

/// Appends an integer in decimal.
#[inline]
pub fn push_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends a text in quotes.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..index]);
        plain = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04X}");
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Appends an object of texts.
pub fn push_tags<'t>(out: &mut Vec<u8>, tags: impl Iterator<Item = (&'t str, &'t str)>) {
    out.push(b'{');
    for (index, (key, value)) in tags.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(out, key);
        out.push(b':');
        push_text(out, value);
    }
    out.push(b'}');
}

/// Appends an array of texts.
pub fn push_texts<'t>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = &'t str>) {
    out.push(b'[');
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(out, text);
    }
    out.push(b']');
}

/// The body of an error.
pub fn error(code: u16, message: &str, details: Option<&str>) -> Vec<u8> {
    let mut out = b"{\"error\":{\"code\":".to_vec();
    push_integer(&mut out, i64::from(code));
    out.extend_from_slice(b",\"message\":");
    push_text(&mut out, message);
    if let Some(details) = details {
        out.extend_from_slice(b",\"details\":");
        push_text(&mut out, details);
    }
    out.extend_from_slice(b"}}");
    out
}

/// What a put request asks to be told; `None` of both means nothing but the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutFlags {
    /// Counts.
    pub summary: bool,
    /// Counts and the refused points.
    pub details: bool,
    /// The number of timeouts, since a timeout was given.
    pub timeouts: bool,
}

/// The answer to a put request that asks for one. `errors` is the inside of an array.
pub fn put_summary(flags: PutFlags, success: u64, failed: u64, errors: &[u8]) -> Vec<u8> {
    let mut out = format!("{{\"success\":{success}").into_bytes();
    if flags.timeouts {
        out.extend_from_slice(b",\"timeouts\":0");
    }
    let _ = write!(out, ",\"failed\":{failed}");
    if flags.details {
        out.extend_from_slice(b",\"errors\":[");
        out.extend_from_slice(errors);
        out.push(b']');
    }
    out.push(b'}');
    out
}

/// One series of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The series' numeric name, where it has one.
    pub tsuid: &'a str,
    /// Its labels.
    pub labels: &'a model::Labels,
}

/// The answer to a look-up. `tags` is the question's list, with `null` for an empty side.
pub fn lookup(
    metric: Option<&str>,
    tags: Option<&[(Option<String>, Option<String>)]>,
    limit: i64,
    took_ms: f64,
    results: &[Found<'_>],
) -> Vec<u8> {
    let mut out = b"{\"type\":\"LOOKUP\"".to_vec();
    if let Some(metric) = metric {
        out.extend_from_slice(b",\"metric\":");
        push_text(&mut out, metric);
    }
    if let Some(tags) = tags {
        out.extend_from_slice(b",\"tags\":[");
        for (index, (key, value)) in tags.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{\"key\":" } else { b"{\"key\":" });
            push_text_or_null(&mut out, key.as_deref());
            out.extend_from_slice(b",\"value\":");
            push_text_or_null(&mut out, value.as_deref());
            out.push(b'}');
        }
        out.push(b']');
    }
    let _ = write!(out, ",\"limit\":{limit},\"time\":");
    push_double(&mut out, took_ms);
    out.extend_from_slice(b",\"results\":[");
    for (index, found) in results.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"tsuid\":" } else { b"{\"tsuid\":" });
        push_text(&mut out, found.tsuid);
        out.extend_from_slice(b",\"metric\":");
        push_text(&mut out, found.labels.metric_name().unwrap_or_default());
        out.extend_from_slice(b",\"tags\":");
        push_tags(&mut out, found.labels.iter().filter(|(name, _)| *name != METRIC_NAME));
        out.push(b'}');
    }
    let _ = write!(out, "],\"startIndex\":0,\"totalResults\":{}}}", results.len());
    out
}

fn push_text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        push_double(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_look_like_javas() {
        for (value, want) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.0009, "9.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1.5e-10, "1.5E-10"),
            (3.4028234663852886e38, "3.4028234663852886E38"),
            (5e-324, "5.0E-324"),
            (1e300, "1.0E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), want);
        }
    }

    #[test]
    fn results_have_the_originals_shape() {
        let series = ResultSeries {
            labels: Labels::from_pairs([("__name__", "a\"b"), ("h", "1")]),
            title: None,
            disagreeing: vec!["x".to_owned()].into(),
            grid: None,
            points: Points {
                timestamps: vec![1_000, 2_500, 3_000],
                values: vec![1.0, f64::NAN, 2.5],
                integers: vec![Some(1), None, None],
                histograms: vec![],
            },
        };
        let render = |style: Style| {
            let mut out = Vec::new();
            push_result(&mut out, &series, style, Extras::default());
            String::from_utf8(out).unwrap()
        };
        let plain = Style { arrays: false, milliseconds: false, nan_as_null: false };
        let head = r#"{"metric":"a\"b","tags":{"h":"1"},"aggregateTags":["x"],"dps":"#;
        let want = format!(r#"{head}{{"1":1,"2":"NaN","3":2.5}}}}"#);
        assert_eq!(render(plain), want);
        let style = Style { arrays: true, milliseconds: true, nan_as_null: true };
        assert_eq!(render(style), format!(r#"{head}[[1000,1],[2500,null],[3000,2.5]]}}"#));
    }

    #[test]
    fn errors_and_texts_are_escaped() {
        let body = error(400, "a\n\"b\"\u{1}", Some("d"));
        let want = r#"{"error":{"code":400,"message":"a\n\"b\"\u0001","details":"d"}}"#;
        assert_eq!(String::from_utf8(body).unwrap(), want);
    }
}
