//! A second evaluator, slow and obvious, that the operators are compared with.
//!
//! It knows one instant at a time and nothing of rows, grids or streaming: a vector is a list of
//! label sets with a value, as PromQL's definition has it. Only what PromQL lowers to.

use std::collections::BTreeMap;

use model::{LabelBuilder, Labels, METRIC_NAME, Samples, Source, StepGrid, is_stale};
use plan::semantics::{
    BinaryOp, BucketFunction, Buckets, Cardinality, FoldFunction, Grouping, MapFunction, Matching,
    Reducer, Staleness,
};
use plan::{Aggregate, Fold, Join, Map, Node, Op, Rank, RankKind, Scan};

/// The elements of one instant. A scalar is one element without labels.
pub(crate) type Vector = Vec<(Labels, f64)>;

/// The query fails at this instant.
#[derive(Debug)]
pub(crate) struct Fails;

/// Evaluates one plan.
pub(crate) struct Oracle<'s> {
    pub(crate) source: &'s dyn Source,
}

impl Oracle<'_> {
    /// The elements of `node` at the instant `at`, which is on its grid.
    pub(crate) fn at(&self, node: &Node, at: i64) -> Result<Vector, Fails> {
        match &node.op {
            Op::Constant(number, _) => Ok(vec![(Labels::empty(), number.0)]),
            Op::Time(_) => Ok(vec![(Labels::empty(), at as f64 / 1e3)]),
            Op::Fold(fold) => self.fold(fold, at),
            Op::Map(map) => self.map(map, at),
            Op::Aggregate(aggregate) => self.aggregate(aggregate, at),
            Op::Rank(rank) => self.rank(rank, at),
            Op::Join(join) => self.join(join, at),
            Op::Buckets { function, input, arguments } => {
                self.buckets(function, input, arguments, at)
            }
            Op::Absent { input, labels } => {
                let empty = self.at(input, at)?.is_empty();
                Ok(if empty { vec![(labels.clone(), 1.0)] } else { vec![] })
            }
            Op::Repeat { input, .. } => {
                let instant = plan::check::grid(input).expect("a single instant").start_ms;
                self.at(input, instant)
            }
            Op::ToScalar(input) => {
                let vector = self.at(input, at)?;
                let value = if vector.len() == 1 { vector[0].1 } else { f64::NAN };
                Ok(vec![(Labels::empty(), value)])
            }
            Op::ToVector(input) | Op::Shared { input, .. } => self.at(input, at),
            other => panic!("the oracle does not know {other:?}"),
        }
    }

    fn scalar(&self, node: &Node, at: i64) -> Result<f64, Fails> {
        Ok(self.at(node, at)?[0].1)
    }

    fn stored(&self, scan: &Scan) -> Vec<(Labels, Vec<(i64, f64)>)> {
        let hints = model::Hints { sorted: scan.sorted, ..model::Hints::default() };
        let selection = self.source.select(&scan.matchers, scan.range, &hints).expect("selects");
        let mut samples = Samples::default();
        let mut out = Vec::new();
        for index in 0..selection.len() {
            selection.read(index, &mut samples).expect("reads");
            let points = samples.timestamps.iter().copied().zip(samples.values.iter().copied());
            out.push((selection.labels(index), points.collect()));
        }
        out
    }

    /// The series that a window sees.
    fn series(&self, node: &Node) -> Result<Vec<(Labels, Vec<(i64, f64)>)>, Fails> {
        if let Op::Scan(scan) = &node.op {
            return Ok(self.stored(scan));
        }
        let grid: StepGrid = plan::check::grid(node).expect("a sub-query has a grid");
        let mut rows: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        for at in grid.iter() {
            for (labels, value) in self.at(node, at)? {
                rows.entry(labels).or_default().push((at, value));
            }
        }
        Ok(rows.into_iter().collect())
    }

    fn fold(&self, fold: &Fold, at: i64) -> Result<Vector, Fails> {
        let Buckets::Steps { after_ms, until_ms, .. } = fold.buckets else { panic!("steps only") };
        let arguments: Vec<f64> = fold
            .arguments
            .iter()
            .map(|argument| self.scalar(argument, at))
            .collect::<Result<_, _>>()?;
        let mut out = Vec::new();
        for (labels, samples) in self.series(&fold.input)? {
            let mut window: Vec<(i64, f64)> = samples
                .into_iter()
                .filter(|(time, _)| at + after_ms < *time && *time <= at + until_ms)
                .collect();
            if fold.staleness == Staleness::Ends && window.last().is_some_and(|s| is_stale(s.1)) {
                continue;
            }
            window.retain(|(_, value)| !is_stale(*value));
            let edges = (at + after_ms, at + until_ms);
            if let Some(value) = window_value(&fold.function, &window, edges, at, &arguments) {
                out.push((named(&labels, fold.drop_name), value));
            }
        }
        distinct(out)
    }

    fn map(&self, map: &Map, at: i64) -> Result<Vector, Fails> {
        let arguments: Vec<f64> = map
            .arguments
            .iter()
            .map(|argument| self.scalar(argument, at))
            .collect::<Result<_, _>>()?;
        let mut out = Vec::new();
        for (labels, value) in self.at(&map.input, at)? {
            let argument = arguments.first().copied();
            let mapped = match &map.function {
                MapFunction::Binary { op, argument_left, return_bool } => {
                    let argument = argument.expect("an operand");
                    let (l, r) = if *argument_left { (argument, value) } else { (value, argument) };
                    binary(*op, *return_bool, l, r, value)
                }
                MapFunction::Negate => Some(-value),
                MapFunction::Abs => Some(value.abs()),
                MapFunction::Sqrt => Some(value.sqrt()),
                MapFunction::Floor => Some(value.floor()),
                MapFunction::Timestamp => Some(at as f64 / 1e3),
                other => panic!("the oracle does not know {other:?}"),
            };
            if let Some(mapped) = mapped {
                out.push((named(&labels, map.drop_name), mapped));
            }
        }
        distinct(out)
    }

    fn aggregate(&self, aggregate: &Aggregate, at: i64) -> Result<Vector, Fails> {
        let argument = match &aggregate.argument {
            Some(node) => self.scalar(node, at)?,
            None => f64::NAN,
        };
        let groups = grouped(&aggregate.grouping, self.at(&aggregate.input, at)?);
        if let Reducer::CountValues(label) = &aggregate.reducer {
            let mut out: BTreeMap<Labels, f64> = BTreeMap::new();
            for (labels, members) in groups {
                let mut counts: BTreeMap<String, f64> = BTreeMap::new();
                for (_, value) in members {
                    *counts.entry(base::number_text::decimal(value)).or_default() += 1.0;
                }
                for (text, count) in counts {
                    let mut builder = LabelBuilder::from_labels(labels.view());
                    if out.insert(builder.set(label, &text).build(), count).is_some() {
                        return Err(Fails);
                    }
                }
            }
            return Ok(out.into_iter().collect());
        }
        Ok(groups
            .into_iter()
            .map(|(labels, members)| {
                let values: Vec<f64> = members.into_iter().map(|(_, value)| value).collect();
                (labels, reduced(&aggregate.reducer, &values, argument))
            })
            .collect())
    }

    fn rank(&self, rank: &Rank, at: i64) -> Result<Vector, Fails> {
        let count = self.scalar(&rank.count, at)?;
        if count.is_nan() {
            return Err(Fails);
        }
        let mut out = Vec::new();
        for (_, mut members) in grouped(&rank.grouping, self.at(&rank.input, at)?) {
            let best = |a: &(Labels, f64), b: &(Labels, f64)| match (a.1.is_nan(), b.1.is_nan()) {
                (false, false) if rank.kind == RankKind::Top => b.1.partial_cmp(&a.1).unwrap(),
                (false, false) => a.1.partial_cmp(&b.1).unwrap(),
                (a_nan, b_nan) => a_nan.cmp(&b_nan),
            };
            if rank.kind != RankKind::First {
                members.sort_by(best);
            }
            members.truncate(count.max(0.0) as usize);
            out.extend(members);
        }
        Ok(out)
    }

    fn join(&self, join: &Join, at: i64) -> Result<Vector, Fails> {
        let left = self.at(&join.left, at)?;
        let right = self.at(&join.right, at)?;
        let key = |labels: &Labels| matching_labels(&join.matching, labels);
        let has = |side: &Vector, labels: &Labels| side.iter().any(|(l, _)| key(l) == key(labels));
        match join.op {
            BinaryOp::And => Ok(left.into_iter().filter(|(l, _)| has(&right, l)).collect()),
            BinaryOp::Unless => Ok(left.into_iter().filter(|(l, _)| !has(&right, l)).collect()),
            BinaryOp::Or => {
                let rest: Vector = right.into_iter().filter(|(l, _)| !has(&left, l)).collect();
                Ok(left.into_iter().chain(rest).collect())
            }
            _ => arithmetic_join(join, left, right),
        }
    }

    fn buckets(
        &self,
        function: &BucketFunction,
        input: &Node,
        arguments: &[Node],
        at: i64,
    ) -> Result<Vector, Fails> {
        assert_eq!(*function, BucketFunction::Quantile);
        let q = self.scalar(&arguments[0], at)?;
        let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for (labels, count) in self.at(input, at)? {
            let Ok(bound) = labels.get("le").unwrap_or("").parse::<f64>() else { continue };
            let mut builder = LabelBuilder::from_labels(labels.view());
            groups.entry(builder.remove("le").build()).or_default().push((bound, count));
        }
        let mut out = Vec::new();
        for (labels, mut buckets) in groups {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            out.push((named(&labels, true), bucket_quantile(q, &mut buckets)));
        }
        distinct(out)
    }
}

