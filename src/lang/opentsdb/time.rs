//! Times and durations of requests.
//!
//! OpenTSDB 2.4 DateTime: the kind of a time is recognised in a fixed order, which is kept here since
//! texts that fit several kinds exist.

use base::decimal::{DecimalError, parse_i64};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::calendar::days_before;

/// Why a text is no time or no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// A number that cannot be read.
    #[error("Invalid time: {text}. {reason}")]
    Number {
        /// As given.
        text: String,
        /// Why not.
        reason: DecimalError,
    },
    /// Before 1970.
    #[error("Invalid time: {0}. Negative timestamps are not supported.")]
    Negative(String),
    /// A point at another place than behind ten digits.
    #[error(
        "Invalid time: {0}. Millisecond timestamps must be in the format <seconds>.<ms> where the \
         milliseconds are limited to 3 digits"
    )]
    Fraction(String),
    /// A date of an unknown length.
    #[error("Invalid absolute date: {0}")]
    DateLength(String),
    /// A date that cannot be read.
    #[error("Invalid date: {0}. Unparseable date: \"{0}\"")]
    Date(String),
    /// A zone that does not exist.
    #[error("Invalid timezone name: {0}")]
    Zone(String),
    /// A duration without text.
    #[error("Cannot parse null or empty duration")]
    NoDuration,
    /// Digits without a unit.
    #[error("Invalid duration, must have an integer and unit: {0}")]
    NoUnit(String),
    /// A unit without a number that fits.
    #[error("Invalid duration (number): {0}")]
    DurationNumber(String),
    /// Zero.
    #[error("Zero or negative duration: {0}")]
    Zero(String),
    /// An unknown unit.
    #[error("Invalid duration (suffix): {0}")]
    Unit(String),
    /// More milliseconds than an `i64` holds.
    #[error("Duration must be < Long.MAX_VALUE ms: {0}")]
    TooLong(String),
}

/// Units of durations and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    /// Nominal length in milliseconds: a month has 30 days, a year 365.
    pub fn nominal_ms(self) -> i64 {
        match self {
            Self::Millisecond => 1,
            Self::Second => 1_000,
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
            Self::Week => 7 * 86_400_000,
            Self::Month => 30 * 86_400_000,
            Self::Year => 365 * 86_400_000,
        }
    }
}

/// A count of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration {
    /// How many; positive.
    pub count: i64,
    /// Of what.
    pub unit: Unit,
    /// Nominal length in milliseconds.
    pub nominal_ms: i64,
}

/// Reads digits and a unit. The unit is told by the last character alone.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    if text.is_empty() {
        return Err(TimeError::NoDuration);
    }
    let given = || text.to_owned();
    let Some(digits) = text.bytes().position(|byte| !byte.is_ascii_digit()) else {
        return Err(TimeError::NoUnit(given()));
    };
    let count: i64 = text[..digits].parse().map_err(|_| TimeError::DurationNumber(given()))?;
    if count == 0 {
        return Err(TimeError::Zero(given()));
    }
    let unit = match text.as_bytes() {
        [.., b'm', b's' | b'S'] => Unit::Millisecond,
        [.., last] => match last.to_ascii_lowercase() {
            b's' => Unit::Second,
            b'm' => Unit::Minute,
            b'h' => Unit::Hour,
            b'd' => Unit::Day,
            b'w' => Unit::Week,
            b'n' => Unit::Month,
            b'y' => Unit::Year,
            _ => return Err(TimeError::Unit(given())),
        },
        [] => return Err(TimeError::NoDuration),
    };
    let nominal_ms =
        count.checked_mul(unit.nominal_ms()).ok_or_else(|| TimeError::TooLong(given()))?;
    Ok(Duration { count, unit, nominal_ms })
}

/// The zone of this name.
pub fn parse_zone(name: &str) -> Result<TimeZone, TimeError> {
    TimeZone::get(name).map_err(|_| TimeError::Zone(name.to_owned()))
}

/// Reads a time in milliseconds; `None` for the empty text. `zone` is the name of the zone of absolute
/// dates, UTC where there is none.
pub fn parse_time(text: &str, zone: Option<&str>, now_ms: i64) -> Result<Option<i64>, TimeError> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = |digits: &str| {
        parse_i64(digits.as_bytes())
            .map_err(|reason| TimeError::Number { text: text.to_owned(), reason })
    };
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_suffix("ms") {
        return number(digits).map(Some);
    }
    if lower == "now" {
        return Ok(Some(now_ms));
    }
    if let Some(duration) = lower.strip_suffix("-ago") {
        let text = &text[..duration.len()];
        return Ok(Some(now_ms.saturating_sub(parse_duration(text)?.nominal_ms)));
    }
    if text.contains(['/', ':']) {
        return absolute(text, zone).map(Some);
    }
    if let Some((seconds, millis)) = text.split_once('.') {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !(seconds.len() == 10
            && (1..=3).contains(&millis.len())
            && digits(seconds)
            && digits(millis))
        {
            return Err(TimeError::Fraction(text.to_owned()));
        }
        return number(&format!("{seconds}{millis}")).map(Some);
    }
    let time = number(text)?;
    if time < 0 {
        return Err(TimeError::Negative(text.to_owned()));
    }
    Ok(Some(if text.len() <= 10 { time * 1000 } else { time }))
}

