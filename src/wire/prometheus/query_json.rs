//! Bodies of the query API: the envelope, vectors, matrices, scalars, lists of names.

use model::{Histogram, Labels, Points, ResultSeries};

use super::number::{write_timestamp, write_value};

/// Appends `text` as a JSON string. Go escapes `<`, `>`, `&` only outside of results; equal JSON.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut clean_from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[clean_from..index]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        clean_from = index + 1;
    }
    out.extend_from_slice(&text.as_bytes()[clean_from..]);
    out.push(b'"');
}

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

/// Appends a label set as an object.
pub fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_string(out, value);
    }
    out.push(b'}');
}

fn write_point(out: &mut Vec<u8>, timestamp_ms: i64, value: f64) {
    out.push(b'[');
    write_timestamp(out, timestamp_ms);
    out.extend_from_slice(b",\"");
    write_value(out, value);
    out.extend_from_slice(b"\"]");
}

fn write_histogram_point(out: &mut Vec<u8>, timestamp_ms: i64, histogram: &Histogram) {
    out.push(b'[');
    write_timestamp(out, timestamp_ms);
    out.extend_from_slice(b",{\"count\":\"");
    write_value(out, histogram.count);
    out.extend_from_slice(b"\",\"sum\":\"");
    write_value(out, histogram.sum);
    out.push(b'"');
    let mut is_first = true;
    for bucket in histogram.all_buckets().iter().filter(|bucket| bucket.count != 0.0) {
        out.extend_from_slice(if is_first { b",\"buckets\":[[" } else { b",[" });
        is_first = false;
        // 0 is (], 1 is [), 2 is (), 3 is [].
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.extend_from_slice(b",\"");
            write_value(out, value);
            out.push(b'"');
        }
        out.push(b']');
    }
    if !is_first {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

/// The `data` of a vector: the single point of each series.
pub fn vector(series: &[ResultSeries]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + series.len() * 160);
    out.extend_from_slice(b"{\"resultType\":\"vector\",\"result\":");
    write_list(&mut out, series, |out, one| {
        out.extend_from_slice(b"{\"metric\":");
        write_labels(out, &one.labels);
        let points = &one.points;
        if let Some((at, histogram)) = histograms(points).next() {
            out.extend_from_slice(b",\"histogram\":");
            write_histogram_point(out, at, histogram);
            out.push(b'}');
            return;
        }
        out.extend_from_slice(b",\"value\":");
        match (points.timestamps.first(), points.values.first()) {
            (Some(&at), Some(&value)) => write_point(out, at, value),
            _ => out.extend_from_slice(b"[]"),
        }
        out.push(b'}');
    });
    out.push(b'}');
    out
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

/// The points that are histograms.
fn histograms(points: &Points) -> impl Iterator<Item = (i64, &Histogram)> {
    let all = points.timestamps.iter().zip(&points.histograms);
    all.filter_map(|(at, histogram)| histogram.as_deref().map(|histogram| (*at, histogram)))
}

/// How points begin, up to their value: series of one result mostly have the same instants.
#[derive(Default)]
struct Beginnings {
    times_ms: Vec<i64>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Beginnings {
    fn prepare(&mut self, times_ms: &[i64]) {
        if self.times_ms == times_ms {
            return;
        }
        self.text.clear();
        self.ends.clear();
        for at_ms in times_ms {
            self.text.push(b'[');
            write_timestamp(&mut self.text, *at_ms);
            self.text.extend_from_slice(b",\"");
            self.ends.push(self.text.len());
        }
        self.times_ms.clear();
        self.times_ms.extend_from_slice(times_ms);
    }

    fn of(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// The `data` of a matrix: all points of each series.
pub fn matrix(series: &[ResultSeries]) -> Vec<u8> {
    let points: usize = series.iter().map(|one| one.points.values.len()).sum();
    let mut out = Vec::with_capacity(64 + series.len() * 160 + points * 36);
    let mut beginnings = Beginnings::default();
    out.extend_from_slice(b"{\"resultType\":\"matrix\",\"result\":");
    write_list(&mut out, series, |out, one| {
        out.extend_from_slice(b"{\"metric\":");
        write_labels(out, &one.labels);
        let points = &one.points;
        let is_number = |index| points.histograms.get(index).is_none_or(Option::is_none);
        let mut separator: &[u8] = b",\"values\":[";
        beginnings.prepare(&points.timestamps);
        for (index, &value) in points.values.iter().enumerate() {
            if is_number(index) {
                out.extend_from_slice(separator);
                out.extend_from_slice(beginnings.of(index));
                write_value(out, value);
                out.extend_from_slice(b"\"]");
                separator = b",";
            }
        }
        if separator == b"," {
            out.push(b']');
        }
        separator = b",\"histograms\":[";
        for (at, histogram) in histograms(points) {
            out.extend_from_slice(separator);
            write_histogram_point(out, at, histogram);
            separator = b",";
        }
        if separator == b"," {
            out.push(b']');
        }
        out.push(b'}');
    });
    out.push(b'}');
    out
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

/// The envelope around a successful `data`.
pub fn success(data: &[u8], warnings: &[String], infos: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 64);
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    out.extend_from_slice(data);
    for (key, texts) in [("warnings", warnings), ("infos", infos)] {
        if !texts.is_empty() {
            out.extend_from_slice(format!(",\"{key}\":").as_bytes());
            write_list(&mut out, texts, |out, item| write_string(out, item));
        }
    }
    out.push(b'}');
    out
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
    use model::{BucketSpan, HistogramBuckets};

    use super::*;

    fn series() -> ResultSeries {
        ResultSeries {
            labels: Labels::from_pairs([("__name__", "up"), ("job", "a\"\u{1}")]),
            title: None,
            disagreeing: [].into(),
            grid: None,
            points: Points {
                timestamps: vec![1_435_781_451_781, 1_435_781_466_781],
                values: vec![1.0, f64::NAN],
                integers: vec![],
                histograms: vec![],
            },
        }
    }

    #[test]
    fn histograms_have_prometheus_shapes() {
        let buckets = |offset, counts: &[f64]| HistogramBuckets {
            spans: vec![BucketSpan { offset, length: counts.len() as u32 }],
            counts: counts.to_vec(),
        };
        let histogram = Histogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 10.0,
            sum: 18.4,
            positive: buckets(0, &[1.0, 0.0, 3.0]),
            negative: buckets(1, &[4.0]),
            ..Histogram::default()
        };
        let custom = Histogram {
            schema: -53,
            count: 3.0,
            positive: buckets(0, &[1.0, 2.0]),
            bounds: [5.0].into(),
            ..Histogram::default()
        };
        let shown = |histogram: Histogram| {
            let mut one = series();
            one.points.histograms = vec![None, Some(histogram.into())];
            let text = String::from_utf8(matrix(&[one])).unwrap();
            let start = text.find("\"values\"").unwrap();
            text[start..].to_owned()
        };
        // Shapes of the specification's section "Result data".
        assert_eq!(
            shown(histogram),
            r#""values":[[1435781451.781,"1"]],"histograms":[[1435781466.781,{"count":"10","sum":"18.4","buckets":[[1,"-2","-1","4"],[3,"-0.001","0.001","2"],[0,"0.5","1","1"],[0,"2","4","3"]]}]]}]}"#
        );
        assert_eq!(
            shown(custom),
            r#""values":[[1435781451.781,"1"]],"histograms":[[1435781466.781,{"count":"3","sum":"0","buckets":[[3,"-Inf","5","1"],[0,"5","+Inf","2"]]}]]}]}"#
        );
    }

    #[test]
    fn results_have_prometheus_shapes() {
        assert_eq!(
            String::from_utf8(success(&matrix(&[series()]), &["w".into()], &[])).unwrap(),
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a\"\u0001"},"values":[[1435781451.781,"1"],[1435781466.781,"NaN"]]}]},"warnings":["w"]}"#
        );
        assert_eq!(
            String::from_utf8(vector(&[series()])).unwrap(),
            r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"\u0001"},"value":[1435781451.781,"1"]}]}"#
        );
        assert_eq!(String::from_utf8(strings(&[])).unwrap(), "[]");
        assert_eq!(
            String::from_utf8(failure("bad_data", "no")).unwrap(),
            r#"{"status":"error","errorType":"bad_data","error":"no"}"#
        );
    }
}
