//! The rules by which the original computes, restated for themselves: a slow and obvious evaluator of
//! one group of series, against which the production path is held.
//!
//! Nothing here is shared with what it tests. [`Rules`] can be bent one at a time, so that a test can
//! show that a wrong rule would be found.

/// A point's value as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

/// A point: milliseconds and value.
pub(super) type Point = (i64, Number);

/// What becomes of empty buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    None,
    Nan,
    Zero,
}

/// How points are thinned; no interval makes one bucket of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Downsample {
    pub(super) interval_ms: Option<i64>,
    pub(super) function: &'static str,
    pub(super) fill: Fill,
}

/// How rates are computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) counter: bool,
    pub(super) drop_resets: bool,
    pub(super) max: i64,
    pub(super) reset: i64,
}

/// A question about one group of series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) aggregator: &'static str,
    pub(super) downsample: Option<Downsample>,
    pub(super) rate: Option<Rate>,
}

/// Rules that a test may bend to see that it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Whole hours are read around a request.
    pub(super) reads_hours: bool,
    /// Between its points a rate keeps its last value.
    pub(super) holds_rates: bool,
    /// The rate against the instant 0 takes part in merges.
    pub(super) knows_first_rate: bool,
    /// An integer in front of a float is a float.
    pub(super) looks_ahead: bool,
}

impl Rules {
    /// As the original has them.
    pub(super) const ORIGINAL: Self =
        Self { reads_hours: true, holds_rates: true, knows_first_rate: true, looks_ahead: true };
}

/// The answer's rows; none at all where no series has points in the hours that are read.
pub(super) fn answer(rules: Rules, series: &[Vec<Point>], asked: &Question) -> Vec<Vec<Point>> {
    let (from_s, until_s) = hours(rules, asked);
    let (from_ms, until_ms) = (from_s * 1000, until_s * 1000);
    let mut rows = Vec::new();
    for points in series {
        let read = |point: &&Point| (from_ms..until_ms).contains(&point.0);
        let mut row: Vec<Point> = points.iter().filter(read).copied().collect();
        if row.is_empty() {
            continue;
        }
        if let Some(downsample) = &asked.downsample {
            row = thinned(&row, downsample, asked, from_ms, until_ms);
        }
        if let Some(rate) = &asked.rate {
            row = rates(&row, rate);
        }
        rows.push(row);
    }
    let groups: Vec<Vec<Vec<Point>>> = match asked.aggregator {
        "none" => rows.into_iter().map(|row| vec![row]).collect(),
        _ if rows.is_empty() => vec![],
        _ => vec![rows],
    };
    let inside = |point: &Point| (asked.start_ms..=asked.end_ms).contains(&point.0);
    let shown = groups.iter().map(|rows| {
        let merged = merged(rules, rows, asked, (from_ms, until_ms));
        merged.into_iter().filter(inside).collect()
    });
    shown.collect()
}

fn hours(rules: Rules, asked: &Question) -> (i64, i64) {
    let (mut start, end) = (asked.start_ms / 1000, asked.end_ms / 1000 + 1);
    let interval = asked.downsample.and_then(|downsample| downsample.interval_ms).unwrap_or(0);
    if !rules.reads_hours {
        return (start, end);
    }
    let mut behind = end;
    if interval > 0 {
        start -= (1000 * start) % interval / 1000;
        behind += (interval - (1000 * end) % interval) / 1000;
        behind = (behind + 3599) / 3600 * 3600;
    } else {
        behind += 3600 - end % 3600;
    }
    ((start - start % 3600).max(0), behind)
}

fn thinned(
    points: &[Point],
    downsample: &Downsample,
    asked: &Question,
    from_ms: i64,
    until_ms: i64,
) -> Vec<Point> {
    let reduce = |values: &[f64]| Number::Float(of_floats(downsample.function, values));
    let Some(width) = downsample.interval_ms else {
        let inside =
            points.iter().filter(|point| (asked.start_ms..asked.end_ms).contains(&point.0));
        let values: Vec<f64> = inside.map(|point| point.1.float()).collect();
        return if values.is_empty() { vec![] } else { vec![(asked.start_ms, reduce(&values))] };
    };
    let floor = |at: i64| at - at % width;
    let in_bucket = |bucket: i64| {
        let points = points
            .iter()
            .filter(|point| floor(point.0) == bucket && point.0 >= floor(from_ms + width - 1));
        points.map(|point| point.1.float()).collect::<Vec<f64>>()
    };
    let empty = match downsample.fill {
        Fill::None => {
            let mut buckets: Vec<i64> = points.iter().map(|point| floor(point.0)).collect();
            buckets.dedup();
            let filled = buckets.into_iter().map(|bucket| (bucket, in_bucket(bucket)));
            let filled = filled.filter(|(_, values)| !values.is_empty());
            return filled.map(|(bucket, values)| (bucket, reduce(&values))).collect();
        }
        Fill::Nan => f64::NAN,
        Fill::Zero => 0.0,
    };
    let mut out = Vec::new();
    let mut bucket = floor(from_ms);
    while bucket < floor(until_ms) {
        let values = in_bucket(bucket);
        out.push((bucket, if values.is_empty() { Number::Float(empty) } else { reduce(&values) }));
        bucket += width;
    }
    out
}

