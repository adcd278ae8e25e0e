//! Parts of dates in UTC from Unix seconds, as Go's calendar has them.

use base::date::{civil, days_from_civil};
use plan::semantics::DatePart;

/// The part of the date at `seconds`, which is truncated toward zero first.
pub(crate) fn part(date_part: DatePart, seconds: f64) -> f64 {
    let seconds = go_seconds(seconds);
    let days = seconds.div_euclid(86_400) as i64;
    let of_day = seconds.rem_euclid(86_400) as i64;
    let (year, month, day) = civil(days);
    (match date_part {
        DatePart::Year => year,
        DatePart::Month => month,
        DatePart::DayOfMonth => day,
        DatePart::DayOfWeek => (days + 4).rem_euclid(7),
        DatePart::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        DatePart::DaysInMonth => days_in_month(year, month),
        DatePart::Hour => of_day / 3600,
        DatePart::Minute => of_day % 3600 / 60,
    }) as f64
}

/// Seconds that Go's calendar knows lie at or after the negative of this; those before wrap around.
const GO_EPOCH_SECONDS: i64 = 9_223_371_966_579_724_800;

/// The second that a Prometheus on 64-bit x86 works with: NaN and what is out of range become the least
/// integer, and its calendar wraps.
fn go_seconds(seconds: f64) -> i128 {
    // 2^63 is exact as a float, the greatest integer is not.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&seconds);
    let seconds = if fits { seconds as i64 } else { i64::MIN };
    let wraps = seconds < -GO_EPOCH_SECONDS;
    i128::from(seconds) + if wraps { 1 << 64 } else { 0 }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_apart() {
        // 2024-02-29 13:14:15 UTC, a Thursday.
        let at = 1_709_212_455.0;
        let parts = [
            (DatePart::Year, 2024.0),
            (DatePart::Month, 2.0),
            (DatePart::DayOfMonth, 29.0),
            (DatePart::DayOfWeek, 4.0),
            (DatePart::DayOfYear, 60.0),
            (DatePart::DaysInMonth, 29.0),
            (DatePart::Hour, 13.0),
            (DatePart::Minute, 14.0),
        ];
        for (date_part, expected) in parts {
            assert_eq!(part(date_part, at), expected, "{date_part:?}");
        }
        assert_eq!(part(DatePart::Year, -1.0), 1969.0);
        assert_eq!(part(DatePart::Hour, -0.5), 0.0);
    }

    #[test]
    fn instants_without_a_date_are_those_of_go() {
        // Measured with Go 1.26 on amd64.
        let all = [
            (f64::NAN, [292_277_026_596.0, 12.0, 4.0, 0.0, 339.0, 15.0, 30.0, 31.0]),
            (f64::INFINITY, [292_277_026_596.0, 12.0, 4.0, 0.0, 339.0, 15.0, 30.0, 31.0]),
            (-1e15, [-31_686_769.0, 6.0, 29.0, 0.0, 180.0, 22.0, 13.0, 30.0]),
            (9e18, [285_198_648_531.0, 4.0, 21.0, 6.0, 111.0, 16.0, 0.0, 30.0]),
        ];
        for (seconds, expected) in all {
            let parts = [
                DatePart::Year,
                DatePart::Month,
                DatePart::DayOfMonth,
                DatePart::DayOfWeek,
                DatePart::DayOfYear,
                DatePart::Hour,
                DatePart::Minute,
                DatePart::DaysInMonth,
            ];
            assert_eq!(parts.map(|date_part| part(date_part, seconds)), expected, "{seconds}");
        }
    }
}
