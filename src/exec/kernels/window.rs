//! Values of one window of one row's samples.

use plan::EvalError;
use plan::semantics::FoldFunction;

use crate::error::ExecError;
use crate::kernels::reduce::reduce;
use crate::kernels::regression::{double_exponential, line, median_absolute_deviation};
use crate::row::ABSENT;

/// Where a window lies. Samples satisfy `after_ms < time <= until_ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The instant the value stands at.
    pub(crate) at_ms: i64,
    /// Lower edge, excluded.
    pub(crate) after_ms: i64,
    /// Upper edge, included.
    pub(crate) until_ms: i64,
}

impl Window {
    pub(crate) fn seconds(&self) -> f64 {
        (self.until_ms - self.after_ms) as f64 / 1e3
    }
}

/// Integers up to this size are exact, and so are the sums and differences of a few of them.
const WHOLE_MAX: f64 = (1u64 << 50) as f64;

/// Where a row's values fall, found once per row.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    /// The values before the falls.
    lost: Vec<f64>,
    /// For each sample how many falls there are up to it; empty without any.
    falls: Vec<u32>,
    /// For each sample what is lost up to it; empty unless all that is lost are integers, whose sums are
    /// exact in whatever order they are made.
    sums: Vec<f64>,
}

impl Drops {
    /// Finds the falls of a row.
    pub(crate) fn find(&mut self, values: &[f64]) {
        self.lost.clear();
        self.falls.clear();
        self.sums.clear();
        if !values.windows(2).fold(false, |any, pair| any | (pair[1] < pair[0])) {
            return;
        }
        // Values of what is no counter fall at random: a branch would be taken wrongly every other time.
        self.lost.resize(values.len(), 0.0);
        self.falls.resize(values.len(), 0);
        let mut count = 0;
        for (pair, falls) in values.windows(2).zip(&mut self.falls[1..]) {
            self.lost[count as usize] = pair[0];
            count += u32::from(pair[1] < pair[0]);
            *falls = count;
        }
        self.lost.truncate(count as usize);
        self.sum(values);
    }

    fn sum(&mut self, values: &[f64]) {
        let size: f64 = self.lost.iter().map(|lost| lost.abs()).sum();
        if size > WHOLE_MAX || !self.lost.iter().all(|lost| is_whole(*lost)) {
            return;
        }
        let mut sum = 0.0;
        self.sums.push(sum);
        for pair in values.windows(2) {
            sum += if pair[1] < pair[0] { pair[0] } else { 0.0 };
            self.sums.push(sum);
        }
    }

    /// `growth` and, one after the other, the values before the falls between the samples `low..high`, of
    /// which there is at least one.
    #[inline(always)]
    fn add_to(&self, growth: f64, low: usize, high: usize) -> f64 {
        let (Some(first), Some(end)) = (self.falls.get(low), self.falls.get(high - 1)) else {
            return growth;
        };
        match (self.sums.get(low), self.sums.get(high - 1)) {
            (Some(before), Some(sum)) if is_whole(growth) && growth != 0.0 => {
                growth + (sum - before)
            }
            _ => {
                let inside = &self.lost[*first as usize..*end as usize];
                inside.iter().fold(growth, |growth, lost| growth + lost)
            }
        }
    }
}

/// True of integers that are exact in sums. (A zero has a sign, which a sum with nothing could lose.)
#[inline(always)]
fn is_whole(value: f64) -> bool {
    value.abs() <= WHOLE_MAX && value as i64 as f64 == value
}

/// How samples lie in a window, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lie {
    to_start: i64,
    to_end: i64,
    sampled: i64,
    gaps: usize,
}

/// By how much growth between the first and the last sample is stretched to the window's edges, where
/// the samples come so close to them that the series must have gone on.
///
/// It is remembered for the next window, in which samples most often lie alike, since its divisions
/// cost more than all the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stretch {
    lie: Lie,
    /// In seconds, half a gap where the edge is far.
    to_start: f64,
    to_end: f64,
    sampled: f64,
    /// Of the whole window, in seconds.
    window: f64,
    /// Without regard to where a counter was zero.
    factor: f64,
    /// The same for growth per second.
    per_second: f64,
}

impl Stretch {
    /// Makes this the stretch of samples `ends` of `count` in `window`; true unless it was that before.
    #[inline(always)]
    pub(crate) fn set(
        &mut self,
        (first_ms, last_ms): (i64, i64),
        count: usize,
        window: Window,
    ) -> bool {
        let to_start = first_ms - window.after_ms;
        let to_end = window.until_ms - last_ms;
        let lie = Lie { to_start, to_end, sampled: last_ms - first_ms, gaps: count - 1 };
        let is_new = lie != self.lie;
        if is_new {
            *self = Self::of(lie);
        }
        is_new
    }

