//! Carbon's plaintext: `path SP value SP timestamp LF`, one sample a line.
//!
//! Invariants: a refused line costs none of its neighbours and never the connection; a line's bytes
//! are borrowed until they stand in the batch; whether a path is UTF-8 is checked by the store when
//! it meets a new series, so a known one does not pay for it.
//!
//! Where the programs of this protocol disagree: LF alone ends a line; runs of spaces and tabs
//! separate; there are exactly three fields; infinities are refused, since one of them poisons every
//! average; a time whose integer part is -1 means "now".

use base::limits::GRAPHITE_LINE_BYTES_MAX;
use memchr::memchr;
use model::WriteBatch;

use super::intake::Intake;
use super::reject::{Reason, Rejects};

/// First second that is not accepted as a time: 2^32, in 2106.
const TIMESTAMP_SECONDS_END: f64 = 4_294_967_296.0;

/// Decodes a stream of lines that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct LineDecoder {
    /// Inside a line that was already refused as too long.
    skipping: bool,
}

impl LineDecoder {
    /// Decodes all complete lines at the front of `bytes` and returns how many bytes they took; the
    /// caller keeps the rest and appends what arrives next. `now_ms` is the time of arrival.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
        batch: &mut WriteBatch,
        rejects: &mut Rejects,
        intake: &mut Intake<'_>,
    ) -> usize {
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &bytes[start..]) {
            let line = &bytes[start..start + length];
            start += length + 1;
            if self.skipping {
                self.skipping = false;
                continue;
            }
            decode_line(line, now_ms, batch, rejects, intake);
        }
        let rest = &bytes[start..];
        if !self.skipping && rest.len() > GRAPHITE_LINE_BYTES_MAX {
            rejects.note(Reason::TooLong, rest);
            self.skipping = true;
        }
        if self.skipping { bytes.len() } else { start }
    }

    /// Takes the unterminated rest of a stream that ended cleanly: a sample if it parses as one, else
    /// nothing, since it may be half a line.
    pub fn finish(
        &mut self,
        rest: &[u8],
        now_ms: i64,
        batch: &mut WriteBatch,
        intake: &mut Intake<'_>,
    ) {
        if !std::mem::take(&mut self.skipping) {
            decode_line(rest, now_ms, batch, &mut Rejects::default(), intake);
        }
    }
}

/// Decodes a datagram: any number of lines, the last line end optional.
pub fn decode_datagram(
    bytes: &[u8],
    now_ms: i64,
    batch: &mut WriteBatch,
    rejects: &mut Rejects,
    intake: &mut Intake<'_>,
) {
    for line in bytes.split(|byte| *byte == b'\n') {
        decode_line(line, now_ms, batch, rejects, intake);
    }
}

#[inline]
fn decode_line(
    line: &[u8],
    now_ms: i64,
    batch: &mut WriteBatch,
    rejects: &mut Rejects,
    intake: &mut Intake<'_>,
) {
    if let Err(reason) = push_line(line, now_ms, batch, intake) {
        rejects.note(reason, line);
    }
}

/// One line; an empty one is nothing at all.
#[inline]
fn push_line(
    line: &[u8],
    now_ms: i64,
    batch: &mut WriteBatch,
    intake: &mut Intake<'_>,
) -> Result<(), Reason> {
    if line.len() > GRAPHITE_LINE_BYTES_MAX {
        return Err(Reason::TooLong);
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (path, rest) = next_field(line);
    let (value, rest) = next_field(rest);
    let (time, rest) = next_field(rest);
    if path.is_empty() {
        return Ok(());
    }
    if time.is_empty() || !next_field(rest).0.is_empty() {
        return Err(Reason::Malformed);
    }
    let value = parse_value(value)?;
    let timestamp_ms = parse_timestamp(time, now_ms)?;
    intake.open_row(batch, path)?;
    batch.push_float(timestamp_ms, value);
    Ok(())
}

/// The next run of bytes that are neither space nor tab, and what follows it.
#[inline]
fn next_field(text: &[u8]) -> (&[u8], &[u8]) {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let text = &text[start..];
    let end = text.iter().position(blank).unwrap_or(text.len());
    (&text[..end], &text[end..])
}

/// A value as text: decimal digits with sign, point and exponent. No NaN, no infinity.
#[inline]
pub fn parse_value(text: &[u8]) -> Result<f64, Reason> {
    let value = parse_float(text).ok_or(Reason::InvalidValue)?;
    check_value(value)
}

/// Refuses what is no finite number.
#[inline]
pub fn check_value(value: f64) -> Result<f64, Reason> {
    if value.is_finite() {
        Ok(value)
    } else if value.is_nan() {
        Err(Reason::Nan)
    } else {
        Err(Reason::InvalidValue)
    }
}

#[inline]
fn parse_float(text: &[u8]) -> Option<f64> {
    match parse_decimal(text) {
        Some(value) => Some(value),
        // The standard parser takes an own `+`, `.5`, `5.`, `inf` and `nan`, as carbon does.
        None => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

/// Digits with an own `-` and point, up to 15 in all: both the digits and the power of ten are exact
/// floats then, so one division rounds correctly (Clinger 1990). Nothing else.
#[inline]
fn parse_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let (mut number, mut count, mut decimals) = (0u64, 0usize, None);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            number = number * 10 + u64::from(digit);
            count += 1;
        } else if *byte == b'.' && decimals.is_none() {
            decimals = Some(count);
        } else {
            return None;
        }
    }
    if count == 0 || count > 15 {
        return None;
    }
    let value = number as f64 / POWERS[count - decimals.unwrap_or(count)];
    Some(if negative { -value } else { value })
}

