//! Lines, datagrams and pickles. Compared with carbon, but for the deliberate differences: those of
//! the table below, infinities and times outside 1970 … 2106 refused, names under their canonical
//! spelling, invalid names refused, and connections that stay open.

use base::limits::PICKLE_BYTES_MAX;
use model::identity::flat_name;
use model::{SeriesHasher, TenantId, WriteBatch};
use serde_json::Value;
use wire::graphite::intake::Intake;
use wire::graphite::line::{LineDecoder, decode_datagram};
use wire::graphite::path::canonical;
use wire::graphite::pickle::{Frame, decode, next_frame};
use wire::graphite::reject::Rejects;

use super::{Outcome, close, number, text};

/// carbon's clock while it was recorded.
const NOW_MS: i64 = 1_700_000_000_250;

type Point = (String, i64, f64);

/// Inputs that are read otherwise than by carbon, with the points they give.
fn deliberate(input: &str) -> Option<Vec<Point>> {
    let ab = || ("a.b".to_owned(), 1_700_000_000_000, 1.0);
    let ac = || ("a.c".to_owned(), 1_700_000_001_000, 2.0);
    Some(match input {
        // Digits are ASCII, and `_` is none.
        "a.b 1_000 1700000000\n" | "a.b \u{d9}\u{a1} 1700000000\n" => vec![],
        // Only space and tab separate, only LF ends a line.
        "a.b\u{b}1\u{c}1700000000\n" | "a.b\u{c2}\u{a0}1 1700000000\n" => vec![],
        "a.b 1 1700000000\ra.c 2 1700000001"
        | "a.b 1 1700000000\u{b}a.c 2 1700000001"
        | "a.b 1 1700000000\u{c2}\u{85}a.c 2 1700000001" => vec![],
        // An unterminated tail counts at a clean close if it parses.
        "a.b 1 1700000000" => vec![ab()],
        // A bad line costs no neighbour.
        "a.b 1 1700000000\n\u{ff} 1 1700000000\na.c 1 1700000000\n" => {
            vec![ab(), ("a.c".to_owned(), 1_700_000_000_000, 1.0)]
        }
        "16373" | "17000" => vec![ac()],
        // Names in bytes are taken.
        "bytes name, protocol 5" => vec![("a.b".to_owned(), 1_700_000_000_000, 1.5)],
        _ => return None,
    })
}

/// The reads of a vector, and its key in the table above.
fn input(vector: &Value) -> Option<(Vec<Vec<u8>>, String)> {
    let request = &vector["request"];
    let latin1 = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    if let Some(chunks) = request["chunks"].as_array() {
        return Some((chunks.iter().map(|c| latin1(c.as_str().unwrap())).collect(), String::new()));
    }
    if let Some(repeat) = request["bytes_repeat"].as_str() {
        let digits: String = repeat.chars().filter(char::is_ascii_digit).collect();
        let mut bytes = vec![b'a'; digits.parse().unwrap()];
        bytes.extend::<Vec<u8>>(latin1(text(request, "then")));
        return Some((vec![bytes], digits));
    }
    if let Some(hex) = request["frame_hex"].as_str() {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes = (0..hex.len()).step_by(2).map(byte).collect();
        return Some((vec![bytes], text(vector, "subject").to_owned()));
    }
    let spelled = request["bytes"].as_str().or_else(|| request["datagram"].as_str())?;
    Some((vec![latin1(spelled)], spelled.to_owned()))
}

fn expected(vector: &Value, key: &str) -> Vec<Point> {
    let raw = deliberate(key).unwrap_or_else(|| {
        let points = vector["expect"]["carbon"]["points"].as_array().unwrap();
        let point = |point: &Value| {
            let time = number(&point["timestamp"])?;
            let in_range = (0.0..4_294_967_296.0).contains(&time);
            let time = (time * 1000.0).floor() as i64;
            in_range.then_some((point["path"].as_str()?.to_owned(), time, number(&point["value"])?))
        };
        points.iter().filter_map(point).collect()
    });
    raw.into_iter()
        .filter(|(.., value)| value.is_finite())
        .filter_map(|(path, time, value)| Some((canonical(&path).ok()?, time, value)))
        .collect()
}

pub(super) fn check(vector: &Value) -> Outcome {
    // Long frames are given by their head only.
    let Some((chunks, key)) = input(vector) else { return Outcome::Skipped };
    let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1));
    match text(vector, "group") {
        "udp" => decode_datagram(
            &chunks[0],
            NOW_MS,
            &mut batch,
            &mut Rejects::default(),
            &mut Intake::default(),
        ),
        "pickle" => pickles(&chunks[0], &mut batch),
        _ => lines(&chunks, &mut batch),
    }
    let got: Vec<Point> = batch
        .rows()
        .iter()
        // The store refuses names that are not UTF-8.
        .filter(|row| batch.labels(row).check().is_ok())
        .map(|row| {
            let (times, bits) = batch.samples(row);
            let name = flat_name(&batch.labels(row).to_labels());
            (name, times[0], f64::from_bits(bits[0]))
        })
        .collect();
    let wanted = expected(vector, &key);
    let equal = got.len() == wanted.len()
        && got
            .iter()
            .zip(&wanted)
            .all(|(got, wanted)| got.0 == wanted.0 && got.1 == wanted.1 && close(got.2, wanted.2));
    if equal { Outcome::Passed } else { Outcome::Failed(format!("want {wanted:?}, got {got:?}")) }
}

fn lines(chunks: &[Vec<u8>], batch: &mut WriteBatch) {
    let (mut decoder, mut rejects) = (LineDecoder::default(), Rejects::default());
    let mut buffer: Vec<u8> = Vec::new();
    for chunk in chunks {
        buffer.extend(chunk);
        let used = decoder.feed(&buffer, NOW_MS, batch, &mut rejects, &mut Intake::default());
        buffer.drain(..used);
    }
    decoder.finish(&buffer, NOW_MS, batch, &mut Intake::default());
}

fn pickles(stream: &[u8], batch: &mut WriteBatch) {
    let mut rest = stream;
    while let Frame::Complete(length) = next_frame(rest, PICKLE_BYTES_MAX) {
        let _ = decode(
            &rest[4..4 + length],
            NOW_MS,
            batch,
            &mut Rejects::default(),
            &mut Intake::default(),
        );
        rest = &rest[4 + length..];
    }
}
