//! Buckets of local hours, days, weeks, months and years.
//!
//! OpenTSDB 2.4 DateTime.previousInterval: a bucket's start is found by stepping from an anchor (the
//! hour, the day, the first of January …) and further starts by stepping from there. Clock units are
//! stepped in absolute time, days and longer ones on the wall clock, so a day may have 23 or 25 hours.

use base::date::days_from_civil;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::time::{Unit, local_to_ms};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

/// An interval of the calendar of one zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// Units per bucket; positive.
    pub count: i64,
    /// The unit.
    pub unit: Unit,
    /// Whose days they are.
    pub zone: TimeZone,
}

/// Days from 1970-01-01 to the first of a month counted from January of year 0.
pub fn days_before(months: i64) -> i64 {
    days_from_civil(months.div_euclid(12), months.rem_euclid(12) + 1, 1)
}

/// The month of a local time, counted from January of year 0, and its day from 0.
fn month_and_day(local_ms: i64) -> (i64, i64) {
    let days = local_ms.div_euclid(DAY);
    // At most a month off, and then corrected.
    let mut months = 1970 * 12 + (days * 400 * 12).div_euclid(146_097);
    while days_before(months) > days {
        months -= 1;
    }
    while days_before(months + 1) <= days {
        months += 1;
    }
    (months, days - days_before(months))
}

impl Calendar {
    /// What clocks show at `at_ms`.
    fn local(&self, at_ms: i64) -> Option<i64> {
        let instant = Timestamp::from_millisecond(at_ms).ok()?;
        Some(at_ms + i64::from(self.zone.to_offset(instant).seconds()) * 1000)
    }

    /// Milliseconds of the bucket if its unit is one of the clock.
    fn clock_ms(&self) -> Option<i64> {
        let clock =
            matches!(self.unit, Unit::Millisecond | Unit::Second | Unit::Minute | Unit::Hour);
        clock.then(|| self.unit.nominal_ms().saturating_mul(self.count))
    }

    /// `count` units behind `at_ms`; `None` outside the years −9999 … 9999.
    fn step(&self, at_ms: i64, count: i64) -> Option<i64> {
        let local = || self.local(at_ms);
        let moved = match self.unit {
            Unit::Day => local()?.checked_add(count.checked_mul(DAY)?)?,
            Unit::Week => local()?.checked_add(count.checked_mul(7 * DAY)?)?,
            Unit::Month => add_months(local()?, count)?,
            Unit::Year => add_months(local()?, count.checked_mul(12)?)?,
            _ => return at_ms.checked_add(count.checked_mul(self.unit.nominal_ms())?),
        };
        local_to_ms(moved, &self.zone)
    }

    /// The start of the bucket behind the one that starts at `at_ms`.
    pub fn next(&self, at_ms: i64) -> Option<i64> {
        self.step(at_ms, self.count)
    }

    /// The start of the bucket that holds `at_ms`.
    pub fn start_of(&self, at_ms: i64) -> Option<i64> {
        let anchor = local_to_ms(self.anchor(self.local(at_ms)?), &self.zone)?;
        if let Some(width) = self.clock_ms() {
            // An ambiguous anchor can lie behind the instant: one step back, and no more.
            return Some(if anchor <= at_ms {
                anchor + (at_ms - anchor) / width * width
            } else {
                anchor - width
            });
        }
        // Weeks are looked for one by one, whatever the count.
        let count = if self.unit == Unit::Week { 1 } else { self.count };
        let mut start = anchor;
        loop {
            let next = self.step(start, count)?;
            if next > at_ms || next <= start {
                return Some(start);
            }
            start = next;
        }
    }