/// `yyyy/MM/dd`, with `HH:mm` and `:ss` behind a blank or a `-`. Fields may pass their bounds: the
/// 13th month is January.
fn absolute(text: &str, zone: Option<&str>) -> Result<i64, TimeError> {
    let zone = zone.filter(|name| !name.is_empty()).map(parse_zone).transpose()?;
    let zone = zone.unwrap_or(TimeZone::UTC);
    let fields_wanted = match text.len() {
        10 => 3,
        16 => 5,
        19 => 6,
        _ => return Err(TimeError::DateLength(text.to_owned())),
    };
    let wrong = || TimeError::Date(text.to_owned());
    let middle = if text.contains('-') { '-' } else { ' ' };
    let separators = ['/', '/', middle, ':', ':'];
    let mut fields = [0i64; 6];
    let mut rest = text;
    for (index, field) in fields.iter_mut().enumerate().take(fields_wanted) {
        if index > 0 {
            rest = rest.strip_prefix(separators[index - 1]).ok_or_else(wrong)?;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        // Five digits are more than any year needs, and keep the arithmetic below in range.
        if digits == 0 || digits > 5 {
            return Err(wrong());
        }
        *field = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
    }
    let [year, month, day, hour, minute, second] = fields;
    let months = year * 12 + month - 1;
    let days = days_before(months) + day - 1;
    let local_seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    local_to_ms(local_seconds * 1000, &zone).ok_or_else(wrong)
}

/// The instant at which clocks of `zone` show `local_ms`, milliseconds since 1970 as if in UTC. A time
/// that is skipped moves forward by the gap, one that occurs twice is the later one.
pub fn local_to_ms(local_ms: i64, zone: &TimeZone) -> Option<i64> {
    if *zone == TimeZone::UTC {
        return Some(local_ms);
    }
    let local = civil(local_ms)?;
    let instant = zone.to_ambiguous_timestamp(local).later().ok()?;
    Some(instant.as_millisecond())
}

fn civil(local_ms: i64) -> Option<DateTime> {
    let instant = jiff::Timestamp::from_millisecond(local_ms).ok()?;
    Some(instant.to_zoned(TimeZone::UTC).datetime())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_400_000_000_123;

    fn of(text: &str, zone: &str) -> String {
        match parse_time(text, Some(zone), NOW_MS) {
            Ok(Some(time)) => time.to_string(),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn times_of_all_kinds() {
        for (text, zone, want) in [
            ("", "UTC", "none"),
            ("0", "", "0"),
            ("1355961600", "", "1355961600000"),
            ("13559616000", "", "13559616000"),
            ("1355961603418", "", "1355961603418"),
            ("1355961603.418", "", "1355961603418"),
            ("1355961603.4", "", "13559616034"),
            ("123123ms", "", "123123"),
            ("now", "", "1400000000123"),
            ("NOW", "", "1400000000123"),
            ("1h-ago", "", "1399996400123"),
            ("2hours-AGO", "", "1399999998123"),
            ("2012/12/20", "UTC", "1355961600000"),
            ("2012/12/20-12:42:42", "Europe/Paris", "1356003762000"),
            ("2012/12/20 12:42", "UTC", "1356007320000"),
            ("2013/13/01", "UTC", "1388534400000"),
            ("2013/02/31", "UTC", "1362268800000"),
            ("2012/12/20-25:00", "UTC", "1356051600000"),
            ("-1", "", "Invalid time: -1. Negative timestamps are not supported."),
            ("1s", "", "Invalid time: 1s. Invalid character 's' in 1s"),
            ("2012/12/", "", "Invalid absolute date: 2012/12/"),
            ("2012/12/20", "Nope/Nope", "Invalid timezone name: Nope/Nope"),
            ("h-ago", "", "Invalid duration (number): h"),
        ] {
            assert_eq!(of(text, zone), want, "{text}");
        }
    }

    #[test]
    fn any_text_is_survived() {
        let parts = ["1", "99999", "/", ":", "-", " ", ".", "-ago", "ms", "now", "é", "y", "h"];
        let mut rng = base::rng::Rng::new(5);
        for _ in 0..5_000 {
            let count = rng.below(8);
            let text: String =
                (0..count).map(|_| parts[rng.below(parts.len() as u64) as usize]).collect();
            let _ = parse_time(&text, Some("Europe/Paris"), NOW_MS);
            let _ = parse_duration(&text);
        }
    }
}