fn bucket_quantile(q: f64, buckets: &mut [(f64, f64)]) -> f64 {
    let last = buckets.len() - 1;
    if buckets[last].0 != f64::INFINITY || last == 0 {
        return f64::NAN;
    }
    for index in 1..=last {
        buckets[index].1 = buckets[index].1.max(buckets[index - 1].1);
    }
    let total = buckets[last].1;
    if total == 0.0 {
        return f64::NAN;
    }
    let rank = q * total;
    let at = (0..last).find(|index| buckets[*index].1 >= rank).unwrap_or(last);
    if at == last {
        return buckets[last - 1].0;
    }
    if at == 0 && buckets[0].0 <= 0.0 {
        return buckets[0].0;
    }
    let below = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    below.0 + (buckets[at].0 - below.0) * (rank - below.1) / (buckets[at].1 - below.1)
}

fn named(labels: &Labels, drop_name: bool) -> Labels {
    let mut builder = LabelBuilder::from_labels(labels.view());
    if drop_name {
        builder.remove(METRIC_NAME);
    }
    builder.build()
}

fn distinct(vector: Vector) -> Result<Vector, Fails> {
    for (index, (labels, _)) in vector.iter().enumerate() {
        if vector[..index].iter().any(|(other, _)| other == labels) {
            return Err(Fails);
        }
    }
    Ok(vector)
}