    /// The next anchor behind that of `at_ms`; `None` where all anchors are edges of one sequence.
    pub fn anchor_after(&self, at_ms: i64) -> Option<i64> {
        let divides = |whole: i64| whole % self.count == 0;
        let anchor = self.anchor(self.local(at_ms)?);
        let (months, _) = month_and_day(anchor);
        let month = days_before(months + 1) * DAY;
        let year = days_before(months - months.rem_euclid(12) + 12) * DAY;
        let next = match self.unit {
            // Clocks are never moved by less than half an hour.
            Unit::Millisecond if divides(1000) => return None,
            Unit::Second | Unit::Minute if divides(60) => return None,
            Unit::Millisecond => anchor + MINUTE,
            Unit::Second => anchor + HOUR,
            Unit::Minute => anchor + DAY,
            Unit::Hour if divides(24) => anchor + DAY,
            Unit::Hour => month,
            Unit::Day if self.count == 1 => month,
            Unit::Week => anchor + 7 * DAY,
            Unit::Day | Unit::Month | Unit::Year => year,
        };
        local_to_ms(next, &self.zone)
    }

    /// The local time that buckets around `local` are counted from.
    fn anchor(&self, local: i64) -> i64 {
        let floor = |unit: i64| local - local.rem_euclid(unit);
        let divides = |whole: i64| whole % self.count == 0;
        let (months, day) = month_and_day(local);
        let month = days_before(months) * DAY;
        let year = days_before(months - months.rem_euclid(12)) * DAY;
        match self.unit {
            Unit::Millisecond => floor(if divides(1000) { SECOND } else { MINUTE }),
            Unit::Second => floor(if divides(60) { MINUTE } else { HOUR }),
            Unit::Minute => floor(if divides(60) { HOUR } else { DAY }),
            Unit::Hour if divides(24) => floor(DAY),
            Unit::Hour => month,
            Unit::Day if self.count == 1 => month,
            Unit::Week => {
                let midnight = if self.count <= 2 { floor(DAY) } else { first_month(months, day) };
                // 1970-01-01 was a Thursday; weeks start on Sunday.
                midnight - (midnight.div_euclid(DAY) + 4).rem_euclid(7) * DAY
            }
            Unit::Day | Unit::Month | Unit::Year => year,
        }
    }
}

/// The same day of January.
fn first_month(months: i64, day: i64) -> i64 {
    (days_before(months - months.rem_euclid(12)) + day) * DAY
}

/// The same day and time of another month, or its last day.
fn add_months(local: i64, count: i64) -> Option<i64> {
    let (months, day) = month_and_day(local);
    let months = months.checked_add(count).filter(|months| months.abs() < 10_000 * 12)?;
    let last = days_before(months + 1) - days_before(months) - 1;
    Some((days_before(months) + day.min(last)) * DAY + local.rem_euclid(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970() {
        for (year, month, want) in [(1970, 1, 0), (1970, 2, 31), (2000, 3, 11_017), (1969, 12, -31)]
        {
            assert_eq!(days_before(year * 12 + month - 1), want);
        }
        for days in (-800_000..800_000).step_by(37) {
            let (months, day) = month_and_day(days * DAY);
            assert_eq!(days_before(months) + day, days);
            assert!((0..31).contains(&day));
        }
    }

    fn calendar(count: i64, unit: Unit, zone: &str) -> Calendar {
        Calendar { count, unit, zone: TimeZone::get(zone).unwrap() }
    }

    #[test]
    fn days_of_a_zone_have_their_own_length() {
        let paris = calendar(1, Unit::Day, "Europe/Paris");
        // The day of the change to summer time, 2013-03-31, has 23 hours.
        let start = paris.start_of(1_364_725_000_000).unwrap();
        assert_eq!(start, 1_364_684_400_000);
        assert_eq!(paris.next(start).unwrap() - start, 23 * HOUR);
        let months = calendar(1, Unit::Month, "Pacific/Auckland");
        assert_eq!(months.start_of(1_356_998_400_000), Some(1_356_951_600_000));
        let weeks = calendar(1, Unit::Week, "UTC");
        assert_eq!(weeks.start_of(1_356_998_400_000), Some(1_356_825_600_000));
    }
}
