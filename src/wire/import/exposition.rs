//! Prometheus's text format and OpenMetrics, one sample a line: `name{label="value"} 1.5 1700000000000`.
//!
//! Names outside the classic characters may stand quoted inside the braces. Comments and metadata are
//! passed over, exemplars behind `#` too. Times are milliseconds; a time with a fraction, or one that
//! would lie in January 1970, is in seconds, as OpenMetrics writes it.

use std::borrow::Cow;

use model::{METRIC_NAME, WriteBatch};

use super::{ExtraLabels, LineReader, begin_row};

/// Labels that one line may have.
const LABELS_MAX: usize = 1024;
/// Integers below are seconds.
const SECONDS_END: f64 = 2_147_483_648.0;

/// The reader.
#[derive(Clone, Debug, Default)]
pub struct ExpositionReader {
    /// Time of lines without one, in milliseconds.
    pub default_ms: i64,
    /// Labels for every series.
    pub extra: ExtraLabels,
}

/// A cursor over one line.
struct Line<'a> {
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Everything in front of a blank or a character of `ends`.
    fn word(&mut self, ends: &[char]) -> &'a str {
        let is_end = |c: char| c == ' ' || c == '\t' || ends.contains(&c);
        let length = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        word
    }

    /// What stands between quotes; the opening one is eaten.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let mut is_escaped = false;
        let mut has_escapes = false;
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => (is_escaped, has_escapes) = (true, true),
                '"' => {
                    let text = &self.rest[..at];
                    self.rest = &self.rest[at + 1..];
                    return Ok(if has_escapes { unescape(text).into() } else { text.into() });
                }
                _ => {}
            }
        }
        Err("a quoted text does not end".to_owned())
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c @ ('\\' | '"')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            (c, false) => out.push(c),
        }
    }
    out
}

type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Reads `{…}` behind its opening brace.
fn read_labels<'a>(line: &mut Line<'a>, labels: &mut Vec<Label<'a>>) -> Result<(), String> {
    loop {
        line.skip_blanks();
        if line.eat('}') {
            return Ok(());
        }
        if labels.len() > LABELS_MAX {
            return Err(format!("more than {LABELS_MAX} labels"));
        }
        let is_quoted = line.eat('"');
        let name = if is_quoted { line.quoted()? } else { line.word(&['=', ',', '}']).into() };
        line.skip_blanks();
        if line.eat('=') {
            line.skip_blanks();
            if !line.eat('"') {
                return Err(format!("the value of label {name:?} is not in quotes"));
            }
            labels.push((name, line.quoted()?));
        } else if is_quoted && !labels.iter().any(|(known, _)| known == METRIC_NAME) {
            labels.push((METRIC_NAME.into(), name));
        } else {
            return Err(format!("label {name:?} has no value"));
        }
        line.skip_blanks();
        if !line.eat(',') && !line.rest.starts_with('}') {
            return Err("labels are not followed by , or }".to_owned());
        }
    }
}

fn parse_value(word: &str) -> Result<f64, String> {
    match word {
        "" => Err("there is no value".to_owned()),
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ => word.parse().map_err(|_| format!("the value {word:?} is not a number")),
    }
}

fn parse_time(word: &str) -> Result<i64, String> {
    let number: f64 = word.parse().map_err(|_| format!("the time {word:?} is not a number"))?;
    let in_seconds = word.contains('.') || number.abs() < SECONDS_END;
    let ms = if in_seconds { (number * 1000.0).round() } else { number };
    if ms.is_finite() && ms.abs() < 9e18 {
        Ok(ms as i64)
    } else {
        Err(format!("the time {word:?} is out of range"))
    }
}

