//! Numbers in names, as Python's formats print them.

/// `%g`: up to six significant digits, no trailing zeros, `1e+06`, `1e-07`.
pub fn general(value: f64) -> String {
    if !value.is_finite() {
        return python(value);
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let scientific = format!("{value:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        return trim_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_zeros(digits), exponent.abs())
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// `%d` of a float: cut towards zero.
pub fn integer(value: f64) -> String {
    format!("{:.0}", value.trunc()).replace("-0", "0")
}

/// `str()` of a float: shortest digits, always with a point or an exponent.
pub fn python(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_formats() {
        for (value, expected) in [
            (0.0, "0"),
            (2.0, "2"),
            (0.1, "0.1"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.23457e+06"),
            (1e-7, "1e-07"),
            (0.000_123_456_789, "0.000123457"),
            (-1.5, "-1.5"),
            (999_999.5, "1e+06"),
        ] {
            assert_eq!(general(value), expected);
        }
        assert_eq!(integer(-2.9), "-2");
        assert_eq!(integer(-0.5), "0");
        assert_eq!(python(5.0), "5.0");
        assert_eq!(python(1e21), "1e+21");
        assert_eq!(python(1e-7), "1e-07");
        assert_eq!(python(1e15), "1000000000000000.0");
    }
}