    #[cold]
    fn of(lie: Lie) -> Self {
        let seconds = |ms: i64| ms as f64 / 1e3;
        let sampled = seconds(lie.sampled);
        let average = sampled / lie.gaps as f64;
        // A gap of more than a tenth above the average means the series began or ended inside.
        let near = |edge: f64| if edge >= average * 1.1 { average / 2.0 } else { edge };
        let (to_start, to_end) = (near(seconds(lie.to_start)), near(seconds(lie.to_end)));
        let factor = (sampled + to_start + to_end) / sampled;
        let window = seconds(lie.to_start + lie.sampled + lie.to_end);
        Self { lie, to_start, to_end, sampled, window, factor, per_second: factor / window }
    }

    /// The factor for a counter with `first` at the window's first sample, which cannot have been below
    /// zero before, where that makes it another one.
    #[inline(always)]
    fn of_counter(&self, first: f64, growth: f64) -> Option<f64> {
        // A product with a margin for rounding spares the division where the bound does not bite.
        const MARGIN: f64 = 1e-9;
        let may_bite = growth > 0.0
            && first >= 0.0
            && self.to_start * growth > self.sampled * first * (1.0 - MARGIN);
        if !may_bite {
            return None;
        }
        let to_start = self.to_start.min(self.sampled * (first / growth));
        Some((self.sampled + to_start + self.to_end) / self.sampled)
    }
}

/// Buffers and arguments of one fold.
#[derive(Debug, Default)]
pub(crate) struct WindowState {
    /// The falls of the current row; only for counters.
    pub(crate) drops: Drops,
    pub(crate) stretch: Stretch,
    scratch: Vec<f64>,
}

/// The value of the samples `low..high` of a row (at least one), or [`ABSENT`].
pub(crate) fn value(
    function: &FoldFunction,
    (timestamps, values): (&[i64], &[f64]),
    (low, high): (usize, usize),
    window: Window,
    arguments: [f64; 2],
    state: &mut WindowState,
) -> Result<f64, ExecError> {
    let times = &timestamps[low..high];
    let inside = &values[low..high];
    let count = inside.len();
    let last = inside[count - 1];
    let seconds = |index: usize| times[index] as f64 / 1e3;
    Ok(match function {
        FoldFunction::Reduce(reducer) => {
            reduce(reducer, inside, arguments[0], count, &mut state.scratch)
        }
        FoldFunction::Newest => last,
        // Rows for which these mean something take the other path.
        FoldFunction::NewestStart | FoldFunction::Interpolated | FoldFunction::AtEdges { .. } => {
            ABSENT
        }
        FoldFunction::NewestTime | FoldFunction::NewestFloatTime | FoldFunction::TimeOfLast => {
            seconds(count - 1)
        }
        FoldFunction::TimeOfFirst => seconds(0),
        FoldFunction::TimeOfMin => seconds(extreme(inside, |value, best| value <= best)),
        FoldFunction::TimeOfMax => seconds(extreme(inside, |value, best| value >= best)),
        FoldFunction::Present => 1.0,
        FoldFunction::Changes => {
            let changed =
                |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
            inside.windows(2).filter(changed).count() as f64
        }
        FoldFunction::Resets => inside.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64,
        FoldFunction::MedianAbsoluteDeviation => {
            median_absolute_deviation(inside, &mut state.scratch)
        }
        FoldFunction::DoubleExponential => smoothed(inside, arguments)?,
        _ if count < 2 => ABSENT,
        FoldFunction::Increase { counter, per_second } => {
            let samples = (timestamps, values);
            increase(samples, (low, high), window, *counter, *per_second, state)
        }
        FoldFunction::LastStep { counter, per_second } => {
            let before = inside[count - 2];
            let step = if *counter && last < before { last } else { last - before };
            let step_ms = times[count - 1] - times[count - 2];
            if *per_second { step / (step_ms as f64 / 1e3) } else { step }
        }
        FoldFunction::Slope => line(times, inside, times[0]).slope,
        FoldFunction::PredictLinear => {
            let fit = line(times, inside, window.at_ms);
            fit.slope * arguments[0] + fit.intercept
        }
    })
}

fn smoothed(values: &[f64], [smoothing, trend]: [f64; 2]) -> Result<f64, ExecError> {
    let wrong = |what: &str, symbol: &str, got: f64| {
        let text = format!("invalid {what} factor. Expected: 0 < {symbol} < 1, got: {got:.6}");
        Err(ExecError::Eval(EvalError::BadArgument(text)))
    };
    if !(smoothing > 0.0 && smoothing < 1.0) {
        return wrong("smoothing", "sf", smoothing);
    }
    if !(trend > 0.0 && trend < 1.0) {
        return wrong("trend", "tf", trend);
    }
    if values.len() < 2 {
        return Ok(ABSENT);
    }
    Ok(double_exponential(values, smoothing, trend))
}

/// Index of the last extreme value; NaN gives way to anything.
fn extreme(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate().skip(1) {
        if beats(*value, values[best]) || values[best].is_nan() {
            best = index;
        }
    }
    best
}

/// Growth of the samples `low..high`, per second of the window if so wanted; [`ABSENT`] for fewer
/// than two samples.
#[inline(always)]
pub(crate) fn increase(
    (timestamps, values): (&[i64], &[f64]),
    (low, high): (usize, usize),
    window: Window,
    counter: bool,
    per_second: bool,
    state: &mut WindowState,
) -> f64 {
    if high - low < 2 {
        return ABSENT;
    }
    let WindowState { drops, stretch, .. } = state;
    stretch.set((timestamps[low], timestamps[high - 1]), high - low, window);
    stretched(values, (low, high), stretch, drops, counter, per_second)
}

