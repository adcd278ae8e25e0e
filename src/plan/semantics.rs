//! The parameters in which the query languages differ.
//!
//! A rule that only one language knows is a field or a variant here, named for what it does, so that
//! the operators never ask which language they serve.

use std::sync::Arc;

use model::{Pattern, StepGrid, TimeRange};

pub use crate::binary::{BinaryOp, Cardinality, Matching};
use crate::node::Number;
pub use crate::order::SortOrder;
use crate::slots::SlotRules;
pub use crate::titles::{CallTitle, Called, NodeKey, TaggedName, TitleRule};

/// Windows of time and the instants their values stand at.
#[derive(Clone, Debug, PartialEq)]
pub enum Buckets {
    /// The value at instant `t` of the grid comes from the samples with
    /// `t + after_ms < time <= t + until_ms`. A look-back of `d` with an offset `o` is
    /// `(-o - d, -o]`; a bucket `[t, t + step)` is `(-1, step - 1]`, since times are whole
    /// milliseconds.
    Steps {
        /// The instants.
        grid: StepGrid,
        /// Lower edge relative to the instant, excluded.
        after_ms: i64,
        /// Upper edge relative to the instant, included.
        until_ms: i64,
    },
    /// The same window `(after_ms, until_ms]` at every instant of the grid, for functions whose other
    /// arguments vary.
    Fixed {
        /// The instants.
        grid: StepGrid,
        /// Lower edge, excluded.
        after_ms: i64,
        /// Upper edge, included.
        until_ms: i64,
    },
    /// Bucket `i` is `[edges[i], edges[i + 1])` and stands at `edges[i]`: calendar units.
    Edges(Arc<[i64]>),
    /// Several lists of such edges: a row takes the last one whose first edge is not behind the row's
    /// first sample, counted from the first edge of all. Calendar units that a row steps off from
    /// where its own samples start.
    Phased(Arc<[Arc<[i64]>]>),
    /// Buckets `[k * step, (k + 1) * step)` that start inside the range, of which only those with a
    /// sample exist: the row's instants are the starts of these. Costs the samples, however long
    /// the range.
    Occupied {
        /// First and last start of a bucket.
        range: TimeRange,
        /// Length of a bucket in milliseconds.
        step_ms: i64,
    },
    /// One window over all of the range, start included, end excluded, standing at its start.
    Whole(TimeRange),
    /// Every series on its own step: slots `[k * step, (k + 1) * step)`, the first one being the first
    /// to start after `range.start_ms`, the last one the last to start at or before
    /// `range.end_ms`. Equal ends give one slot.
    PerSeries {
        /// From (excluded) and until (included) of the request.
        range: TimeRange,
        /// Steps by title.
        slots: SlotRules,
    },
}

/// What a stale marker does inside a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// A marker as the newest sample makes the row absent (look-back of a single value).
    Ends,
    /// Markers are skipped, the samples before them stay (windows over several samples).
    Skipped,
}

/// What an empty window of an existing row becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// No point.
    Absent,
    /// A point with this value (NaN included).
    Value(Number),
}

/// Reductions of many numbers to one; over a window of time or across rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Reducer {
    /// Sum.
    Sum(Arithmetic),
    /// Arithmetic mean.
    Average(Arithmetic),
    /// Smallest; NaN only if there is nothing else.
    Min,
    /// Largest; NaN only if there is nothing else.
    Max,
    /// How many points are present.
    Count,
    /// How many points are present and not NaN.
    CountNumbers,
    /// 1.
    Group,
    /// First in order.
    First,
    /// Last in order.
    Last,
    /// Population standard deviation.
    StdDev(Arithmetic),
    /// Population variance.
    StdVar(Arithmetic),
    /// Quantile of the argument in [0, 1], interpolated over `(n - 1)`; NaN sorts first.
    Quantile,
    /// A fixed percentile by one of the classic estimates.
    Percentile(Number, PercentileMethod),
    /// The middle value; of an even count the mean of the two, or the upper one.
    Median {
        /// Take the upper of the two middle values.
        upper: bool,
    },
    /// Product.
    Product(Arithmetic),
    /// The first to the power of the second, that to the power of the third and so on.
    Power,
    /// Last minus first.
    Difference,
    /// First minus all later ones.
    Subtract,
    /// Sum of squares.
    SumSquares(Arithmetic),
    /// Largest minus smallest.
    Range,
    /// Sum divided by the number of slots, the empty ones included.
    AverageOfSlots,
    /// The first of those furthest from zero.
    LargestMagnitude,
    /// The first of those nearest to zero.
    SmallestMagnitude,
    /// One row per distinct value: the value as text becomes this label, the row counts them.
    CountValues(String),
}

/// How sums treat rounding and NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Kahan-Neumaier compensation; NaN propagates.
    Compensated,
    /// Plain additions in order; NaN propagates.
    Plain,
    /// Plain additions in order over the numbers; NaN only if there is none. Integers stay integers
    /// (wrapping, division truncates) as long as all values are.
    SkipNaN,
}

