//! Numbers and instants as Prometheus's JSON spells them.
//!
//! Shortest digits that read back the same; fixed notation while `1e-6 <= |v| < 1e21` (and for zero),
//! an exponent of at least two digits with its sign beyond. Go's `strconv.FormatFloat(v, 'f' | 'e')`.

use std::io::Write as _;

/// Appends a sample value without quotes: `1`, `-0`, `1e+21`, `NaN`, `+Inf`.
pub fn write_value(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if is_small_integer(value) {
        write_integer(out, value as i64);
    } else {
        let size = value.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            write_fixed(out, value);
        } else {
            write_exponent(out, value);
        }
    }
}

/// Integers that an `i64` holds exactly and that are not the negative zero.
fn is_small_integer(value: f64) -> bool {
    value.abs() < 1e15 && (value as i64 as f64).to_bits() == value.to_bits()
}

/// Digits without an exponent.
fn write_fixed(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    if text.contains(&b'e') {
        let _ = write!(out, "{value}");
    } else {
        out.extend_from_slice(text.strip_suffix(b".0").unwrap_or(text));
    }
}

fn write_exponent(out: &mut Vec<u8>, value: f64) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}

/// Appends an integer in decimal.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
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
    out.extend_from_slice(&digits[start..]);
}

/// Appends milliseconds as seconds: an integer, or exactly three decimals.
pub fn write_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let size = timestamp_ms.unsigned_abs();
    write_integer(out, (size / 1000) as i64);
    let millis = size % 1000;
    if millis != 0 {
        let _ = write!(out, ".{millis:03}");
    }
}

/// A value as text.
pub fn format_value(value: f64) -> String {
    let mut out = Vec::new();
    write_value(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_go_prints_them() {
        // Measured with Go; specs/prometheus-http-api.md, "Numbers".
        for (value, text) in [
            (1e6, "1000000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-07"),
            (-2.5e-9, "-2.5e-09"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (-0.0, "-0"),
            (0.0, "0"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_value(value), text);
        }
    }

    #[test]
    fn instants_have_three_decimals_or_none() {
        for (ms, text) in [
            (1_435_781_451_780, "1435781451.780"),
            (1_435_781_451_000, "1435781451"),
            (-1, "-0.001"),
            (0, "0"),
        ] {
            let mut out = Vec::new();
            write_timestamp(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
