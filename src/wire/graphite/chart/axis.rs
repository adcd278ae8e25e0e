//! Axes: where their marks are and what the marks say.

use super::TimeText;
use super::options::UnitSystem;

/// Marks of an axis that are drawn at most.
const MARKS_MAX: usize = 200;

/// The axis of values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ValueAxis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Values that are marked, ascending.
    pub(super) marks: Vec<f64>,
    step: f64,
    log_base: Option<f64>,
}

/// What the user wants of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) limit: Option<f64>,
    pub(super) step: Option<f64>,
    pub(super) log_base: Option<f64>,
}

impl ValueAxis {
    /// An axis for values from `low` to `high` with about `marks` marks.
    pub(super) fn new((low, high): (f64, f64), wanted: Wanted, marks: f64) -> Self {
        let log_base = wanted.log_base.filter(|base| *base > 1.0);
        let limit = wanted.limit.unwrap_or(f64::INFINITY);
        let mut low = wanted.min.unwrap_or(low);
        let mut high = wanted.max.unwrap_or(high).min(limit);
        if !(low.is_finite() && high.is_finite()) || low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= f64::EPSILON * high.abs().max(low.abs()).max(1e-300) {
            let room = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            high += room;
            low -= if low == 0.0 || wanted.min.is_some() { 0.0 } else { room };
        }
        if let Some(base) = log_base {
            return Self::logarithmic(low, high, base);
        }
        let step = wanted.step.filter(|step| *step > 0.0 && (high - low) / step < 1000.0);
        let step = step.unwrap_or_else(|| round_step((high - low) / marks.max(1.0)));
        low = if wanted.min.is_some() { low } else { (low / step).floor() * step };
        high = if wanted.max.is_some() { high } else { (high / step).ceil() * step };
        let first = (low / step - 1e-9).ceil();
        let count = ((high / step + 1e-9).floor() - first).clamp(0.0, MARKS_MAX as f64) as usize;
        let marks = (0..=count).map(|index| (first + index as f64) * step).collect();
        Self { low, high, marks, step, log_base: None }
    }

    fn logarithmic(low: f64, high: f64, base: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let low = if low > 0.0 { low.min(high) } else { high / base.powi(4) };
        let first = low.log(base).floor();
        let last = high.log(base).ceil().max(first + 1.0);
        let count = (last - first).min(MARKS_MAX as f64) as usize;
        let marks = (0..=count).map(|index| base.powf(first + index as f64)).collect();
        Self {
            low: base.powf(first),
            high: base.powf(last),
            marks,
            step: 0.0,
            log_base: Some(base),
        }
    }

    /// How far up a value is: 0 at the bottom, 1 at the top; `None` where a logarithm has no place.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        let place = match self.log_base {
            None => (value - self.low) / (self.high - self.low),
            Some(_) if value <= 0.0 => return None,
            Some(base) => (value / self.low).log(base) / (self.high / self.low).log(base),
        };
        place.is_finite().then_some(place)
    }

    /// What a mark says.
    pub(super) fn label(&self, value: f64, units: UnitSystem) -> String {
        let (divisor, prefix) = units.prefix(self.high.abs().max(self.low.abs()));
        if value == 0.0 {
            return "0".to_owned();
        }
        if self.log_base.is_some() {
            let (divisor, prefix) = units.prefix(value.abs());
            return format!("{}{prefix}", digits(value / divisor, value / divisor));
        }
        format!("{}{prefix}", digits(value / divisor, self.step / divisor))
    }
}

