//! Numbers as C's and Python's formats print them.
//!
//! Names of Graphite series hold numbers in these spellings, and clients parse them back, so the
//! spelling is part of a protocol.

/// `%g`: up to six significant digits, no trailing zeros, `1e+06`, `1e-07`.
pub fn general(value: f64) -> String {
    general_to(value, 6)
}

/// `%g` with as many significant digits as asked for; 0 counts as 1.
pub fn general_to(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return python(value);
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let digits = digits.clamp(1, DIGITS_MAX);
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent >= -4 && i64::from(exponent) < digits as i64 {
        let decimals = usize::try_from(digits as i64 - 1 - i64::from(exponent)).unwrap_or(0);
        return trim_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    format!("{}e{}", trim_zeros(mantissa), signed_exponent(exponent))
}

/// Digits that a format may ask for.
const DIGITS_MAX: usize = 400;

fn signed_exponent(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{:02}", exponent.abs())
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// `%d` of a float: cut towards zero.
pub fn integer(value: f64) -> String {
    if !value.is_finite() {
        return python(value);
    }
    let text = format!("{:.0}", value.trunc());
    if text == "-0" { "0".to_owned() } else { text }
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
    format!("{digits}e{}", signed_exponent(exponent.parse().unwrap_or(0)))
}

/// One conversion of a format, such as `%-8.2f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `-`: fill behind the number.
    pub left: bool,
    /// `0`: fill with zeros.
    pub zeros: bool,
    /// What stands before a number that is not negative: `+`, a space or nothing.
    pub plus: Option<char>,
    /// Least number of characters.
    pub width: usize,
    /// Digits behind the point, or significant ones.
    pub precision: Option<usize>,
    /// How the number is spelled.
    pub conversion: Conversion,
}

/// Spellings of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// `%d`
    Integer,
    /// `%f`
    Fixed,
    /// `%e`
    Exponent,
    /// `%g`
    General,
    /// `%s`
    Text,
}

impl Spec {
    /// The conversion without anything else.
    pub fn plain(conversion: Conversion) -> Self {
        Self { left: false, zeros: false, plus: None, width: 0, precision: None, conversion }
    }

    /// `%.<precision>f`
    pub fn fixed(precision: usize) -> Self {
        Self { precision: Some(precision), ..Self::plain(Conversion::Fixed) }
    }

    /// Reads a conversion at the start of `text`, which follows a `%`; answers it and what is behind
    /// it. `None` where there is none, or one that takes no number.
    pub fn parse(text: &str) -> Option<(Self, &str)> {
        let mut spec = Self::plain(Conversion::Text);
        let mut rest = text;
        while let Some(flag @ ('-' | '0' | '+' | ' ' | '#')) = rest.chars().next() {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zeros = true,
                '+' => spec.plus = Some('+'),
                ' ' => spec.plus = spec.plus.or(Some(' ')),
                _ => {}
            }
            rest = &rest[1..];
        }
        let (width, behind) = digits(rest)?;
        spec.width = width.unwrap_or(0);
        rest = behind;
        if let Some(behind) = rest.strip_prefix('.') {
            let (precision, behind) = digits(behind)?;
            spec.precision = Some(precision.unwrap_or(0));
            rest = behind;
        }
        let rest = rest.trim_start_matches(['h', 'l', 'L']);
        let conversion = rest.chars().next()?;
        spec.conversion = match conversion {
            'd' | 'i' | 'u' => Conversion::Integer,
            'f' | 'F' => Conversion::Fixed,
            'e' | 'E' => Conversion::Exponent,
            'g' | 'G' => Conversion::General,
            's' | 'r' => Conversion::Text,
            _ => return None,
        };
        Some((spec, &rest[1..]))
    }

    /// The number in this spelling.
    pub fn print(&self, value: f64) -> String {
        let bare = self.bare(value);
        let numeric = self.conversion != Conversion::Text;
        let (sign, digits) = match bare.strip_prefix('-') {
            Some(digits) if numeric => ("-".to_owned(), digits.to_owned()),
            _ if numeric => (self.plus.map_or(String::new(), String::from), bare),
            _ => (String::new(), bare),
        };
        let length = sign.chars().count() + digits.chars().count();
        let fill = self.width.saturating_sub(length);
        if self.left {
            format!("{sign}{digits}{:fill$}", "")
        } else if self.zeros && numeric && value.is_finite() {
            format!("{sign}{}{digits}", "0".repeat(fill))
        } else {
            format!("{:fill$}{sign}{digits}", "")
        }
    }

    fn bare(&self, value: f64) -> String {
        let precision = self.precision.unwrap_or(6).min(DIGITS_MAX);
        match self.conversion {
            Conversion::Integer => integer(value),
            Conversion::Text => {
                let text = python(value);
                match self.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text,
                }
            }
            _ if !value.is_finite() => python(value),
            Conversion::Fixed => format!("{value:.precision$}"),
            Conversion::General => general_to(value, precision),
            Conversion::Exponent => {
                let scientific = format!("{value:.precision$e}");
                let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
                format!("{digits}e{}", signed_exponent(exponent.parse().unwrap_or(0)))
            }
        }
    }
}

/// A number at the start of `text`, bounded so that a format cannot ask for megabytes.
fn digits(text: &str) -> Option<(Option<usize>, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(count);
    if number.is_empty() {
        return Some((None, rest));
    }
    let number = number.parse().ok().filter(|number| *number <= DIGITS_MAX)?;
    Some((Some(number), rest))
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
        assert_eq!(integer(-10.0), "-10");
        assert_eq!(python(5.0), "5.0");
        assert_eq!(python(1e21), "1e+21");
        assert_eq!(python(1e-7), "1e-07");
        assert_eq!(python(1e15), "1000000000000000.0");
    }

    #[test]
    fn conversions_print_as_in_python() {
        for (format, value, expected) in [
            ("d", 410.7, "410"),
            ("5d|", -3.0, "   -3|"),
            ("-6.1f|", 2.25, "2.2   |"),
            ("06.1f", -2.35, "-002.4"),
            ("+.3e", 12345.678, "+1.235e+04"),
            (".3g", 1234.5, "1.23e+03"),
            ("s", 3.0, "3.0"),
            ("f", 0.5, "0.500000"),
        ] {
            let (spec, rest) = Spec::parse(format).unwrap();
            assert_eq!(format!("{}{rest}", spec.print(value)), expected, "{format}");
        }
        for bad in ["", "x", "c", "99999d", ".99999f", "-"] {
            assert_eq!(Spec::parse(bad), None, "{bad}");
        }
    }
}