fn rates(points: &[Point], rate: &Rate) -> Vec<Point> {
    let mut out = Vec::new();
    let mut before: Point = (0, Number::Integer(0));
    for &(at, value) in points {
        let seconds = (at - before.0) as f64 / 1000.0;
        let integers = match (before.1, value) {
            (Number::Integer(before), Number::Integer(value)) => Some((before, value)),
            _ => None,
        };
        let grown = match integers {
            Some((before, value)) => value.wrapping_sub(before) as f64,
            None => value.float() - before.1.float(),
        };
        if rate.counter && grown < 0.0 {
            let wrapped = match integers {
                Some((before, value)) => rate.max.wrapping_sub(before).wrapping_add(value) as f64,
                None => rate.max as f64 - before.1.float() + value.float(),
            };
            let mut per_second = wrapped / seconds;
            if rate.reset > 0 && per_second > rate.reset as f64 {
                per_second = 0.0;
            }
            if !rate.drop_resets {
                out.push((at, Number::Float(per_second)));
            }
        } else {
            out.push((at, Number::Float(grown / seconds)));
        }
        before = (at, value);
    }
    out
}

/// One row on its way through a merge.
struct Walk<'p> {
    points: &'p [Point],
    current: Option<Point>,
    next: usize,
}

impl Walk<'_> {
    fn next(&self) -> Option<Point> {
        self.points.get(self.next).copied()
    }

    fn step(&mut self) {
        self.current = self.next();
        self.next += 1;
    }
}

fn merged(
    rules: Rules,
    rows: &[Vec<Point>],
    asked: &Question,
    (from_ms, until_ms): (i64, i64),
) -> Vec<Point> {
    let is_rate = asked.rate.is_some();
    let mut walks = Vec::new();
    for row in rows {
        // One bucket over a whole request stands in front of the hours that follow it.
        let first = row.partition_point(|point| point.0 < from_ms);
        let mut walk = Walk { points: &row[first..], current: None, next: 0 };
        if is_rate {
            if walk.points.len() > 1 {
                walk.step();
                walk.current = walk.current.filter(|_| rules.knows_first_rate);
            } else {
                walk.points = &[];
            }
        }
        walks.push(walk);
    }
    let mut out = Vec::new();
    loop {
        let instants = walks.iter().filter_map(|walk| walk.next().map(|point| point.0));
        let Some(at) = instants.min().filter(|at| *at <= until_ms) else { return out };
        for walk in &mut walks {
            match walk.next() {
                None => walk.current = None,
                Some(point) if point.0 == at => walk.step(),
                Some(_) => {}
            }
        }
        let is_float = |point: Option<Point>| matches!(point, Some((_, Number::Float(_))));
        let ahead = |walk: &Walk<'_>| rules.looks_ahead && is_float(walk.next());
        let floats = is_rate || walks.iter().any(|walk| is_float(walk.current) || ahead(walk));
        let held = is_rate && rules.holds_rates;
        if floats {
            let values = walks.iter().filter_map(|walk| float_at(walk, at, asked.aggregator, held));
            let values: Vec<f64> = values.collect();
            out.push((at, Number::Float(of_floats(asked.aggregator, &values))));
        } else {
            let values = walks.iter().filter_map(|walk| integer_at(walk, at, asked.aggregator));
            let values: Vec<i64> = values.collect();
            out.push((at, Number::Integer(of_integers(asked.aggregator, &values))));
        }
    }
}

/// How a row fills the time between two points.
fn between(aggregator: &str) -> &'static str {
    match aggregator {
        "zimsum" | "none" | "squareSum" | "count" | "first" | "last" => "zero",
        "mimmin" => "largest",
        "mimmax" => "smallest",
        "pfsum" => "previous",
        _ => "line",
    }
}

