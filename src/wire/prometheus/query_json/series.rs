//! Vectors and matrices, written piece by piece while the client takes them.

use model::{Histogram, Points, ResultSeries};

use super::super::number::{VALUE_ROOM, is_small_integer, put_value, write_timestamp, write_value};
use super::{BEGINNING, write_labels};

/// A piece ends with the series that makes it this long.
const PIECE_BYTES: usize = 56 * 1024;
/// What is reserved for a piece: the series at its end rarely needs more.
const PIECE_CAPACITY: usize = 64 * 1024;
/// Room for the beginning of a point: `[`, 20 characters of seconds, 4 of milliseconds, `,"`.
const BEGINNING_ROOM: usize = 32;
/// What follows a value, and the comma to the next point.
const POINT_END: &[u8; 3] = b"\"],";
/// Points whose room is made at once.
const POINTS_AT_ONCE: usize = 32;

/// How the series of a result are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The single point of each.
    Vector,
    /// All points of each.
    Matrix,
}

impl Shape {
    fn beginning(self) -> &'static [u8] {
        match self {
            Self::Vector => b"{\"resultType\":\"vector\",\"result\":[",
            Self::Matrix => b"{\"resultType\":\"matrix\",\"result\":[",
        }
    }
}

/// The body of a successful query whose `data` are series: an iterator over its pieces, of about 60 KiB
/// each. Series are let go as they are written, so an answer never stands in memory as a whole.
#[derive(Debug)]
pub struct SeriesBody {
    series: std::vec::IntoIter<ResultSeries>,
    shape: Shape,
    beginnings: Beginnings,
    texts: ValueTexts,
    /// The next piece as far as it stands.
    piece: Vec<u8>,
    /// What comes after the last series; `None` once that was sent.
    end: Option<Vec<u8>>,
}

impl SeriesBody {
    /// The body with these series; `end` is what follows the list of them: `stats`, the end of `data`, and
    /// the envelope's ([`super::finish`]).
    pub fn new(series: Vec<ResultSeries>, shape: Shape, end: Vec<u8>) -> Self {
        let mut piece = Vec::with_capacity(PIECE_CAPACITY.min(512 + series.len() * 1024));
        piece.extend_from_slice(BEGINNING);
        piece.extend_from_slice(shape.beginning());
        let (beginnings, texts) = (Beginnings::default(), ValueTexts::default());
        Self { series: series.into_iter(), shape, beginnings, texts, piece, end: Some(end) }
    }

    fn write(&mut self, one: &ResultSeries) {
        self.piece.extend_from_slice(b"{\"metric\":");
        write_labels(&mut self.piece, &one.labels);
        match self.shape {
            Shape::Vector => self.write_single(&one.points),
            Shape::Matrix => self.write_all(&one.points),
        }
        self.piece.push(b'}');
    }

    /// The first point, by its kind.
    fn write_single(&mut self, points: &Points) {
        let out = &mut self.piece;
        if let Some((at_ms, histogram)) = histograms(points).next() {
            out.extend_from_slice(b",\"histogram\":");
            return write_histogram_point(out, at_ms, histogram);
        }
        out.extend_from_slice(b",\"value\":");
        let Some(value) = points.values.first_chunk::<1>() else {
            return out.extend_from_slice(b"[]");
        };
        self.beginnings.prepare(&points.timestamps);
        write_numbers(out, &self.beginnings, &mut self.texts, points, value);
        // The comma to the next point.
        out.pop();
    }

    fn write_all(&mut self, points: &Points) {
        let out = &mut self.piece;
        self.beginnings.prepare(&points.timestamps);
        let start = out.len();
        out.extend_from_slice(b",\"values\":[");
        let empty = out.len();
        write_numbers(out, &self.beginnings, &mut self.texts, points, &points.values);
        end_list(out, start, empty);
        let start = out.len();
        out.extend_from_slice(b",\"histograms\":[");
        let empty = out.len();
        for (at_ms, histogram) in histograms(points) {
            write_histogram_point(out, at_ms, histogram);
            out.push(b',');
        }
        end_list(out, start, empty);
    }
}

impl Iterator for SeriesBody {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.end.as_ref()?;
        while self.piece.len() < PIECE_BYTES {
            let Some(one) = self.series.next() else {
                self.piece.push(b']');
                self.piece.extend_from_slice(&self.end.take()?);
                return Some(std::mem::take(&mut self.piece));
            };
            self.write(&one);
            if self.series.len() > 0 {
                self.piece.push(b',');
            }
        }
        Some(std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_CAPACITY)))
    }
}

/// Turns the comma behind the last item into the list's end, or takes an empty list away.
fn end_list(out: &mut Vec<u8>, start: usize, empty: usize) {
    if out.len() == empty {
        out.truncate(start);
    } else if let Some(last) = out.last_mut() {
        *last = b']';
    }
}

/// Writes those of the first points that are numbers, which have these `values`, a comma behind each. This loop is what most answers cost: room is
/// made for many points at once, and all copies have a fixed size.
fn write_numbers(
    out: &mut Vec<u8>,
    beginnings: &Beginnings,
    texts: &mut ValueTexts,
    points: &Points,
    values: &[f64],
) {
    const ROOM: usize = BEGINNING_ROOM + VALUE_ROOM + POINT_END.len();
    let is_number = |index| points.histograms.get(index).is_none_or(Option::is_none);
    for (many, values) in values.chunks(POINTS_AT_ONCE).enumerate() {
        let mut end = out.len();
        out.resize(end + values.len() * ROOM, 0);
        for (index, &value) in values.iter().enumerate() {
            let index = many * POINTS_AT_ONCE + index;
            let (true, Some((text, length))) = (is_number(index), beginnings.texts.get(index))
            else {
                continue;
            };
            end += copy_room(&mut out[end..], text, usize::from(*length));
            if let Some(room) = out[end..].first_chunk_mut() {
                end += texts.put(room, value);
            }
            end += copy_room(&mut out[end..], POINT_END, POINT_END.len());
        }
        out.truncate(end);
    }
}