/// Estimates of a percentile from sorted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PercentileMethod {
    /// Position `q (n + 1)`, linear between neighbours.
    Legacy,
    /// Position `q (n + 1)`, the next value where that lies between two.
    Next,
    /// nearest rank, ties to even.
    R3,
    /// position `1 + (n - 1) q`, linear.
    R7,
}

/// Reductions of one row's window.
#[derive(Clone, Debug, PartialEq)]
pub enum FoldFunction {
    /// A plain reduction of the values in time order.
    Reduce(Reducer),
    /// The newest value: a look-back.
    Newest,
    /// Time in seconds of the newest sample.
    NewestTime,
    /// Time in seconds of the newest sample, which must be a float.
    NewestFloatTime,
    /// Time in seconds at which the counting of the newest sample began; absent where no sample of
    /// the row says.
    NewestStart,
    /// The value on the line between the samples around the instant; behind the last one its value.
    Interpolated,
    /// A counting function with a value at either edge of its window; the samples beyond the edges
    /// are inside the buckets.
    AtEdges {
        /// What is counted.
        counted: Counted,
        /// Where the values at the edges come from.
        edges: WindowEdges,
        /// By how much the bucket begins before the window proper.
        before_ms: i64,
        /// By how much the bucket ends behind the window proper.
        behind_ms: i64,
    },
    /// Growth over the window, extrapolated to its edges.
    Increase {
        /// Drops are resets, and the extrapolation stops at zero.
        counter: bool,
        /// Divide by the window's seconds.
        per_second: bool,
    },
    /// Difference of the last two samples.
    LastStep {
        /// A drop is a reset.
        counter: bool,
        /// Divide by the seconds between them.
        per_second: bool,
    },
    /// 1 if there is any sample.
    Present,
    /// How often the value changed.
    Changes,
    /// How often a counter dropped.
    Resets,
    /// Slope by least squares, per second.
    Slope,
    /// Value `argument` seconds after the instant by least squares.
    PredictLinear,
    /// Holt-Winters double exponential smoothing with two arguments.
    DoubleExponential,
    /// Median absolute deviation.
    MedianAbsoluteDeviation,
    /// Time in seconds of the last smallest value.
    TimeOfMin,
    /// Time in seconds of the last largest value.
    TimeOfMax,
    /// Time in seconds of the first value.
    TimeOfFirst,
    /// Time in seconds of the last value.
    TimeOfLast,
}

impl FoldFunction {
    /// True for functions of a window's newest sample alone.
    pub fn is_of_newest(&self) -> bool {
        matches!(self, Self::Newest | Self::NewestTime | Self::NewestFloatTime | Self::NewestStart)
    }
}

/// What a function with values at its window's edges counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Growth, not extrapolated.
    Growth {
        /// Drops are resets.
        counter: bool,
        /// Divide by the window's seconds.
        per_second: bool,
    },
    /// How often the value changed.
    Changes,
    /// How often a counter dropped.
    Resets,
}

/// Where the value at an edge of a window comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEdges {
    /// The last sample up to the edge.
    Anchored,
    /// The line between the samples around the edge.
    Smoothed,
}

/// How a query treats the names of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Names that nodes drop stay visible until the end of the query; rows that are equal then become
    /// one where they have no instant in common.
    pub at_end: bool,
    /// The label `__type__` says what a counter is, rather than the name's ending.
    pub typed: bool,
}

/// Numbers of a native histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistogramPart {
    /// How many observations.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Average,
    /// Their standard deviation, estimated from the buckets.
    StdDev,
    /// Their variance, estimated from the buckets.
    StdVar,
}

/// Functions of single values, or along one row.
#[derive(Clone, Debug, PartialEq)]
pub enum MapFunction {
    /// `value op argument`, or `argument op value`.
    Binary {
        /// The operator; comparisons filter unless `return_bool`.
        op: BinaryOp,
        /// The argument stands left of the operator.
        argument_left: bool,
        /// Comparisons answer 0 or 1.
        return_bool: bool,
    },
    /// `-value`
    Negate,
    /// Absolute value.
    Abs,
    /// Least integer not below.
    Ceil,
    /// Greatest integer not above.
    Floor,
    /// Nearest multiple of the argument (1 without), halves up.
    Round,
    /// Square root.
    Sqrt,
    /// e to the value.
    Exp,
    /// Natural logarithm.
    Ln,
    /// Binary logarithm.
    Log2,
    /// Decimal logarithm.
    Log10,
    /// -1, 0, 1; NaN and -0 stay.
    Sign,
    /// Sine and its relatives.
    Trig(Trig),
    /// Degrees to radians.
    Radians,
    /// Radians to degrees.
    Degrees,
    /// Between the two arguments; empty when they are crossed.
    Clamp,
    /// At least the argument.
    ClampMin,
    /// At most the argument.
    ClampMax,
    /// The instant in seconds instead of the value.
    Timestamp,
    /// A part of the civil date of the value, read as Unix seconds in UTC.
    Date(DatePart),
    /// A number of a native histogram; floats give no point.
    Histogram(HistogramPart),
    /// The smaller of value and argument; NaN propagates.
    MinOf,
    /// The larger of value and argument; NaN propagates.
    MaxOf,

