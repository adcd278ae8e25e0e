//! Dates of the Gregorian calendar and days since 1970-01-01 (algorithms: Howard Hinnant,
//! "chrono-compatible low-level date algorithms", in which years begin in March).

/// Days of 400 years, after which the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Year, month (from 1) and day (from 1) of the day `days` after 1970-01-01.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a date.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Day by day through an era, by the rule of leap years.
    #[test]
    fn dates_and_days_are_each_others_inverse() {
        let (mut year, mut month, mut day) = (1600, 1, 1);
        for days in -135_140..ERA_DAYS - 135_140 {
            assert_eq!(
                (civil(days), days_from_civil(year, month, day)),
                ((year, month, day), days)
            );
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            (year, month, day) = match (month, day == last[month as usize - 1]) {
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
                (_, false) => (year, month, day + 1),
            };
        }
        assert_eq!((civil(0), civil(-1)), ((1970, 1, 1), (1969, 12, 31)));
        assert_eq!(civil(-800_000), (-221, 9, 4));
    }
}
