//! Numbers as text, where a query's result or a message depends on their spelling.

/// The shortest decimal without an exponent: what Go's `FormatFloat(v, 'f', -1, 64)` prints.
pub fn decimal(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}

/// What Go's `%g` prints: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub fn general(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return decimal(value);
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return decimal(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// What Go's `%.{digits}g` prints: so many significant digits, trailing zeros left out.
pub fn general_to(value: f64, digits: usize) -> String {
    if !value.is_finite() || value == 0.0 {
        return decimal(value);
    }
    let precision = digits.max(1) - 1;
    let scientific = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..digits.max(1) as i32).contains(&exponent) {
        return decimal(scientific.parse().unwrap_or(value));
    }
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0') } else { mantissa };
    let mantissa = mantissa.trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A number as OpenMetrics spells it: always with a point or an exponent.
pub fn open_metrics(value: f64) -> String {
    let text = general(value);
    if !value.is_finite() || text.contains(['e', '.']) { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_go_does() {
        for (value, text) in [(1.0, "1"), (123.0, "1.2e+02"), (0.0123, "0.012"), (99.9, "1e+02")] {
            assert_eq!(general_to(value, 2), text);
        }
        assert_eq!(open_metrics(1.0) + &open_metrics(0.5), "1.00.5");
        assert_eq!(decimal(1e21), "1000000000000000000000");
        assert_eq!(decimal(f64::NEG_INFINITY), "-Inf");
        for (value, text) in [
            (1e6, "1e+06"),
            (100_000.0, "100000"),
            (1e-6, "1e-06"),
            (0.0001, "0.0001"),
            (1.1, "1.1"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (-1.5, "-1.5"),
        ] {
            assert_eq!(general(value), text);
        }
    }
}