fn grouped(grouping: &Grouping, vector: Vector) -> Vec<(Labels, Vector)> {
    let mut groups: Vec<(Labels, Vector)> = Vec::new();
    for (labels, value) in vector {
        let mut builder = LabelBuilder::from_labels(labels.view());
        match grouping {
            Grouping::By(names) => {
                builder.retain(|name| names.iter().any(|known| known == name));
            }
            Grouping::Without(names) => {
                builder
                    .retain(|name| name != METRIC_NAME && !names.iter().any(|known| known == name));
            }
            other => panic!("the oracle does not know {other:?}"),
        }
        let key = builder.build();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push((labels, value)),
            None => groups.push((key, vec![(labels, value)])),
        }
    }
    groups
}

fn matching_labels(matching: &Matching, labels: &Labels) -> Labels {
    let mut builder = LabelBuilder::from_labels(labels.view());
    let listed = |name: &str| matching.labels.iter().any(|known| known == name);
    builder.retain(
        |name| {
            if matching.on { listed(name) } else { !listed(name) && name != METRIC_NAME }
        },
    );
    builder.build()
}

fn arithmetic_join(join: &Join, left: Vector, right: Vector) -> Result<Vector, Fails> {
    let matching = &join.matching;
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let (fill_left, fill_right) = matching.fill;
    let (fill_one, fill_many) =
        if swapped { (fill_left, fill_right) } else { (fill_right, fill_left) };
    let filled = fill_one.is_some() || fill_many.is_some();
    let nobody =
        if filled { many.is_empty() && one.is_empty() } else { many.is_empty() || one.is_empty() };
    if nobody {
        return Ok(vec![]);
    }
    let key = |labels: &Labels| matching_labels(matching, labels);
    for (index, (labels, _)) in one.iter().enumerate() {
        if one[..index].iter().any(|(other, _)| key(other) == key(labels)) {
            return Err(Fails);
        }
    }
    // Everybody with its partner, or what fills in for that; then those who have none on the other side.
    let mut asked: Vec<(Labels, f64, Labels, f64)> = Vec::new();
    for (labels, value) in &many {
        let partner = one.iter().find(|(other, _)| key(other) == key(labels)).cloned();
        let filling = fill_one.map(|fill| (key(labels), fill.0));
        if let Some((other, other_value)) = partner.or(filling) {
            asked.push((labels.clone(), *value, other, other_value));
        }
    }
    for (labels, value) in &one {
        let is_asked = many.iter().any(|(other, _)| key(other) == key(labels));
        if let Some(fill) = fill_many.filter(|_| !is_asked) {
            asked.push((key(labels), fill.0, labels.clone(), *value));
        }
    }
    let mut pairs: Vec<(Labels, Labels)> = Vec::new();
    let mut out = Vec::new();
    for (many_labels, many_value, one_labels, one_value) in asked {
        let mut builder = LabelBuilder::from_labels(many_labels.view());
        if !join.op.is_comparison() || join.return_bool {
            builder.remove(METRIC_NAME);
        }
        if one_to_one {
            let listed = |name: &str| matching.labels.iter().any(|known| known == name);
            builder.retain(|name| listed(name) == matching.on);
        }
        for name in &matching.include {
            builder.set(name, one_labels.get(name).unwrap_or(""));
        }
        let labels = builder.build();
        let group = key(&many_labels);
        let clash = |(known, result): &(Labels, Labels)| {
            *known == group && (one_to_one || *result == labels)
        };
        if pairs.iter().any(clash) {
            return Err(Fails);
        }
        pairs.push((group, labels.clone()));
        let (l, r) = if swapped { (one_value, many_value) } else { (many_value, one_value) };
        if let Some(value) = binary(join.op, join.return_bool, l, r, l) {
            out.push((labels, value));
        }
    }
    distinct(out)
}

