//! Numbers and instants as Prometheus's JSON spells them.
//!
//! Shortest digits that read back the same; fixed notation while `1e-6 <= |v| < 1e21` (and for zero),
//! an exponent of at least two digits with its sign beyond. Go's `strconv.FormatFloat(v, 'f' | 'e')`.

use std::io::Write as _;

/// Room for the text of any value.
pub const VALUE_ROOM: usize = 32;

/// Appends a sample value without quotes: `1`, `-0`, `1e+21`, `NaN`, `+Inf`.
pub fn write_value(out: &mut Vec<u8>, value: f64) {
    let mut room = [0; VALUE_ROOM];
    let length = put_value(&mut room, value);
    out.extend_from_slice(&room[..length]);
}

/// Puts the text of [`write_value`] into `room` and returns its length; behind it anything may stand.
pub fn put_value(room: &mut [u8; VALUE_ROOM], value: f64) -> usize {
    if value.is_nan() {
        put(room, b"NaN")
    } else if value.is_infinite() {
        put(room, if value > 0.0 { b"+Inf" } else { b"-Inf" })
    } else if is_small_integer(value) {
        put_integer(room, value as i64)
    } else {
        match value.abs() {
            // So far there is no exponent; where two texts are as short and as near, Go and this take
            // the even one, the standard library does not.
            1e-5..1e16 => {
                let mut digits = zmij::Buffer::new();
                let text = digits.format_finite(value).as_bytes();
                put(room, text.strip_suffix(b".0").unwrap_or(text))
            }
            1e-6..1e21 => put(room, format!("{value}").as_bytes()),
            0.0 => put(room, b"-0"),
            _ => put_exponent(room, value),
        }
    }
}

/// Integers that an `i64` holds exactly and that are not the negative zero.
pub(super) fn is_small_integer(value: f64) -> bool {
    value.abs() < 1e15 && (value as i64 as f64).to_bits() == value.to_bits()
}

fn put_exponent(room: &mut [u8; VALUE_ROOM], value: f64) -> usize {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    put(room, format!("{digits}e{sign}{exponent:0>2}").as_bytes())
}

/// Copies `text` in two halves of a fixed size that overlap: no call, no loop.
fn put(room: &mut [u8; VALUE_ROOM], text: &[u8]) -> usize {
    let length = text.len();
    if let (Some(head), Some(tail)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        room[..16].copy_from_slice(head);
        room[length - 16..length].copy_from_slice(tail);
    } else if let (Some(head), Some(tail)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        room[..8].copy_from_slice(head);
        room[length - 8..length].copy_from_slice(tail);
    } else {
        room[..length].copy_from_slice(text);
    }
    length
}

fn put_integer(room: &mut [u8; VALUE_ROOM], value: i64) -> usize {
    let mut digits = [0u8; 20];
    let text = decimal(&mut digits, value.unsigned_abs());
    let sign = usize::from(value < 0);
    room[0] = b'-';
    room[sign..sign + text.len()].copy_from_slice(text);
    sign + text.len()
}

/// The digits of `value`, written to the end of `digits`.
fn decimal(digits: &mut [u8; 20], value: u64) -> &[u8] {
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &digits[start..];
        }
    }
}

/// Appends an integer in decimal.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    out.extend_from_slice(decimal(&mut digits, value.unsigned_abs()));
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
            (3_478_015_635_786_869.0 / 4.0, "869503908946717.2"),
            (4_938_271_560_493_825.0 / 4.0, "1234567890123456.2"),
            (4_938_271_560_493_827.0 / 4.0, "1234567890123456.8"),
            (2e15, "2000000000000000"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_value(value), text);
        }
    }

    #[test]
    fn values_read_back_and_have_the_shortest_digits() {
        // Rust prints the shortest digits that read back, too, and never an exponent.
        let mut random = base::rng::Rng::new(7);
        for round in 0..200_000 {
            let size = 10f64.powi(random.below(22) as i32 - 6);
            let value = (random.below(1 << 40) as f64 / (1u64 << 40) as f64 + 0.1) * size;
            let value = if round % 2 == 0 { value } else { -(value * 1e4).round() / 1e4 };
            if (1e-6..1e21).contains(&value.abs()) {
                let text = format_value(value);
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
                assert_eq!(text.len(), format!("{value}").len());
            }
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