/// As many decimals as steps of this size need.
fn digits(value: f64, step: f64) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.2e}");
    }
    let decimals = (0..10).find(|decimals| {
        let scaled = step.abs() * 10f64.powi(*decimals);
        scaled >= 0.999 && (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    format!("{value:.*}", decimals.unwrap_or(3) as usize)
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
    let factor = factors.into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// Distances of marks in seconds, and how their times are written.
const TIME_STEPS: [(i64, &str); 22] = [
    (1, "%H:%M:%S"),
    (5, "%H:%M:%S"),
    (10, "%H:%M:%S"),
    (30, "%H:%M:%S"),
    (60, "%H:%M"),
    (300, "%H:%M"),
    (600, "%H:%M"),
    (900, "%H:%M"),
    (1800, "%H:%M"),
    (3600, "%H:%M"),
    (7200, "%H:%M"),
    (14_400, "%H:%M"),
    (21_600, "%a %H:%M"),
    (43_200, "%a %H:%M"),
    (86_400, "%m/%d"),
    (172_800, "%m/%d"),
    (604_800, "%m/%d"),
    (1_209_600, "%m/%d"),
    (2_592_000, "%m/%d/%y"),
    (7_776_000, "%m/%d/%y"),
    (15_552_000, "%m/%d/%y"),
    (31_536_000, "%m/%d/%y"),
];

/// Marks of an axis of time from `from` to `until`, at most about `marks`: times and words. They lie
/// on whole hours and days of the zone.
pub(super) fn time_marks(
    (from, until): (i64, i64),
    marks: f64,
    format: Option<&str>,
    times: &TimeText<'_>,
) -> Vec<(i64, String)> {
    let span = until.saturating_sub(from).max(1);
    let wide_enough = |(step, _): &&(i64, &str)| span as f64 / *step as f64 <= marks.max(1.0);
    let last = TIME_STEPS[TIME_STEPS.len() - 1];
    let (mut step, pattern) = *TIME_STEPS.iter().find(wide_enough).unwrap_or(&last);
    step = step.max(span / MARKS_MAX as i64);
    let mut out = Vec::new();
    let local = from.saturating_add((times.offset_s)(from));
    let mut at = from.saturating_add((step - local.rem_euclid(step)) % step);
    while at <= until && out.len() <= MARKS_MAX {
        // Where the zone's offset changes, marks move back to the whole hour.
        let off = at.saturating_add((times.offset_s)(at)).rem_euclid(step);
        let moved = if off * 2 > step { at + (step - off) } else { at - off };
        if (from..=until).contains(&moved) {
            out.push((moved, (times.text)(moved, format.unwrap_or(pattern))));
        }
        at = at.saturating_add(step);
    }
    out.dedup_by_key(|(at, _)| *at);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: (f64, f64), wanted: Wanted, units: UnitSystem, expected: &[&str]) {
        let axis = ValueAxis::new(range, wanted, 5.0);
        let labels: Vec<String> = axis.marks.iter().map(|mark| axis.label(*mark, units)).collect();
        assert_eq!(labels, expected);
    }

    #[test]
    fn marks_are_round() {
        let free = Wanted::default();
        check((0.0, 10.0), free, UnitSystem::Si, &["0", "2", "4", "6", "8", "10"]);
        check((0.0, 1.1), free, UnitSystem::Si, &["0", "0.25", "0.50", "0.75", "1.00", "1.25"]);
        check((0.0, 9.5e6), free, UnitSystem::Si, &["0", "2M", "4M", "6M", "8M", "10M"]);
        check((5.0, 5.0), free, UnitSystem::Si, &["4.4", "4.6", "4.8", "5.0", "5.2", "5.4", "5.6"]);
        check((0.0, 0.0), free, UnitSystem::None, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let log = Wanted { log_base: Some(10.0), ..free };
        check((3.0, 4000.0), log, UnitSystem::None, &["1", "10", "100", "1000", "10000"]);
        let fixed = Wanted { min: Some(1.0), max: Some(3.5), step: Some(1.0), ..free };
        check((0.0, 100.0), fixed, UnitSystem::None, &["1", "2", "3"]);
        check(
            (f64::NAN, f64::INFINITY),
            free,
            UnitSystem::None,
            &["0", "0.2", "0.4", "0.6", "0.8", "1.0"],
        );
    }

    #[test]
    fn times_lie_on_whole_units_of_the_zone() {
        let times = TimeText { offset_s: &|_| 1800, text: &|at, _| at.to_string() };
        let at: Vec<i64> =
            time_marks((100, 15_000), 5.0, None, &times).into_iter().map(|mark| mark.0).collect();
        assert_eq!(at, [1800, 5400, 9000, 12_600]);
    }
}