fn float_at(walk: &Walk<'_>, at: i64, aggregator: &str, held: bool) -> Option<f64> {
    let (from, value) = walk.current?;
    let value = value.float();
    if from == at || held {
        return Some(value);
    }
    let (until, next) = walk.next()?;
    Some(match between(aggregator) {
        "zero" => 0.0,
        "largest" => f64::MAX,
        "smallest" => -f64::MAX,
        "previous" => value,
        _ => value + (at - from) as f64 * (next.float() - value) / (until - from) as f64,
    })
}

fn integer_at(walk: &Walk<'_>, at: i64, aggregator: &str) -> Option<i64> {
    let (from, Number::Integer(value)) = walk.current? else { return None };
    if from == at {
        return Some(value);
    }
    let (until, Number::Integer(next)) = walk.next()? else { return None };
    Some(match between(aggregator) {
        "zero" => 0,
        "largest" => i64::MAX,
        "smallest" => i64::MIN,
        "previous" => value,
        _ => {
            let rise = (at - from).wrapping_mul(next.wrapping_sub(value));
            value.wrapping_add(rise.wrapping_div(until - from))
        }
    })
}

fn of_integers(name: &str, values: &[i64]) -> i64 {
    let sum = || values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value));
    let floats = || values.iter().map(|value| *value as f64).collect::<Vec<f64>>();
    let sorted = || {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        sorted
    };
    let (first, last) = (values[0], values[values.len() - 1]);
    match name {
        "sum" | "zimsum" | "pfsum" => sum(),
        "avg" => sum().wrapping_div(values.len() as i64),
        "min" | "mimmin" => sorted()[0],
        "max" | "mimmax" => sorted()[values.len() - 1],
        "median" => sorted()[values.len() / 2],
        "mult" => values[1..].iter().fold(first, |product, value| product.wrapping_mul(*value)),
        "diff" => last.wrapping_sub(first),
        "count" => values.len() as i64,
        "first" | "none" => first,
        "last" => last,
        "squareSum" => {
            values.iter().fold(0, |sum: i64, value| sum.wrapping_add(value.wrapping_mul(*value)))
        }
        "dev" => deviation(&floats()) as i64,
        percentile => estimate(percentile, floats(), percentile_kind(percentile)) as i64,
    }
}

fn of_floats(name: &str, all: &[f64]) -> f64 {
    let values: Vec<f64> = all.iter().copied().filter(|value| !value.is_nan()).collect();
    let (first, last) = (all[0], all[all.len() - 1]);
    match name {
        "count" => return values.len() as f64,
        "first" | "none" => return first,
        "last" => return last,
        "mult" => return all.iter().product(),
        "diff" => {
            let start = all.iter().position(|value| !value.is_nan());
            return match start {
                None => f64::NAN,
                Some(start) if start + 1 == all.len() => 0.0,
                Some(start) => last - all[start],
            };
        }
        _ if values.is_empty() => return f64::NAN,
        _ => {}
    }
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    match name {
        "sum" | "zimsum" | "pfsum" => values.iter().sum(),
        "avg" => values.iter().sum::<f64>() / values.len() as f64,
        "min" | "mimmin" => sorted[0],
        "max" | "mimmax" => sorted[sorted.len() - 1],
        "median" => sorted[sorted.len() / 2],
        "squareSum" => values.iter().map(|value| value * value).sum(),
        "dev" => deviation(&values),
        percentile => estimate(percentile, values, ""),
    }
}

fn deviation(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (values[0], 0.0);
    for (count, value) in values.iter().enumerate().skip(1) {
        let moved = mean + (value - mean) / (count + 1) as f64;
        squares += (value - mean) * (value - moved);
        mean = moved;
    }
    (squares / values.len() as f64).sqrt()
}

/// Floats know one estimate, whatever it is called.
fn percentile_kind(name: &str) -> &'static str {
    match name {
        name if name.ends_with("r3") => "r3",
        name if name.ends_with("r7") => "r7",
        _ => "",
    }
}

fn estimate(name: &str, mut values: Vec<f64>, kind: &str) -> f64 {
    let digits = name.trim_start_matches(['e', 'p']);
    let digits = digits.strip_suffix("r3").or_else(|| digits.strip_suffix("r7")).unwrap_or(digits);
    let share = match digits {
        "999" => 0.999,
        digits => digits.parse::<f64>().unwrap() / 100.0,
    };
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let place = match kind {
        "r3" if share <= 0.5 / count => 0.0,
        "r3" => (count * share).round_ties_even(),
        "r7" => 1.0 + (count - 1.0) * share,
        _ => share * (count + 1.0),
    };
    if place < 1.0 || values.len() == 1 {
        return values[0];
    }
    if place >= count {
        return values[values.len() - 1];
    }
    let low = place.floor();
    let (below, above) = (values[low as usize - 1], values[low as usize]);
    below + (place - low) * (above - below)
}