fn binary(op: BinaryOp, return_bool: bool, l: f64, r: f64, kept: f64) -> Option<f64> {
    let holds = match op {
        BinaryOp::Add => return Some(l + r),
        BinaryOp::Subtract => return Some(l - r),
        BinaryOp::Multiply => return Some(l * r),
        BinaryOp::Divide => return Some(l / r),
        BinaryOp::Modulo => return Some(l % r),
        BinaryOp::Power => return Some(l.powf(r)),
        BinaryOp::Atan2 => return Some(l.atan2(r)),
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Greater => l > r,
        BinaryOp::Less => l < r,
        BinaryOp::GreaterOrEqual => l >= r,
        BinaryOp::LessOrEqual => l <= r,
        // Floats have nothing to trim.
        BinaryOp::TrimUpper | BinaryOp::TrimLower => return None,
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => panic!("a set operator"),
    };
    match (return_bool, holds) {
        (true, holds) => Some(if holds { 1.0 } else { 0.0 }),
        (false, true) => Some(kept),
        (false, false) => None,
    }
}

fn reduced(reducer: &Reducer, values: &[f64], argument: f64) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    match reducer {
        Reducer::Sum(_) => values.iter().sum(),
        Reducer::Average(_) => mean,
        Reducer::Min => numbers.iter().copied().reduce(f64::min).unwrap_or(f64::NAN),
        Reducer::Max => numbers.iter().copied().reduce(f64::max).unwrap_or(f64::NAN),
        Reducer::Count => count,
        Reducer::Group => 1.0,
        Reducer::StdVar(_) => values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count,
        Reducer::StdDev(_) => {
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
        }
        Reducer::Quantile => {
            if argument.is_nan() {
                return f64::NAN;
            }
            if !(0.0..=1.0).contains(&argument) {
                return if argument < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
            }
            let mut sorted = values.to_vec();
            sorted.sort_by(|a, b| {
                b.is_nan()
                    .cmp(&a.is_nan())
                    .then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
            });
            let rank = argument * (count - 1.0);
            let low = sorted[rank.floor() as usize];
            let high = sorted[(rank.floor() as usize + 1).min(sorted.len() - 1)];
            low + (high - low) * rank.fract() + 0.0 * high
        }
        other => panic!("the oracle does not know {other:?}"),
    }
}

