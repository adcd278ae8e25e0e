//! Literals of native histograms: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

use std::sync::Arc;

use model::{BucketSpan, Histogram, HistogramBuckets, ResetHint};

use super::series::Described;

/// Reads the literal at the start of `text`; gives what follows.
pub(crate) fn parse_literal(text: &str) -> Result<(Described, &str), String> {
    let close = text.find("}}").ok_or_else(|| format!("unended histogram in {text:?}"))?;
    let inside = text[..close].strip_prefix("{{").ok_or("no histogram")?;
    let mut histogram = Histogram::default();
    let mut seen: Vec<&str> = Vec::new();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut rest = inside.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once(':').ok_or_else(|| format!("no key in {rest:?}"))?;
        let key = key.trim();
        if seen.contains(&key) {
            return Err(format!("duplicate key \"{key}\" in histogram"));
        }
        seen.push(key);
        let (value, behind) = split_value(behind)?;
        rest = behind.trim_start();
        match key {
            "schema" => histogram.schema = integer(value)?,
            "sum" => histogram.sum = number(value)?,
            "count" => histogram.count = number(value)?,
            "z_bucket" => histogram.zero_count = number(value)?,
            "z_bucket_w" => histogram.zero_threshold = number(value)?,
            "offset" => offset = integer(value)?,
            "n_offset" => negative_offset = integer(value)?,
            "buckets" => histogram.positive.counts = numbers(value)?,
            "n_buckets" => histogram.negative.counts = numbers(value)?,
            "custom_values" => histogram.bounds = numbers(value)?.into(),
            "counter_reset_hint" => histogram.reset_hint = hint(value)?,
            other => return Err(format!("unknown key {other:?} in histogram")),
        }
    }
    place(&mut histogram.positive, offset);
    place(&mut histogram.negative, negative_offset);
    let tells_resets = seen.contains(&"counter_reset_hint");
    let histogram = Arc::new(histogram);
    Ok((Described { histogram, tells_resets }, &text[close + 2..]))
}

fn place(buckets: &mut HistogramBuckets, offset: i32) {
    if !buckets.counts.is_empty() {
        buckets.spans = vec![BucketSpan { offset, length: buckets.counts.len() as u32 }];
    }
}

/// Splits behind a value: a list in brackets, or a word.
fn split_value(text: &str) -> Result<(&str, &str), String> {
    if let Some(list) = text.strip_prefix('[') {
        return list.split_once(']').ok_or_else(|| format!("unended list in {text:?}"));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    Ok(text.split_at(end))
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    text.split_whitespace().map(number).collect()
}

fn number(text: &str) -> Result<f64, String> {
    match text.to_ascii_lowercase().as_str() {
        "+inf" => Ok(f64::INFINITY),
        lower => lower.replace('_', "").parse().map_err(|_| format!("bad number {text:?}")),
    }
}

fn integer(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("bad integer {text:?}"))
}

fn hint(text: &str) -> Result<ResetHint, String> {
    match text {
        "unknown" => Ok(ResetHint::Unknown),
        "reset" => Ok(ResetHint::Reset),
        "not_reset" => Ok(ResetHint::NotReset),
        "gauge" => Ok(ResetHint::Gauge),
        other => Err(format!("bad hint {other:?}")),
    }
}