/// Copies all of `text`, of which `length` bytes count.
#[inline(always)]
fn copy_room<const N: usize>(out: &mut [u8], text: &[u8; N], length: usize) -> usize {
    if let Some(room) = out.first_chunk_mut::<N>() {
        *room = *text;
    }
    length
}

/// Texts of values that were written lately. Values repeat: what integers grow in a fixed time, divided by
/// it, is one of few, and a text costs ten times what copying it does.
#[derive(Debug, Default)]
struct ValueTexts {
    /// By a hash of the value; made when the first is kept.
    kept: Vec<ValueText>,
}

#[derive(Clone, Debug)]
struct ValueText {
    bits: u64,
    length: u8,
    text: [u8; VALUE_ROOM],
}

impl ValueTexts {
    /// Bits of a place; so many fit into the first cache.
    const PLACE_BITS: u32 = 9;

    /// As [`put_value`].
    #[inline]
    fn put(&mut self, room: &mut [u8; VALUE_ROOM], value: f64) -> usize {
        // The digits of integers are cheap.
        if is_small_integer(value) {
            return put_value(room, value);
        }
        if self.kept.is_empty() {
            // No text has been kept of zero, which is an integer.
            let none = ValueText { bits: 0, length: 0, text: [0; VALUE_ROOM] };
            self.kept = vec![none; 1 << Self::PLACE_BITS];
        }
        let bits = value.to_bits();
        let hash = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::PLACE_BITS);
        let kept = &mut self.kept[hash as usize];
        if kept.bits != bits {
            kept.bits = bits;
            kept.length = put_value(&mut kept.text, value) as u8;
        }
        *room = kept.text;
        usize::from(kept.length)
    }
}

/// How points begin, up to their value: series of one result mostly have the same instants.
#[derive(Debug, Default)]
struct Beginnings {
    times_ms: Vec<i64>,
    /// Texts and their lengths.
    texts: Vec<([u8; BEGINNING_ROOM], u8)>,
}

impl Beginnings {
    fn prepare(&mut self, times_ms: &[i64]) {
        if self.times_ms == times_ms {
            return;
        }
        self.times_ms.clear();
        self.times_ms.extend_from_slice(times_ms);
        self.texts.clear();
        let mut text = Vec::with_capacity(BEGINNING_ROOM);
        for at_ms in times_ms {
            text.clear();
            text.push(b'[');
            write_timestamp(&mut text, *at_ms);
            text.extend_from_slice(b",\"");
            let length = text.len();
            text.resize(BEGINNING_ROOM, 0);
            let mut room = [0; BEGINNING_ROOM];
            room.copy_from_slice(&text);
            self.texts.push((room, length as u8));
        }
    }
}

/// The points that are histograms.
fn histograms(points: &Points) -> impl Iterator<Item = (i64, &Histogram)> {
    let all = points.timestamps.iter().zip(&points.histograms);
    all.filter_map(|(at, histogram)| histogram.as_deref().map(|histogram| (*at, histogram)))
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

#[cfg(test)]
mod tests {
    use model::{BucketSpan, HistogramBuckets, Labels};

    use super::*;

    fn text(series: Vec<ResultSeries>, shape: Shape, end: &[u8]) -> String {
        let pieces: Vec<_> = SeriesBody::new(series, shape, end.to_vec()).collect();
        String::from_utf8(pieces.concat()).unwrap()
    }

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
            let text = text(vec![one], Shape::Matrix, b"}");
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
            text(vec![series()], Shape::Matrix, b"},\"warnings\":[\"w\"]}"),
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a\"\u0001"},"values":[[1435781451.781,"1"],[1435781466.781,"NaN"]]}]},"warnings":["w"]}"#
        );
        assert_eq!(
            text(vec![series(), series()], Shape::Vector, b"}}"),
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\"\u0001"},"value":[1435781451.781,"1"]},{"metric":{"__name__":"up","job":"a\"\u0001"},"value":[1435781451.781,"1"]}]}}"#
        );
        assert_eq!(
            text(vec![], Shape::Matrix, b"}}"),
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#
        );
    }

    #[test]
    fn kept_texts_are_those_of_their_values() {
        let mut rng = base::rng::Rng::new(3);
        let mut texts = ValueTexts::default();
        for _ in 0..20_000 {
            let value = match rng.below(4) {
                0 => rng.below(700) as f64 / 285.0,
                1 => rng.below(700) as f64 - 300.0,
                2 => f64::from_bits(rng.next_u64()),
                _ => [0.0, -0.0, f64::NAN, f64::INFINITY][rng.below(4) as usize],
            };
            let (mut got, mut want) = ([0; VALUE_ROOM], [0; VALUE_ROOM]);
            let lengths = (texts.put(&mut got, value), put_value(&mut want, value));
            assert_eq!((&got[..lengths.0], lengths.0), (&want[..lengths.1], lengths.1), "{value}");
        }
    }

    #[test]
    fn pieces_join_to_one_document_whatever_their_number() {
        let count = 3 * PIECE_BYTES / 60;
        let pieces: Vec<_> =
            SeriesBody::new(vec![series(); count], Shape::Matrix, b"}}".to_vec()).collect();
        assert!(pieces.len() > 2, "{}", pieces.len());
        assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE_BYTES));
        let document: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
        let result = document["data"]["result"].as_array().unwrap();
        assert_eq!(result.len(), count);
        assert!(result.iter().all(|one| one == &result[0] && one["values"][1][1] == "NaN"));
    }
}
