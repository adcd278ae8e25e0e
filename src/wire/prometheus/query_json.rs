//! Bodies of the query API: the envelope, vectors, matrices, scalars, lists of names.

mod series;
mod text;

use model::{Labels, Points};

pub use self::series::{SeriesBody, Shape};
pub use self::text::{write_labels, write_string};
use super::number::{write_timestamp, write_value};

/// Appends the items with commas between them.
pub fn write_list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn write_point(out: &mut Vec<u8>, timestamp_ms: i64, value: f64) {
    out.push(b'[');
    write_timestamp(out, timestamp_ms);
    out.extend_from_slice(b",\"");
    write_value(out, value);
    out.extend_from_slice(b"\"]");
}

/// Appends an exemplar.
pub fn write_exemplar(out: &mut Vec<u8>, labels: &Labels, value: f64, timestamp_ms: i64) {
    out.extend_from_slice(b"{\"labels\":");
    write_labels(out, labels);
    out.extend_from_slice(b",\"value\":\"");
    write_value(out, value);
    out.extend_from_slice(b"\",\"timestamp\":");
    write_timestamp(out, timestamp_ms);
    out.push(b'}');
}

/// The `data` of a scalar: its first point.
pub fn scalar(points: &Points) -> Vec<u8> {
    let mut out = b"{\"resultType\":\"scalar\",\"result\":".to_vec();
    let first = points.timestamps.first().zip(points.values.first());
    let (at, value) = first.map_or((0, f64::NAN), |(&at, &value)| (at, value));
    write_point(&mut out, at, value);
    out.push(b'}');
    out
}

/// The `data` of a text.
pub fn text(timestamp_ms: i64, text: &str) -> Vec<u8> {
    let mut out = b"{\"resultType\":\"string\",\"result\":[".to_vec();
    write_timestamp(&mut out, timestamp_ms);
    out.push(b',');
    write_string(&mut out, text);
    out.extend_from_slice(b"]}");
    out
}

/// What a query cost, for `stats`.
#[derive(Clone, Copy, Debug)]
pub struct Stats<'s> {
    /// Seconds from text to rows.
    pub total_seconds: f64,
    /// Of these, until the plan stood.
    pub preparation_seconds: f64,
    /// Instants of the steps, where single steps are wanted.
    pub step_times_ms: Option<&'s Vec<i64>>,
    /// Samples in the windows of each step.
    pub queryable: &'s [u64],
    /// Of these, read for this step.
    pub read: &'s [u64],
    /// Most samples held at once.
    pub peak_samples: u64,
}

/// Puts `stats` into the `data` of a result.
pub fn add_stats(data: &mut Vec<u8>, stats: &Stats<'_>) {
    if data.pop() != Some(b'}') {
        return;
    }
    let (total, preparation) = (stats.total_seconds, stats.preparation_seconds);
    let evaluation = total - preparation;
    let timings = format!(
        ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{total},\"resultSortTime\":0,\
         \"queryPreparationTime\":{preparation},\"innerEvalTime\":{evaluation},\
         \"execQueueTime\":0,\"execTotalTime\":{total}}},\"samples\":{{"
    );
    data.extend_from_slice(timings.as_bytes());
    for (name, counts) in [("totalQueryableSamples", stats.queryable), ("samplesRead", stats.read)]
    {
        if let Some(times) = stats.step_times_ms {
            data.extend_from_slice(format!("\"{name}PerStep\":").as_bytes());
            let steps: Vec<(i64, u64)> =
                times.iter().copied().zip(counts.iter().copied()).collect();
            write_list(data, &steps, |out, (at_ms, count)| {
                out.push(b'[');
                write_timestamp(out, *at_ms);
                out.extend_from_slice(format!(",{count}]").as_bytes());
            });
            data.push(b',');
        }
        let total: u64 = counts.iter().sum();
        data.extend_from_slice(format!("\"{name}\":{total},").as_bytes());
    }
    data.extend_from_slice(format!("\"peakSamples\":{}}}}}}}", stats.peak_samples).as_bytes());
}

/// A `data` that is a list of texts.
pub fn strings(items: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + items.iter().map(|item| item.len() + 3).sum::<usize>());
    write_list(&mut out, items, |out, item| write_string(out, item));
    out
}

/// A `data` that is a list of label sets.
pub fn label_sets(items: &[Labels]) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(16 + items.iter().map(|one| one.as_packed().len() * 2).sum::<usize>());
    write_list(&mut out, items, write_labels);
    out
}

/// How the envelope of every success begins: its `data` follows.
const BEGINNING: &[u8] = b"{\"status\":\"success\",\"data\":";

/// The envelope around a successful `data`.
pub fn success(data: &[u8], warnings: &[String], infos: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 64);
    out.extend_from_slice(BEGINNING);
    out.extend_from_slice(data);
    finish(&mut out, warnings, infos);
    out
}

/// Appends what follows `data`: the envelope's notes and its end.
pub fn finish(out: &mut Vec<u8>, warnings: &[String], infos: &[String]) {
    for (key, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            out.extend_from_slice(format!(",\"{key}\":").as_bytes());
            write_list(out, texts, |out, item| write_string(out, item));
        }
    }
    out.push(b'}');
}

/// The envelope of a failure.
pub fn failure(error_type: &str, error: &str) -> Vec<u8> {
    let mut out = b"{\"status\":\"error\",\"errorType\":".to_vec();
    write_string(&mut out, error_type);
    out.extend_from_slice(b",\"error\":");
    write_string(&mut out, error);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_have_prometheus_shapes() {
        assert_eq!(
            String::from_utf8(success(&strings(&["a".into()]), &["w".into()], &[])).unwrap(),
            r#"{"status":"success","data":["a"],"warnings":["w"]}"#
        );
        assert_eq!(String::from_utf8(strings(&[])).unwrap(), "[]");
        assert_eq!(
            String::from_utf8(failure("bad_data", "no")).unwrap(),
            r#"{"status":"error","errorType":"bad_data","error":"no"}"#
        );
    }
}