/// Up to 18 decimal digits and nothing else.
#[inline]
fn parse_digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    let mut number = 0u64;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

/// A time as text, in seconds, to milliseconds.
#[inline]
fn parse_timestamp(text: &[u8], now_ms: i64) -> Result<i64, Reason> {
    match parse_digits(text) {
        Some(seconds) if seconds < 1 << 32 => Ok(seconds as i64 * 1000),
        _ => {
            let seconds = parse_float(text).ok_or(Reason::InvalidTimestamp)?;
            timestamp_ms(seconds, now_ms)
        }
    }
}

/// Seconds to milliseconds; an integer part of -1 is `now_ms`.
pub fn timestamp_ms(seconds: f64, now_ms: i64) -> Result<i64, Reason> {
    if seconds.trunc() == -1.0 {
        return Ok(now_ms);
    }
    if !(0.0..TIMESTAMP_SECONDS_END).contains(&seconds) {
        return Err(Reason::InvalidTimestamp);
    }
    // A thousandth of a millisecond heals what decimal fractions lose in binary; rounding to the
    // nearest would move the last half millisecond of a slot into the next one.
    Ok((seconds * 1000.0 + 0.001).floor() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;
    use model::{SeriesHasher, TenantId, identity::flat_name};

    const NOW_MS: i64 = 1_700_000_000_250;

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    fn points(batch: &WriteBatch) -> Vec<(String, i64, f64)> {
        batch
            .rows()
            .iter()
            .map(|row| {
                let (times, bits) = batch.samples(row);
                let name = flat_name(&batch.labels(row).to_labels());
                (name, times[0], f64::from_bits(bits[0]))
            })
            .collect()
    }

    fn check(line: &str, expected: Result<(&str, i64, f64), Reason>) {
        let (mut batch, mut rejects) = (batch(), Rejects::default());
        let text = format!("before 1 1\n{line}\nafter 1 1\n");
        let used = LineDecoder::default().feed(
            text.as_bytes(),
            NOW_MS,
            &mut batch,
            &mut rejects,
            &mut Intake::default(),
        );
        assert_eq!(used, text.len());
        let mut got = points(&batch);
        assert_eq!(got.remove(0).0, "before", "{line}");
        assert_eq!(got.pop().map(|point| point.0).as_deref(), Some("after"), "{line}");
        match expected {
            Ok((path, time, value)) => {
                assert_eq!(got, vec![(path.to_owned(), time, value)], "{line}");
            }
            Err(reason) => {
                assert_eq!(got, vec![], "{line}");
                assert_eq!((rejects.count(reason), rejects.total()), (1, 1), "{line}");
            }
        }
    }

    #[test]
    fn lines_give_samples_or_reasons() {
        check("a.b 1 1700000000", Ok(("a.b", 1_700_000_000_000, 1.0)));
        check("\ta.b  -1.5E-3 \t 1.7e9 \r", Ok(("a.b", 1_700_000_000_000, -0.0015)));
        check("a.b +.5 1700000000.75", Ok(("a.b", 1_700_000_000_750, 0.5)));
        check("a.b 5. 1700000000.1", Ok(("a.b", 1_700_000_000_100, 5.0)));
        check("a.b 9007199254740993 1", Ok(("a.b", 1000, 9_007_199_254_740_992.0)));
        check("a.b 1 -1.9", Ok(("a.b", NOW_MS, 1.0)));
        check("a.b;z=1;a=2 1 -0", Ok(("a.b;a=2;z=1", 0, 1.0)));
        check("a.b nan 1700000000", Err(Reason::Nan));
        for value in ["inf", "-Infinity", "1e400", "x", "1_000", "1,5", "\"1\"", "0x10", "true"] {
            check(&format!("a.b {value} 1700000000"), Err(Reason::InvalidValue));
        }
        for time in ["nan", "inf", "-2", "N", "99999999999", "1700000000;", "4294967296"] {
            check(&format!("a.b 1 {time}"), Err(Reason::InvalidTimestamp));
        }
        check("a.b 1 1700000000 extra", Err(Reason::Malformed));
        check("a.b 1", Err(Reason::Malformed));
        check("a.b;t 1 1700000000", Err(Reason::InvalidName));
        check(&format!("{} 1 1", "a".repeat(GRAPHITE_LINE_BYTES_MAX)), Err(Reason::TooLong));
    }

    #[test]
    fn decimals_round_as_the_standard_parser_does() {
        let mut rng = Rng::new(9);
        for _ in 0..20_000 {
            let digits = rng.next_u64() % 10u64.pow(rng.below(15) as u32 + 1);
            let mut text = digits.to_string();
            text.insert(rng.below(text.len() as u64 + 1) as usize, '.');
            let text = format!("{}{text}", if rng.one_in(2) { "-" } else { "" });
            let standard: Option<f64> = text.parse().ok();
            let own = parse_float(text.as_bytes());
            assert_eq!(own.map(f64::to_bits), standard.map(f64::to_bits), "{text}");
        }
        for text in ["", "-", ".", "-.", "1..2", "+1", "1e3", "--1"] {
            assert_eq!(parse_decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let text = b"a.b 1 1700000000\r\nbad\n\na.c 2 1700000001\na.d 3 1700000002";
        for cut in 0..text.len() {
            let (mut batch, mut rejects) = (batch(), Rejects::default());
            let mut decoder = LineDecoder::default();
            let used = decoder.feed(
                &text[..cut],
                NOW_MS,
                &mut batch,
                &mut rejects,
                &mut Intake::default(),
            );
            let used = used
                + decoder.feed(
                    &text[used..],
                    NOW_MS,
                    &mut batch,
                    &mut rejects,
                    &mut Intake::default(),
                );
            decoder.finish(&text[used..], NOW_MS, &mut batch, &mut Intake::default());
            assert_eq!(points(&batch).len(), 3, "cut at {cut}");
            assert_eq!(rejects.total(), 1);
        }
    }

    #[test]
    fn an_endless_line_is_skipped_in_constant_memory() {
        let (mut batch, mut rejects) = (batch(), Rejects::default());
        let mut decoder = LineDecoder::default();
        let piece = [b'a'; 20_000];
        for _ in 0..3 {
            assert_eq!(
                decoder.feed(&piece, NOW_MS, &mut batch, &mut rejects, &mut Intake::default()),
                piece.len()
            );
        }
        decoder.feed(
            b"aaa 1 1\na.c 2 1\n",
            NOW_MS,
            &mut batch,
            &mut rejects,
            &mut Intake::default(),
        );
        assert_eq!(points(&batch), vec![("a.c".to_owned(), 1000, 2.0)]);
        assert_eq!((rejects.count(Reason::TooLong), rejects.total()), (1, 1));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut rng = Rng::new(7);
        let alphabet = b"ab.;=~{}\"\\ \t\r\n0123456789-+.eE\xff";
        for _ in 0..2000 {
            let length = rng.below(120) as usize;
            let text: Vec<u8> =
                (0..length).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect();
            let (mut batch, mut rejects) = (batch(), Rejects::default());
            let mut decoder = LineDecoder::default();
            let used =
                decoder.feed(&text, NOW_MS, &mut batch, &mut rejects, &mut Intake::default());
            assert!(used <= text.len());
            decoder.finish(&text[used..], NOW_MS, &mut batch, &mut Intake::default());
            decode_datagram(&text, NOW_MS, &mut batch, &mut rejects, &mut Intake::default());
            assert_eq!(batch.rows().len(), batch.sample_count());
        }
    }
}
