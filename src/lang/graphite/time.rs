//! Times and intervals as `from`, `until` and the functions take them.
//!
//! A time is an epoch in seconds, or a reference (`now`, a time of day, a day) with one offset behind
//! it. Offsets are exact seconds: `midnight+24h` on a day of 25 hours is 23:00. A wall time that
//! occurs twice is the second one (standard time); one that does not exist is moved forward by the gap.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{Disambiguation, TimeZone};

use super::error::GraphiteError;

/// Last second that has a date: 9999-12-31T23:59:59Z.
const EPOCH_MAX: i64 = 253_402_300_799;

/// The time zone of this name; `fallback` where there is none.
pub fn zone(name: Option<&str>, fallback: &TimeZone) -> TimeZone {
    name.and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(|| fallback.clone())
}

/// The epoch, in seconds, of `text` in zone `zone` when it is `now_s`.
pub fn parse_time(text: &str, now_s: i64, zone: &TimeZone) -> Result<i64, GraphiteError> {
    let error = |reason| GraphiteError::Time { text: text.to_owned(), reason };
    let normal: String = text
        .chars()
        .filter(|character| !matches!(character, '_' | ',' | ' '))
        .flat_map(char::to_lowercase)
        .collect();
    if is_digits(&normal) && !is_date(&normal) {
        return match normal.parse() {
            Ok(epoch) if epoch <= EPOCH_MAX => Ok(epoch),
            _ => Err(error("year is out of range")),
        };
    }
    let sign = normal.find('+').or_else(|| normal.find('-')).unwrap_or(normal.len());
    let (reference, offset) = normal.split_at(sign);
    let offset = offset_seconds(offset).map_err(error)?;
    let reference = reference_seconds(reference, now_s, zone).map_err(error)?;
    match reference.checked_add(offset) {
        Some(epoch) if (-EPOCH_MAX..=EPOCH_MAX).contains(&epoch) => Ok(epoch),
        _ => Err(error("year is out of range")),
    }
}

/// The seconds of an interval such as `5min`, `-1d12h` or `+2weeks`.
pub fn parse_interval(text: &str) -> Result<i64, GraphiteError> {
    offset_seconds(text).map_err(|reason| GraphiteError::Time { text: text.to_owned(), reason })
}

/// The wall time of an epoch as `YYYY-MM-DD HH:MM:SS`; the number itself beyond the calendar.
pub fn wall_clock(epoch_s: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(epoch_s) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => epoch_s.to_string(),
    }
}

type Reason = &'static str;

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Eight digits that could be a date rather than an epoch.
fn is_date(digits: &str) -> bool {
    let number = |range| digits.get(range).and_then(|part: &str| part.parse::<u32>().ok());
    digits.len() == 8
        && number(0..4).is_some_and(|year| year > 1900)
        && number(4..6).is_some_and(|month| month < 13)
        && number(6..8).is_some_and(|day| day < 32)
}

fn offset_seconds(text: &str) -> Result<i64, Reason> {
    let (sign, mut rest) = match text.as_bytes().first() {
        None => return Ok(0),
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        Some(byte) if byte.is_ascii_digit() => (1, text),
        Some(_) => return Err("offset needs a number"),
    };
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|next: char| !next.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: i64 = number.parse().map_err(|_| "offset needs a number before each unit")?;
        let seconds = number.checked_mul(unit_seconds(unit)?);
        total = seconds.and_then(|part| total.checked_add(part)).ok_or("offset is too large")?;
        rest = after;
    }
    Ok(sign * total)
}

/// A unit is known by how it begins. `m` alone is ambiguous, and refused.
fn unit_seconds(unit: &str) -> Result<i64, Reason> {
    const UNITS: [(&str, i64); 7] = [
        ("s", 1),
        ("min", 60),
        ("h", 3600),
        ("d", 86_400),
        ("w", 7 * 86_400),
        ("mon", 30 * 86_400),
        ("y", 365 * 86_400),
    ];
    UNITS
        .iter()
        .find(|(prefix, _)| unit.starts_with(prefix))
        .map(|(_, seconds)| *seconds)
        .ok_or("offset unit is not one of s, min, h, d, w, mon, y")
}

fn reference_seconds(text: &str, now_s: i64, zone: &TimeZone) -> Result<i64, Reason> {
    if text.is_empty() || text == "now" {
        return Ok(now_s);
    }
    let now = Timestamp::from_second(now_s).map_err(|_| "now is out of range")?;
    let today = now.to_zoned(zone.clone()).date();
    let (hour, minute, day) = time_of_day(text)?;
    let date = day_of(day, today)?;
    let at = date.at(hour, minute, 0, 0);
    let zoned = zone.to_ambiguous_zoned(at).disambiguate(Disambiguation::Later);
    match zoned {
        Ok(zoned) => Ok(zoned.timestamp().as_second()),
        // The calendar's last hours have no instant in the library, and the offset of those before.
        Err(_) => {
            let epoch = at.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs();
            Ok(epoch - i64::from(zone.to_offset(Timestamp::MAX).seconds()))
        }
    }
}