fn window_value(
    function: &FoldFunction,
    window: &[(i64, f64)],
    (after, until): (i64, i64),
    at: i64,
    arguments: &[f64],
) -> Option<f64> {
    let values: Vec<f64> = window.iter().map(|sample| sample.1).collect();
    let (first, last) = (window.first()?, window.last()?);
    let pairs = || values.windows(2);
    match function {
        FoldFunction::Reduce(reducer) => {
            Some(reduced(reducer, &values, arguments.first().copied().unwrap_or(f64::NAN)))
        }
        FoldFunction::Newest => Some(last.1),
        FoldFunction::NewestTime => Some(last.0 as f64 / 1e3),
        FoldFunction::Present => Some(1.0),
        FoldFunction::Changes => {
            Some(pairs().filter(|p| p[0] != p[1] && !(p[0].is_nan() && p[1].is_nan())).count()
                as f64)
        }
        FoldFunction::Resets => Some(pairs().filter(|p| p[1] < p[0]).count() as f64),
        _ if window.len() < 2 => None,
        FoldFunction::LastStep { counter, per_second } => {
            let before = window[window.len() - 2];
            let step = if *counter && last.1 < before.1 { last.1 } else { last.1 - before.1 };
            let seconds = (last.0 - before.0) as f64 / 1e3;
            Some(if *per_second { step / seconds } else { step })
        }
        FoldFunction::Increase { counter, per_second } => {
            let mut growth = last.1 - first.1;
            if *counter {
                growth += pairs().filter(|p| p[1] < p[0]).map(|p| p[0]).sum::<f64>();
            }
            let sampled = (last.0 - first.0) as f64;
            let gap = sampled / (window.len() - 1) as f64;
            let mut left = (first.0 - after) as f64;
            let mut right = (until - last.0) as f64;
            if left >= gap * 1.1 {
                left = gap / 2.0;
            }
            if right >= gap * 1.1 {
                right = gap / 2.0;
            }
            if *counter && growth > 0.0 && first.1 >= 0.0 {
                left = left.min(sampled * first.1 / growth);
            }
            let whole = growth * (sampled + left + right) / sampled;
            Some(if *per_second { whole / ((until - after) as f64 / 1e3) } else { whole })
        }
        FoldFunction::Slope | FoldFunction::PredictLinear => {
            let count = window.len() as f64;
            if values.iter().all(|value| *value == values[0]) {
                let slope = matches!(function, FoldFunction::Slope);
                return Some(if slope { 0.0 } else { 0.0 * arguments[0] + values[0] });
            }
            let time = |ms: i64| (ms - at) as f64 / 1e3;
            let x = window.iter().map(|s| time(s.0)).sum::<f64>() / count;
            let y = values.iter().sum::<f64>() / count;
            let up = window.iter().map(|s| (time(s.0) - x) * (s.1 - y)).sum::<f64>();
            let slope = up / window.iter().map(|s| (time(s.0) - x).powi(2)).sum::<f64>();
            match function {
                FoldFunction::Slope => Some(slope),
                _ => Some(y + slope * (arguments[0] - x)),
            }
        }
        other => panic!("the oracle does not know {other:?}"),
    }
}
