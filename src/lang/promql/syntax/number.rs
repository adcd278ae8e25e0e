//! Numbers and durations as Go and Prometheus read them.

/// The value of a number token: Go's `ParseInt` with base 0, else `ParseFloat`. The error is Go's.
pub(crate) fn parse_number(token: &str) -> Result<f64, String> {
    if let Some(integer) = parse_integer(token) {
        return Ok(integer as f64);
    }
    let lower = token.to_ascii_lowercase();
    let (sign, digits) = match lower.as_bytes().first() {
        Some(b'-') => (-1.0, lower.get(1..).unwrap_or_default()),
        Some(b'+') => (1.0, lower.get(1..).unwrap_or_default()),
        _ => (1.0, lower.as_str()),
    };
    match digits {
        "inf" | "infinity" => return Ok(sign * f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let failure = |reason: &str| {
        let shown = super::quote::quoted(token);
        format!("error parsing number: strconv.ParseFloat: parsing {shown}: {reason}")
    };
    let plain =
        digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
    match digits.parse::<f64>() {
        Ok(value) if plain && value.is_finite() => Ok(sign * value),
        Ok(_) if plain => Err(failure("value out of range")),
        _ => Err(failure("invalid syntax")),
    }
}

/// An integer with an optional base prefix and underscores; a leading zero means octal.
fn parse_integer(token: &str) -> Option<i64> {
    let (negative, digits) = match token.as_bytes().first()? {
        b'-' => (true, token.get(1..)?),
        b'+' => (false, token.get(1..)?),
        _ => (false, token),
    };
    let (base, body) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    let body = if base == 10 { body } else { body.strip_prefix('_').unwrap_or(body) };
    if body.is_empty() || body.starts_with('_') || body.ends_with('_') || body.contains("__") {
        return None;
    }
    let body = body.replace('_', "");
    let magnitude =
        i128::from_str_radix(&body, base).ok().filter(|_| !body.starts_with(['+', '-']))?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Milliseconds of each unit of a duration, the largest first.
pub const DURATION_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Milliseconds that fit the reference's 64 bits of nanoseconds.
const DURATION_MS_MAX: u64 = (1 << 63) / 1_000_000;

/// The milliseconds of a duration such as `1h30m`. The error is Prometheus's.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("not a valid duration string: {}", super::quote::quoted(text));
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    let (mut rest, mut total, mut next_unit) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let (unit, tail) =
            tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let place = DURATION_UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(|| {
            let (unit, text) = (super::quote::quoted(unit), super::quote::quoted(text));
            format!("unknown unit {unit} in duration {text}")
        })?;
        if place < next_unit {
            return Err(invalid());
        }
        next_unit = place + 1;
        total = DURATION_UNITS
            .get(place)
            .and_then(|(_, unit_ms)| number.checked_mul(unit_ms.unsigned_abs()))
            .and_then(|part| total.checked_add(part))
            .filter(|sum| *sum <= DURATION_MS_MAX)
            .ok_or_else(|| "duration out of range".to_owned())?;
        rest = tail;
    }
    i64::try_from(total).map_err(|_| "duration out of range".to_owned())
}

/// A duration as Prometheus prints it: `1h30m`, `0s`.
pub fn print_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = if ms < 0 { "-".to_owned() } else { String::new() };
    let mut rest = ms.unsigned_abs();
    // Years and weeks only where they divide exactly, to keep 90d from reading as 12w6d.
    for (name, unit_ms) in DURATION_UNITS.map(|(name, ms)| (name, ms.unsigned_abs())) {
        let exact_only = matches!(name, "y" | "w");
        if rest >= unit_ms && (!exact_only || rest.is_multiple_of(unit_ms)) {
            out.push_str(&format!("{}{name}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_go_reads_them() {
        for (token, expected) in [
            ("0755", 493.0),
            ("08", 8.0),
            ("0x1_F", 31.0),
            ("1_000", 1000.0),
            ("0xc", 12.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("5e-3", 0.005),
            ("-5", -5.0),
            ("+Inf", f64::INFINITY),
            ("-iNf", f64::NEG_INFINITY),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
        ] {
            assert_eq!(parse_number(token), Ok(expected), "{token}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
        for bad in ["1e400", "1_000.5", "", "1__0", "0x", "-"] {
            assert!(parse_number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [("0", 0), ("1h30m", 5_400_000), ("5y", 5 * 365 * 86_400_000), ("1ms", 1)]
        {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for (text, error) in [
            ("5m1h", "not a valid duration string: \"5m1h\""),
            ("5m1m", "not a valid duration string: \"5m1m\""),
            ("5y1hs", "unknown unit \"hs\" in duration \"5y1hs\""),
            ("300y", "duration out of range"),
            ("5", "not a valid duration string: \"5\""),
        ] {
            assert_eq!(parse_duration(text), Err(error.to_owned()));
        }
        for (ms, text) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (-420_000, "-7m"),
            (604_800_000, "1w"),
            (15 * 86_400_000, "15d"),
            (90_500, "1m30s500ms"),
        ] {
            assert_eq!(print_duration(ms), text);
        }
    }
}