/// Takes the time of day off the front: hour, minute, and what is left.
fn time_of_day(text: &str) -> Result<(i8, i8, &str), Reason> {
    let (mut hour, mut minute, mut rest) = (0i8, 0i8, text);
    let number = |digits: &str, max: i8| match digits.parse::<i8>() {
        Ok(value) if (0..=max).contains(&value) && is_digits(digits) => Ok(value),
        _ => Err("time of day is not HH:MM"),
    };
    if let Some(colon @ 1..3) = rest.find(':') {
        hour = number(&rest[..colon], 23)?;
        let end = rest.len().min(colon + 3);
        minute = number(rest.get(colon + 1..end).unwrap_or_default(), 59)?;
        rest = &rest[end..];
        for half in ["am", "pm"] {
            if let Some(after) = rest.strip_prefix(half) {
                hour = half_day(hour, half);
                rest = after;
                break;
            }
        }
    }
    for half in ["am", "pm"] {
        if let Some(at @ 1..3) = rest.find(half) {
            hour = half_day(number(&rest[..at], 23)?, half);
            rest = &rest[at + 2..];
        }
    }
    for (name, named_hour) in [("noon", 12), ("midnight", 0), ("teatime", 16)] {
        if let Some(after) = rest.strip_prefix(name) {
            (hour, minute, rest) = (named_hour, 0, after);
            break;
        }
    }
    Ok((hour, minute, rest))
}

/// 12am is midnight and 12pm is noon; the original has them the other way round.
fn half_day(hour: i8, half: &str) -> i8 {
    match (hour, half) {
        (12, "am") => 0,
        (12, "pm") => 12,
        (_, "pm") => (hour + 12) % 24,
        _ => hour,
    }
}

fn day_of(text: &str, today: Date) -> Result<Date, Reason> {
    const UNKNOWN: Reason = "unknown day reference";
    const RANGE: Reason = "day is out of range";
    match text {
        "" | "today" => return Ok(today),
        "yesterday" => return today.yesterday().map_err(|_| RANGE),
        "tomorrow" => return today.tomorrow().map_err(|_| RANGE),
        _ => {}
    }
    let date = |year: i16, month: i8, day: i8| Date::new(year, month, day).map_err(|_| RANGE);
    let parts: Vec<&str> = text.split('/').collect();
    if let [month, day, year] = parts[..] {
        let number = |part: &str| part.parse::<i16>().map_err(|_| UNKNOWN);
        let mut year = number(year)?;
        year += if year < 1900 { 1900 } else { 0 };
        year += if year < 1970 { 100 } else { 0 };
        let small = |part| i8::try_from(number(part)?).map_err(|_| RANGE);
        return date(year, small(month)?, small(day)?);
    }
    if text.len() == 8 && is_digits(text) {
        let number = |range| text.get(range).and_then(|part: &str| part.parse::<i16>().ok());
        let year = number(0..4).ok_or(UNKNOWN)?;
        let small = |range| number(range).and_then(|value| i8::try_from(value).ok());
        return date(year, small(4..6).ok_or(UNKNOWN)?, small(6..8).ok_or(UNKNOWN)?);
    }
    let name = text.get(..3).ok_or(UNKNOWN)?;
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    if let Some(month) = MONTHS.iter().position(|known| *known == name) {
        let digits = text.len() - text.trim_end_matches(|last: char| last.is_ascii_digit()).len();
        let start = text.len() - digits.min(2);
        let day: i8 = text[start..].parse().map_err(|_| "day of month is missing")?;
        return date(today.year(), month as i8 + 1, day);
    }
    const DAYS: [(&str, Weekday); 7] = [
        ("sun", Weekday::Sunday),
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
    ];
    let weekday = DAYS.iter().find(|(known, _)| *known == name).ok_or(UNKNOWN)?.1;
    let back = today.weekday().since(weekday);
    today.checked_sub(jiff::Span::new().days(i64::from(back))).map_err(|_| RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tuesday, 2023-11-14 22:13:20 UTC.
    const NOW: i64 = 1_700_000_000;

    fn check(text: &str, zone: &str, expected: &str) {
        let zone = TimeZone::get(zone).unwrap();
        let got = match parse_time(text, NOW, &zone) {
            Ok(epoch) => wall_clock(epoch, &zone),
            Err(GraphiteError::Time { reason, .. }) => reason.to_owned(),
            Err(other) => other.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn times() {
        check("now-1h", "UTC", "2023-11-14 21:13:20");
        check("-5mins", "UTC", "2023-11-14 22:08:20");
        check("12345678", "UTC", "1970-05-23 21:21:18");
        check("20231101+1h", "UTC", "2023-11-01 01:00:00");
        check("04:3720150822", "UTC", "2015-08-22 04:37:00");
        check("noon yesterday", "UTC", "2023-11-13 12:00:00");
        check("12am", "UTC", "2023-11-14 00:00:00");
        check("12:30pm", "UTC", "2023-11-14 12:30:00");
        check("6pm_january 8", "UTC", "2023-01-08 18:00:00");
        check("12/31/69", "UTC", "2069-12-31 00:00:00");
        check("wed", "UTC", "2023-11-08 00:00:00");
        check("monday-1w", "UTC", "2023-11-06 00:00:00");
        check("02:30_20230312", "America/Los_Angeles", "2023-03-12 03:30:00");
        check("20231105+24h", "America/Los_Angeles", "2023-11-05 23:00:00");
        check("monkey", "UTC", "2023-11-13 00:00:00");
        check("funday", "UTC", "unknown day reference");
        check("-1m", "UTC", "offset unit is not one of s, min, h, d, w, mon, y");
        check("now-1d+2h", "UTC", "unknown day reference");
        check("24:00", "UTC", "time of day is not HH:MM");
        check("feb30", "UTC", "day is out of range");
        check("99999999999999999999", "UTC", "year is out of range");
        check("-99999999999y", "UTC", "year is out of range");
    }

    #[test]
    fn intervals() {
        for (text, seconds) in
            [("1min30s", 90), ("-1h30min", -5400), ("2months", 5_184_000), ("", 0)]
        {
            assert_eq!(parse_interval(text), Ok(seconds), "{text}");
        }
        for text in ["h", "1 h", "1.5h", "5", "1h-5min", "9223372036854775807y", "\u{e9}"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
