//! Values as OpenTSDB reads them: a text without `.`, `e` and `E` is an integer, any other one a
//! float in Java's grammar.
//!
//! Java's grammar takes more than Rust's: blanks around the number, a type suffix, and hexadecimal
//! floats. They are read on a cold path.

use base::decimal::{DecimalError, parse_i64};

/// A value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Exact to 64 bits.
    Integer(i64),
    /// Finite or infinite; never NaN.
    Float(f64),
}

/// Why a text is no value. `Display` is what the client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is no integer.
    #[error(transparent)]
    Integer(#[from] DecimalError),
    /// The text is no float.
    #[error("For input string: \"{0}\"")]
    Float(String),
}

/// True when `text` is to be read as an integer.
#[inline]
pub fn looks_integer(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// Reads a value.
#[inline]
pub fn parse_value(text: &[u8]) -> Result<Value, NumberError> {
    if looks_integer(text) { Ok(Value::Integer(parse_i64(text)?)) } else { parse_float(text) }
}

#[inline]
fn parse_float(text: &[u8]) -> Result<Value, NumberError> {
    let refuse = || NumberError::Float(String::from_utf8_lossy(text).into_owned());
    if let Some(value) = short_decimal(text) {
        return Ok(Value::Float(value));
    }
    let text = std::str::from_utf8(text).map_err(|_| refuse())?;
    let plain = |text: &str| {
        let digits = text.bytes().any(|byte| byte.is_ascii_digit());
        // Rust also reads "inf" and "nan", which hold no digit.
        if digits { text.parse().ok() } else { None }
    };
    plain(text).or_else(|| java_float(text)).map(Value::Float).ok_or_else(refuse)
}

/// `123.456` with at most 15 digits: both parts are exact, so one division rounds correctly.
#[inline]
fn short_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.len() > 16 || digits.len() < 2 {
        return None;
    }
    let mut mantissa = 0u64;
    let mut point = None;
    for (index, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            return None;
        }
    }
    let decimals = digits.len() - 1 - point?;
    let size = mantissa as f64 / POWERS[decimals];
    Some(if negative { -size } else { size })
}

/// What Java reads and Rust does not.
#[cold]
fn java_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(|character: char| character <= ' ');
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let (negative, size) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let value = match size.strip_prefix("0x").or_else(|| size.strip_prefix("0X")) {
        Some(hex) => hex_float(hex)?,
        None if size.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            size.parse().ok()?
        }
        None => return None,
    };
    Some(if negative { -value } else { value })
}

/// `1.8p3` behind `0x`. Digits beyond 60 bits only move the exponent.
fn hex_float(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut mantissa = 0u64;
    let mut shift = 0i32;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        let in_fraction = index >= whole.len();
        if mantissa >> 60 == 0 {
            mantissa = mantissa * 16 + digit;
            shift = shift.saturating_sub(if in_fraction { 4 } else { 0 });
        } else {
            // A sticky bit keeps the rounding right.
            mantissa |= u64::from(digit != 0);
            shift = shift.saturating_add(if in_fraction { 0 } else { 4 });
        }
    }
    let exponent: i32 = exponent.parse().ok()?;
    let scale = shift.saturating_add(exponent).clamp(-2200, 2200);
    // In two halves, so that neither factor leaves the range before the product does.
    Some(mantissa as f64 * 2f64.powi(scale / 2) * 2f64.powi(scale - scale / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_are_told_apart_by_their_spelling() {
        use Value::{Float, Integer};
        for (text, want) in [
            ("42", Integer(42)),
            ("-0", Integer(0)),
            ("007", Integer(7)),
            ("42.0", Float(42.0)),
            ("-0.25", Float(-0.25)),
            ("1e3", Float(1000.0)),
            (".5", Float(0.5)),
            ("-.5", Float(-0.5)),
            ("5.", Float(5.0)),
            ("+1.5", Float(1.5)),
            (" 4.2 ", Float(4.2)),
            ("4.2f", Float(4.2)),
            ("1e3D", Float(1000.0)),
            ("0x1.0p3", Float(8.0)),
            ("-0x1.8p-1", Float(-0.75)),
            ("1e400", Float(f64::INFINITY)),
            ("123456789.12345678", Float(123_456_789.123_456_78)),
            ("0.1234567890123456789", Float(0.123_456_789_012_345_68)),
        ] {
            assert_eq!(parse_value(text.as_bytes()).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "", "-", "nan", "NaN", "Infinity", "true", "0x1A", "1,5", " 5", ".", "-.", "e", "1e",
            "1.2.3", "infe", "--1.0", "0x.p1", "0x1.0", "+-1.0", "1.0ff",
        ] {
            assert!(parse_value(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_value(b"1.\xff").is_err());
    }

    #[test]
    fn short_decimals_read_as_the_standard_parser_reads_them() {
        let mut rng = base::rng::Rng::new(7);
        for _ in 0..20_000 {
            let digits = rng.below(1_000_000_000_000_000);
            let text = format!("{:e}", digits as f64);
            let decimals = rng.below(15) as usize;
            let plain = format!("{:0>16}", digits);
            let text = if rng.one_in(8) {
                text
            } else {
                format!("{}.{}", &plain[1..16 - decimals], &plain[16 - decimals..])
            };
            let want: f64 = text.parse().unwrap();
            assert_eq!(parse_value(text.as_bytes()).unwrap(), Value::Float(want), "{text}");
        }
    }
}
