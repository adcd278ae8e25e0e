//! The text format of `/federate`: one sample a line, grouped by metric.

use std::fmt::Write as _;

use model::{Histogram, LabelsRef, METRIC_NAME};

pub mod protobuf;

/// How names outside the classic characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStyle {
    /// Every other character as an underscore: for scrapers that ask for nothing else.
    Underscores,
    /// As they are, in quotes: `escaping=allow-utf-8`.
    Utf8,
    /// Dots as `_dot_`, underscores doubled: `escaping=dots`.
    Dots,
    /// `U__` and code points: `escaping=values`.
    Values,
}

impl NameStyle {
    /// The style that a client's `escaping` names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "underscores" => Some(Self::Underscores),
            "allow-utf-8" => Some(Self::Utf8),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Underscores => "underscores",
            Self::Utf8 => "allow-utf-8",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// Appends the line that opens a metric of histograms.
pub fn write_histogram_type(out: &mut String, metric: &str, style: NameStyle) {
    out.push_str("# TYPE ");
    write_name(out, metric, style, true);
    out.push_str(" histogram\n");
}

/// Appends a histogram with custom buckets as the series of a classic one.
pub fn write_histogram(
    out: &mut String,
    labels: LabelsRef<'_>,
    histogram: &Histogram,
    at_ms: i64,
    style: NameStyle,
) {
    let mut line = |suffix: &str, bound: Option<f64>, value: f64| {
        write_series(out, labels, (suffix, bound), style);
        write_float(out, value);
        let _ = writeln!(out, " {at_ms}");
    };
    for (bound, count) in classic_buckets(histogram) {
        line("_bucket", Some(bound), count);
    }
    line("_bucket", Some(f64::INFINITY), histogram.count);
    line("_sum", None, histogram.sum);
    line("_count", None, histogram.count);
}

/// Upper bounds and cumulated counts of custom buckets, without the last, infinite one.
fn classic_buckets(histogram: &Histogram) -> impl Iterator<Item = (f64, f64)> + '_ {
    let mut buckets = histogram.positive.iter().peekable();
    let mut sum = 0.0;
    histogram.bounds.iter().zip(0i32..).map(move |(bound, place)| {
        while let Some((_, count)) = buckets.next_if(|(index, _)| *index <= place) {
            sum += count;
        }
        (*bound, sum)
    })
}

/// Appends the line that opens a metric.
pub fn write_type(out: &mut String, metric: &str, style: NameStyle) {
    out.push_str("# TYPE ");
    write_name(out, metric, style, true);
    out.push_str(" untyped\n");
}

/// Appends a sample; a series without the label `instance` gets an empty one, so that the scraper does not
/// put its own in.
pub fn write_sample(
    out: &mut String,
    labels: LabelsRef<'_>,
    value: f64,
    at_ms: i64,
    style: NameStyle,
) {
    write_series(out, labels, ("", None), style);
    write_float(out, value);
    let _ = writeln!(out, " {at_ms}");
}

/// Appends name and labels with the blank behind them; the label `le` comes last.
fn write_series(
    out: &mut String,
    labels: LabelsRef<'_>,
    (suffix, bound): (&str, Option<f64>),
    style: NameStyle,
) {
    let metric = labels.get(METRIC_NAME).unwrap_or_default();
    let metric = format!("{metric}{suffix}");
    let is_quoted = style == NameStyle::Utf8 && !is_classic(&metric, true);
    if !is_quoted {
        write_name(out, &metric, style, true);
    }
    out.push('{');
    let mut separator = "";
    if is_quoted {
        write_name(out, &metric, style, true);
        separator = ",";
    }
    for (name, text) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        out.push_str(separator);
        write_name(out, name, style, false);
        out.push_str("=\"");
        write_escaped(out, text);
        out.push('"');
        separator = ",";
    }
    if labels.get("instance").is_none() {
        let _ = write!(out, "{separator}instance=\"\"");
    }
    if let Some(bound) = bound {
        out.push_str(",le=\"");
        write_float(out, bound);
        out.push('"');
    }
    out.push_str("} ");
}

fn is_classic(name: &str, is_metric: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (is_metric && c == ':');
    name.chars().all(fits) && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

fn write_name(out: &mut String, name: &str, style: NameStyle, is_metric: bool) {
    if style == NameStyle::Utf8 && !is_classic(name, is_metric) {
        out.push('"');
        write_escaped(out, name);
        out.push('"');
    } else {
        escape_name(out, name, style);
    }
}

/// Appends a name in the style's characters; `model.EscapeName` of Prometheus's common library.
pub fn escape_name(out: &mut String, name: &str, style: NameStyle) {
    if style == NameStyle::Utf8 || is_classic(name, true) {
        out.push_str(name);
        return;
    }
    if style == NameStyle::Values {
        out.push_str("U__");
    }
    for (index, c) in name.char_indices() {
        let fits = c.is_ascii_alphabetic() || c == ':' || (c.is_ascii_digit() && index > 0);
        match (style, c) {
            (NameStyle::Underscores, '_') => out.push('_'),
            (_, '_') => out.push_str("__"),
            (NameStyle::Dots, '.') => out.push_str("_dot_"),
            _ if fits => out.push(c),
            (NameStyle::Dots, _) => out.push_str("__"),
            (NameStyle::Values, c) => {
                let _ = write!(out, "_{:x}_", u32::from(c));
            }
            _ => out.push('_'),
        }
    }
}

fn write_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// Go's shortest `%g`: an exponent from 1e+06 on and below 1e-04.
fn write_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if value != 0.0 && !(-4..6).contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
        } else {
            let _ = write!(out, "{value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn numbers_as_go_prints_them() {
        for (value, text) in [
            (1e5, "100000"),
            (1e6, "1e+06"),
            (123456.0, "123456"),
            (1234567.5, "1.2345675e+06"),
            (1e21, "1e+21"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (123456789012345678.0, "1.2345678901234568e+17"),
            (0.0, "0"),
            (-2.5, "-2.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut out = String::new();
            write_float(&mut out, value);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn names_fit_the_scraper() {
        let labels =
            Labels::from_pairs([("__name__", "sys.cpu"), ("a-b", "x\"\n"), ("instance", "i")]);
        let mut out = String::new();
        for style in [NameStyle::Underscores, NameStyle::Utf8] {
            write_type(&mut out, "sys.cpu", style);
            write_sample(&mut out, labels.view(), 1.5, 7, style);
        }
        write_sample(
            &mut out,
            Labels::from_pairs([("__name__", "up")]).view(),
            1.0,
            8,
            NameStyle::Utf8,
        );
        assert_eq!(
            out,
            "# TYPE sys_cpu untyped\nsys_cpu{a_b=\"x\\\"\\n\",instance=\"i\"} 1.5 7\n\
            # TYPE \"sys.cpu\" untyped\n{\"sys.cpu\",\"a-b\"=\"x\\\"\\n\",instance=\"i\"} 1.5 7\nup{instance=\"\"} 1 8\n"
        );
    }
}