impl LineReader for ExpositionReader {
    fn read(&mut self, line: &[u8], batch: &mut WriteBatch) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
        let mut line = Line { rest: text.trim_end_matches('\r') };
        line.skip_blanks();
        if line.rest.is_empty() || line.rest.starts_with('#') {
            return Ok(());
        }
        let mut labels: Vec<Label<'_>> = Vec::new();
        let name = line.word(&['{']);
        if !name.is_empty() {
            labels.push((METRIC_NAME.into(), name.into()));
        }
        line.skip_blanks();
        if line.eat('{') {
            read_labels(&mut line, &mut labels)?;
        }
        if !labels.iter().any(|(name, _)| name == METRIC_NAME) {
            return Err("there is no metric name".to_owned());
        }
        line.skip_blanks();
        let value = parse_value(line.word(&[]))?;
        line.skip_blanks();
        let at_ms = match line.word(&[]) {
            "" => self.default_ms,
            word if word.starts_with('#') => self.default_ms,
            word => parse_time(word)?,
        };
        line.skip_blanks();
        if !line.rest.is_empty() && !line.rest.starts_with('#') && !text.contains(" # ") {
            return Err(format!("{:?} stands behind the time", line.rest));
        }
        let pairs = labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        begin_row(pairs, &self.extra, batch)?;
        batch.push_float(at_ms, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;
    use model::{SeriesHasher, TenantId};

    use super::*;

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    fn read(line: &str) -> Result<String, String> {
        let mut reader = ExpositionReader { default_ms: 7, extra: vec![] };
        let mut batch = batch();
        reader.read(line.as_bytes(), &mut batch)?;
        let rows = batch.rows().iter().map(|row| {
            let (times, bits) = batch.samples(row);
            format!("{} {} {}", batch.labels(row), f64::from_bits(bits[0]), times[0])
        });
        Ok(rows.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn lines_of_both_formats() {
        // Examples of the format's documentation, and the escapes it names.
        for (line, want) in [
            (
                "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000",
                "{__name__=\"http_requests_total\", code=\"200\", method=\"post\"} 1027 1395066363000",
            ),
            (
                "metric_without_timestamp_and_labels 12.47",
                "{__name__=\"metric_without_timestamp_and_labels\"} 12.47 7",
            ),
            (
                "something_weird{problem=\"division by zero\"} +Inf -3982045000",
                "{__name__=\"something_weird\", problem=\"division by zero\"} inf -3982045000",
            ),
            (
                "a{p=\"C:\\\\DIR\\\\F.TXT\",e=\"x\\n\\\"y\\\"\"} 1.5e9 \r",
                "{__name__=\"a\", e=\"x\\n\\\"y\\\"\", p=\"C:\\\\DIR\\\\F.TXT\"} 1500000000 7",
            ),
            (
                "{\"my.metric\",\"l.x\"=\"v\"} 1 1700000000.5",
                "{__name__=\"my.metric\", \"l.x\"=\"v\"} 1 1700000000500",
            ),
            (
                "foo_bucket{le=\"0.1\",} 8 1520879607.789 # {trace_id=\"x\"} 0.05",
                "{__name__=\"foo_bucket\", le=\"0.1\"} 8 1520879607789",
            ),
            (
                "foo_total 17.0 1520879607 # {a=\"b\"} 1",
                "{__name__=\"foo_total\"} 17 1520879607000",
            ),
            ("# HELP a b", ""),
            ("", ""),
        ] {
            assert_eq!(read(line).as_deref(), Ok(want), "{line}");
        }
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, want) in [
            ("a", "there is no value"),
            ("a x", "the value \"x\" is not a number"),
            ("a 1 y", "the time \"y\" is not a number"),
            ("a 1 2 3", "\"3\" stands behind the time"),
            ("{x=\"1\"} 1", "there is no metric name"),
            ("a{x=1} 1", "the value of label \"x\" is not in quotes"),
            ("a{x=\"1} 1", "a quoted text does not end"),
            ("a{x=\"1\" y=\"2\"} 1", "labels are not followed by , or }"),
            ("a{x=\"1\",x=\"2\"} 1", "label \"x\" occurs twice"),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.contains(want) || line.contains("x=\"2\""), "{line}: {got}");
        }
    }

    #[test]
    fn garbage_never_panics() {
        let mut rng = Rng::new(5);
        let alphabet = b"a{}\"=,\\ 1.#\t\xc3\xa9n+-";
        let mut batch = batch();
        for _ in 0..20_000 {
            let length = rng.below(24) as usize;
            let line: Vec<u8> =
                (0..length).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect();
            let _ = ExpositionReader::default().read(&line, &mut batch);
        }
    }
}
