//! Decimal integers as strict protocols spell them: an optional sign and up to 19 digits.
//!
//! OpenTSDB reads values, timestamps and query times by the same rules and shows the same messages,
//! so the parser stands below both its decoder and its query language.

/// Digits that an `i64` can have.
const DIGITS_MAX: usize = 19;

/// Why a text is no integer. `Display` is the text that OpenTSDB's clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Nothing at all.
    #[error("Empty string")]
    Empty,
    /// A sign without digits.
    #[error("Just a sign, no value: {0}")]
    JustASign(String),
    /// Something that is no digit.
    #[error("Invalid character '{character}' in {text}")]
    InvalidCharacter {
        /// The first of them.
        character: char,
        /// The whole text.
        text: String,
    },
    /// More digits than any `i64` has.
    #[error("Value too long: {0}")]
    TooLong(String),
    /// Outside an `i64`.
    #[error("Overflow in {0}")]
    Overflow(String),
}

/// Reads `text` as an `i64`. Leading zeros count as digits.
#[inline]
pub fn parse_i64(text: &[u8]) -> Result<i64, DecimalError> {
    // 18 digits cannot overflow and are nearly all there is.
    if text.is_empty() || text.len() > DIGITS_MAX - 1 {
        return parse_slowly(text);
    }
    let (negative, digits) = match text[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut number = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return parse_slowly(text);
        }
        number = number * 10 + i64::from(digit);
    }
    if digits.is_empty() {
        return parse_slowly(text);
    }
    Ok(if negative { -number } else { number })
}

#[cold]
fn parse_slowly(bytes: &[u8]) -> Result<i64, DecimalError> {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let (signed, digits) = match bytes {
        [] => return Err(DecimalError::Empty),
        [b'-' | b'+', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return Err(DecimalError::JustASign(shown()));
    }
    if bytes.len() > DIGITS_MAX + usize::from(signed) {
        return Err(DecimalError::TooLong(shown()));
    }
    if let Some(at) = digits.iter().position(|byte| !byte.is_ascii_digit()) {
        let rest = String::from_utf8_lossy(&digits[at..]).into_owned();
        let character = rest.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
        return Err(DecimalError::InvalidCharacter { character, text: shown() });
    }
    shown().parse().map_err(|_| DecimalError::Overflow(shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_signs_zeros_and_extremes() {
        for (text, want) in [
            ("0", 0),
            ("-42", -42),
            ("+42", 42),
            ("0000000000000000042", 42),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("+9223372036854775807", i64::MAX),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), Ok(want), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, want) in [
            ("", "Empty string"),
            ("-", "Just a sign, no value: -"),
            ("abc", "Invalid character 'a' in abc"),
            ("--1", "Invalid character '-' in --1"),
            ("42 ", "Invalid character ' ' in 42 "),
            ("9223372036854775808", "Overflow in 9223372036854775808"),
            ("-9223372036854775809", "Overflow in -9223372036854775809"),
            ("00000000000000000042", "Value too long: 00000000000000000042"),
        ] {
            let error = parse_i64(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), want, "{text}");
        }
    }
}