    // Along time
    /// Difference to the previous point.
    Difference(DifferenceRule),
    /// Running sum; absent points stay absent.
    Integral,
}

/// Differences of neighbouring points.
#[derive(Clone, Debug, PartialEq)]
pub struct DifferenceRule {
    /// Divide by the seconds between the two points.
    pub per_second: bool,
    /// What a fall means.
    pub falls: Falls,
    /// Which point is "previous" when the one before is absent.
    pub gaps: Gaps,
    /// What stands before the first point.
    pub first: FirstPoint,
}

/// What a fall between neighbours means.
#[derive(Clone, Debug, PartialEq)]
pub enum Falls {
    /// A negative difference.
    Kept,
    /// No point.
    Dropped,
    /// The counter passed its end: add `max` and, where `resets_above` is positive and the rate lies
    /// above it, answer 0. Integers compute in i64.
    Wraps {
        /// Largest value of the counter.
        max: i64,
        /// Rates above this are resets; 0 = never.
        resets_above: i64,
    },
    /// The counter passed its end when the bound is known (`max + 1` is added back, `min` taken
    /// away), else no point. Values above `max` or below `min` give no point.
    WrapsIfBounded {
        /// Largest value.
        max: Option<Number>,
        /// Smallest value.
        min: Option<Number>,
    },
}

/// Which point is "previous" when the one before is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// The last present one.
    Bridged,
    /// The absent one: the point after a gap has no difference.
    Break,
}

/// What stands before the first point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPoint {
    /// Nothing: the first point has no difference.
    None,
    /// The point (time 0, value 0): the first difference is computed, marked hidden, and only seen by
    /// an aggregate that aligns on the union of instants.
    Origin,
    /// Itself: the first difference is 0.
    Itself,
}

/// Trigonometric functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Trig {
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
}

/// Parts of a civil date, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DatePart {
    Year,
    Month,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Hour,
    Minute,
}

/// Which rows belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Equal values of these labels.
    By(Vec<String>),
    /// Equal values of all labels but these and the name.
    Without(Vec<String>),
    /// Equal titles.
    Title,
    /// Every row is its own group.
    Each,
}

/// Labels of a group's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupLabels {
    /// The labels that define the group.
    Group,
    /// The labels on which all rows that carry them agree; the names of the others are noted in the
    /// row's `disagreeing` list.
    Agreeing,
    /// As `Agreeing`, but a label must be on every row; the row is called `title`, and where given
    /// the label named first gets the text second.
    Titled {
        /// Title of the row; `None` keeps the group's title.
        title: Option<String>,
        /// An extra label.
        mark: Option<(String, String)>,
    },
    /// Labels that all rows carry with one value. The row's expression is `function(…)` around the
    /// distinct expressions of its rows in order of appearance, or around the first one; it is also
    /// the title, unless the rule says otherwise, and the name where the rows' names differ.
    Called(Box<Called>),
}

/// How rows with different instants meet in an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Alignment {
    /// All rows stand on the same instants; an absent point takes no part.
    Steps,
    /// The union of all instants. A row takes part from its first to its last point; between its
    /// points it contributes an interpolated value.
    Union {
        /// The value between two points.
        between: Between,
    },
    /// Rows on different steps are first brought to the least common multiple of the steps, each by
    /// its own consolidation; starts are not aligned. Absent points take no part; a slot with a
    /// smaller share of present rows than `present_min` stays absent.
    LeastCommonStep {
        /// Smallest share of present rows, in [0, 1].
        present_min: Number,
    },
}

/// The value of a row between two of its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// On the straight line; i64 arithmetic between integers.
    Linear,
    /// Zero.
    Zero,
    /// The largest number of the type.
    Largest,
    /// The smallest number of the type.
    Smallest,
    /// The point before.
    Previous,
}

/// What is computed of a histogram, native or given as cumulative buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketFunction {
    /// The value at the quantile of the argument.
    Quantile,
    /// The values at the quantiles of the arguments, each in a row of its own with the quantile in
    /// this label.
    Quantiles(String),
    /// The share of observations between the two arguments.
    Fraction,
}

/// Changes of labels and titles.
#[derive(Clone, Debug, PartialEq)]
pub enum RelabelRule {
    /// Where the whole value of `source` matches, `destination` becomes the expanded template
    /// (`$1`, `${name}`).
    Replace {
        /// The label to set.
        destination: String,
        /// The template.
        template: String,
        /// The label to read.
        source: String,
        /// The pattern.
        pattern: Pattern,
    },
    /// `destination` becomes the values of `sources` with `separator` between them.
    Join {
        /// The label to set.
        destination: String,
        /// Between the values.
        separator: String,
        /// The labels to read.
        sources: Vec<String>,
    },
    /// The row's only label is its name: this text, in which `@label` stands for the value of a label
    /// that the row has.
    Compose(String),
    /// The row gets a new title.
    Title(TitleRule),
}