/// [`increase`] of at least two samples whose stretch is known.
#[inline(always)]
pub(crate) fn stretched(
    values: &[f64],
    (low, high): (usize, usize),
    stretch: &Stretch,
    drops: &Drops,
    counter: bool,
    per_second: bool,
) -> f64 {
    let mut growth = values[high - 1] - values[low];
    if counter {
        growth = drops.add_to(growth, low, high);
    }
    let bound = if counter { stretch.of_counter(values[low], growth) } else { None };
    let factor = match bound {
        Some(factor) if per_second => factor / stretch.window,
        Some(factor) => factor,
        None if per_second => stretch.per_second,
        None => stretch.factor,
    };
    growth * factor
}

/// [`Stretch`] for a single window.
pub(crate) fn stretch(
    ends: (i64, i64),
    count: usize,
    first: f64,
    growth: f64,
    window: Window,
    counter: bool,
) -> f64 {
    let mut stretch = Stretch::default();
    stretch.set(ends, count, window);
    let bound = if counter { stretch.of_counter(first, growth) } else { None };
    bound.unwrap_or(stretch.factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::semantics::{Arithmetic, Reducer};

    fn of(function: FoldFunction, samples: &[(i64, f64)], after_ms: i64, until_ms: i64) -> f64 {
        let times: Vec<i64> = samples.iter().map(|sample| sample.0).collect();
        let values: Vec<f64> = samples.iter().map(|sample| sample.1).collect();
        let mut state = WindowState::default();
        state.drops.find(&values);
        let window = Window { at_ms: until_ms, after_ms, until_ms };
        let all = (0, values.len());
        value(&function, (&times, &values), all, window, [0.5, 0.5], &mut state).unwrap()
    }

    #[test]
    fn growth_is_extrapolated() {
        let increase = |counter| FoldFunction::Increase { counter, per_second: false };
        let samples = [(10_000, 10.0), (20_000, 20.0), (30_000, 30.0)];
        assert_eq!(of(increase(true), &samples, 0, 30_000), 30.0);
        assert_eq!(of(increase(false), &samples, 5_000, 35_000), 30.0);
        // A reset adds what was lost.
        let reset = [(10_000, 10.0), (20_000, 2.0), (30_000, 4.0)];
        assert_eq!(of(increase(true), &reset, 10_000 - 1, 30_000).round(), 4.0);
        // Far from the edges only half a gap is added.
        assert_eq!(of(increase(false), &samples, -100_000, 200_000), 30.0);
        assert_eq!(of(increase(true), &samples[..1], 0, 30_000).to_bits(), ABSENT.to_bits());
    }

    #[test]
    fn falls_are_added_as_if_one_by_one() {
        let mut rng = base::rng::Rng::new(5);
        for round in 0..2000 {
            // Integers, fractions, and integers that are too large for exact sums.
            let scale = [1.0, 0.1, 1e15][round % 3];
            let count = 2 + rng.below(60) as usize;
            let values: Vec<f64> = (0..count).map(|_| rng.below(50) as f64 * scale).collect();
            let mut drops = Drops::default();
            drops.find(&values);
            let (mut low, mut high) = (0, 1);
            while high < count {
                high += 1 + rng.below(3) as usize;
                high = high.min(count);
                low = (low + rng.below(3) as usize).min(high - 1);
                let growth = values[high - 1] - values[low];
                let pairs = values[low..high].windows(2).filter(|pair| pair[1] < pair[0]);
                let want = pairs.fold(growth, |growth, pair| growth + pair[0]);
                let got = drops.add_to(growth, low, high);
                assert_eq!(got.to_bits(), want.to_bits(), "{values:?} {low}..{high}");
            }
        }
    }

    #[test]
    fn windows_reduce() {
        let samples = [(1000, 1.0), (2000, 5.0), (3000, 5.0), (4000, 1.0)];
        let cases = [
            (FoldFunction::Reduce(Reducer::Sum(Arithmetic::Compensated)), 12.0),
            (FoldFunction::Newest, 1.0),
            (FoldFunction::NewestTime, 4.0),
            (FoldFunction::Changes, 2.0),
            (FoldFunction::Resets, 1.0),
            (FoldFunction::TimeOfMin, 4.0),
            (FoldFunction::TimeOfMax, 3.0),
            (FoldFunction::TimeOfFirst, 1.0),
            (FoldFunction::Slope, 0.0),
            (FoldFunction::PredictLinear, 3.0),
            (FoldFunction::LastStep { counter: true, per_second: true }, 1.0),
            (FoldFunction::LastStep { counter: false, per_second: true }, -4.0),
            (FoldFunction::Present, 1.0),
            (FoldFunction::MedianAbsoluteDeviation, 2.0),
        ];
        for (function, expected) in cases {
            assert_eq!(of(function.clone(), &samples, 0, 4000), expected, "{function:?}");
        }
    }
}
