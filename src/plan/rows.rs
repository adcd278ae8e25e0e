//! Functions of whole rows: how a row presents itself, which rows stay, in which order, and changes
//! that need a row's full extent.
//!
//! Rows of one input may stand on different grids; every function here respects each row's own.

use std::sync::Arc;

use base::printf::Spec;
use model::{Pattern, StepGrid};

use crate::node::{Node, Number, Scan};
use crate::semantics::{BinaryOp, Buckets, Reducer, TitleRule};

/// One function over the rows of its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The rows; most functions take one input.
    pub inputs: Vec<Node>,
    /// What happens to them.
    pub function: RowsFunction,
}

/// What a row carries beside its title, kept by every operator whose output rows are its input rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowStyle {
    /// The text that names the row inside the title of a call around it.
    pub expression: Arc<str>,
    /// How its points are merged when they are too many.
    pub consolidation: Reducer,
    /// Smallest share of present points for which a merged point is present, in [0, 1].
    pub present_min: Number,
    /// How it is drawn.
    pub drawing: Drawing,
}

/// How a row is drawn; nothing of it changes values. What is not set is the renderer's choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawing {
    /// Colour of the line, as the query spells it.
    pub color: Option<Arc<str>>,
    /// Opacity, in [0, 1].
    pub alpha: Option<Number>,
    /// Width of the line in pixels.
    pub line_width: Option<Number>,
    /// Length of the dashes of a dashed line in pixels.
    pub dashed: Option<Number>,
    /// Every value other than 0 is a vertical line over the whole height.
    pub infinite: bool,
    /// Drawn against the second axis.
    pub second_axis: bool,
    /// Drawn as an area on top of the stacked row before it.
    pub stacked: bool,
    /// Takes its room, but is not drawn.
    pub invisible: bool,
}

impl Drawing {
    /// What `later` sets goes before what is set here.
    pub fn with(&self, later: &Drawing) -> Drawing {
        Drawing {
            color: later.color.clone().or_else(|| self.color.clone()),
            alpha: later.alpha.or(self.alpha),
            line_width: later.line_width.or(self.line_width),
            dashed: later.dashed.or(self.dashed),
            infinite: later.infinite || self.infinite,
            second_axis: later.second_axis || self.second_axis,
            stacked: later.stacked || self.stacked,
            invisible: later.invisible || self.invisible,
        }
    }
}

/// What is shown of a row of native histograms.
#[derive(Clone, Debug, PartialEq)]
pub struct SpreadColumns {
    /// Percentiles, and what each adds to the row's name.
    pub percentiles: Vec<(Number, String)>,
    /// The count of every bucket.
    pub buckets: bool,
}

/// Functions of whole rows.
#[derive(Clone, Debug, PartialEq)]
pub enum RowsFunction {
    /// Title, style and labels changed, values untouched.
    Present(Box<Presentation>),
    /// Runs of at most `limit` absent points (any length without) take the value before them.
    KeepLast {
        /// Longest run that is filled.
        limit: Option<u64>,
    },
    /// Points gathered in buckets of a fixed width. Buckets are multiples of the width, or counted
    /// from the row's first instant; a bucket needs the row's `present_min` of its slots.
    Summarize {
        /// Width of a bucket in milliseconds; at least 1.
        interval_ms: i64,
        /// What becomes of the points of a bucket.
        reducer: Reducer,
        /// Buckets are counted from the row's first instant.
        from_first: bool,
    },
    /// Rows brought into ascending order of a number of each row, absent numbers first; equal rows
    /// keep their order.
    SortByScore {
        /// The number.
        score: Reducer,
        /// Largest first, absent numbers last.
        descending: bool,
    },
    /// Rows brought into the order of their titles.
    SortByTitle {
        /// Runs of digits compare as numbers.
        natural: bool,
        /// Last first.
        descending: bool,
    },
    /// Only rows whose number compares so with the threshold; an absent number counts as less than
    /// everything and as unequal to everything.
    Filter {
        /// The number.
        score: Reducer,
        /// A comparison.
        comparison: BinaryOp,
        /// What it is compared with.
        threshold: Number,
    },
    /// Only rows in whose title the pattern (which must match the whole of it) matches, or does not.
    FilterTitle {
        /// The pattern.
        pattern: Pattern,
        /// Keep the rows that match.
        keep: bool,
    },
    /// The first rows; a negative number drops that many from the end.
    First(i64),
    /// Only rows with any point, and at least this share of them.
    NotEmpty {
        /// Smallest share of present points, in [0, 1].
        present_min: Number,
    },
    /// The first row of every title.
    DistinctTitles,
    /// The rows of the first input that has any.
    Fallback,
    /// Every slot present, with the number of rows, absent points counted; one row named as an
    /// aggregate's (see [`crate::semantics::GroupLabels::Called`]), or none.
    CountRows {
        /// Name of the call.
        function: String,
    },
    /// Absent points get this value.
    FillAbsent(Number),
    /// 1 where a point is present, 0 where it is absent.
    IsPresent,
    /// 1 where a point differs from the last present one before it, else 0.
    Changed,
    /// Values moved this many slots later (earlier if negative) on the row's own grid.
    Delay(i64),
    /// Values times this many seconds, divided by the row's step in seconds, to six decimals.
    PerStep(Number),
    /// The smallest value taken away from all.
    FromLowest,
    /// Values scaled to 0 … 1 between the row's smallest and largest; all 0 where they are equal.
    Normalise,
    /// The grids of the first input's rows moved by so much; those for which that is no whole number of
    /// steps begin where the first row of the second input does.
    Restart {
        /// Milliseconds.
        by_ms: i64,
        /// The last instant is the first step behind this one; `None` keeps all.
        until_ms: Option<i64>,
    },
    /// Points that are not finite numbers become absent.
    Finite,
    /// Inner runs of at most `limit` absent points (any length without) lie on the line between their
    /// neighbours.
    Interpolate {
        /// Longest run that is filled.
        limit: Option<u64>,
    },
    /// Values to so many decimals, halves to even; negative numbers round tens, hundreds ….
    RoundTo {
        /// Decimals.
        decimals: i32,
    },
    /// `1 / (1 + e^-v)`
    Sigmoid,
    /// `ln(v / (1 - v))`; absent outside (0, 1).
    Logit,
    /// Every point from the points of the window that ends with it.
    Moving {
        /// How long the window is.
        window: MovingWindow,
        /// What becomes of its points.
        reducer: Reducer,
        /// Share of points that must be present; without, the row's own.
        present_min: Option<Number>,
        /// The first instants, this long in all, only lead up to the first window.
        lead_ms: i64,
    },
    /// Exponentially weighted mean, to six decimals, beginning with the mean of the lead. A point
    /// weighs `2 / (n + 1)`, where `n` is the window's points or seconds.
    ExponentialMean {
        /// How slowly the mean follows.
        window: MovingWindow,
        /// The first instants, this long in all, only give the first mean.
        lead_ms: i64,
    },
    /// Standard deviation of the last points, as far as there are any.
    TrailingDeviation {
        /// Points looked at; at least 1.
        points: usize,
        /// Share of them that must be present.
        present_min: Number,
    },
    /// One number of the row at every instant of the grid, or of its own.
    Level {
        /// The number.
        number: Reducer,
        /// The instants; `None` keeps the row's.
        grid: Option<StepGrid>,
    },
    /// What triple exponential smoothing (Holt and Winters) predicts for every point.
    Seasonal {
        /// Length of a season in milliseconds; at least 1.
        season_ms: i64,
        /// The first instants, this long in all, only train.
        lead_ms: i64,
        /// So many deviations are added; absent without a deviation. `None` = the prediction alone.
        deviations: Option<Number>,
    },
    /// How far each row of the first input lies below the row at the same place in the second, or
    /// above that in the third; 0 in between and where anything is absent.
    Beyond,
    /// The straight line through each row of the second input by least squares, at the instants of
    /// the row at the same place in the first. Rows with fewer than two points have no line.
    Trend,
    /// Points above (below) the row's own percentile become absent.
    BoundByPercentile {
        /// The percentile as a share of 1.
        quantile: Number,
        /// Take away what lies above.
        above: bool,
    },
    /// Only rows whose number does not lie strictly between two percentiles of all rows' numbers;
    /// without `score`, rows with any point that lies so among the points at its place.
    Outside {
        /// The upper percentile, in [50, 100]; the lower one is as far below 50.
        percent: Number,
        /// The number of a row.
        score: Option<Reducer>,
    },
    /// Every row of the last input on top of all rows before it, in this input and the others; absent
    /// points add nothing and stay absent.
    Stack,
    /// Exactly two rows as the lower and the upper edge of an area, both called
    /// `function(<expression of the second>)`.
    Area {
        /// Name of the call.
        function: String,
    },
    /// Every row of the first input with one of the second, on their least common step; called
    /// `function(<title>,<title>)`.
    Ratio(Box<Ratio>),
    /// The row of the first input if it is the only one, else the rows of the second.
    Sole,
    /// The rows of the second input if the first has any, else those of the third.
    IfAny,
    /// Rows of native histograms as rows of numbers, a row for each column.
    Spread(SpreadColumns),
    /// The first rows of all inputs, then the second ones, and so on.
    Interleave,
    /// Absent points get this value where any row of the second input has a point at the same place.
    FillWhere(Number),
    /// Rates per second become hits in buckets of this width, of which the last ends with the row.
    SpreadHits {
        /// Width of a bucket in milliseconds; at least 1.
        interval_ms: i64,
        /// The first bucket begins with the row, and the last one is whole.
        from_first: bool,
    },
    /// Running sum that begins anew whenever a whole number of intervals has passed since the origin;
    /// an absent point shows the sum.
    IntegralByInterval {
        /// Length of an interval in milliseconds; at least 1.
        interval_ms: i64,
        /// Start of an interval.
        origin_ms: i64,
    },
    /// A row with a point at every n-th instant only is brought to that wider step.
    CompressGaps,
    /// Points whose instant, counted in the row's steps from `origin_ms`, lies outside become absent.
    Slice {
        /// Taken for the first instant.
        origin_ms: i64,
        /// First instant that stays.
        from_ms: i64,
        /// Last instant that stays.
        until_ms: i64,
    },
    /// Values become a walk that starts at 0 and moves by up to a half each step.
    RandomWalk {
        /// Equal walks for equal seeds.
        seed: u64,
    },
    /// How many of these instants (ascending, in milliseconds) fall into each slot; absent for none.
    CountInstants(Arc<[i64]>),
    /// Numbers of the values put into the title.
    TitleNumbers(Vec<TitleField>),
    /// A number of the values as a label.
    MarkNumber {
        /// The label.
        label: String,
        /// The number; absent ones give `None`.
        number: Reducer,
        /// How it is spelled.
        format: Spec,
    },
    /// A label on the rows that have any point.
    MarkPresent {
        /// The label.
        label: String,
        /// Its value.
        text: String,
    },
    /// Rows of the first input called after the last value of the first row of the further input at
    /// the same place; an input without one is an error.
    TitleFromLast {
        /// Before the number.
        before: String,
        /// How it is spelled.
        format: Spec,
        /// Behind it.
        after: String,
    },
    /// Rows of the first input called `function(<expressions>, …<after>)`: for each further input its
    /// distinct expressions in order of the alphabet, joined by commas.
    TitleCall {
        /// Name of the call.
        function: String,
        /// Behind the expressions.
        after: String,
    },
    /// The mean of the numbers of the window that ends with a point; 0 until the row is as long as the
    /// window. Points are those that are present, wherever they stand; in milliseconds, the window
    /// is as long as the first earlier point at that distance or further, which is not part of it.
    Trailing {
        /// How long the window is.
        window: MovingWindow,
    },
    /// All instants moved this many milliseconds later.
    Shift(i64),
    /// Only the newest point.
    Newest,
    /// The rows, and one without points for every further series that `known` selects: a series may
    /// exist without having a sample in the window.
    AddSilent {
        /// The series that exist; their samples are not read.
        known: Box<Scan>,
        /// The instants of their rows: those of a fold whose windows are each series' own.
        buckets: Buckets,
    },
}

/// New title, style and labels of rows; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presentation {
    /// The new title.
    pub title: Option<TitleRule>,
    /// The new expression.
    pub expression: Option<ExpressionRule>,
    /// Labels set to fixed texts.
    pub marks: Vec<(String, String)>,
    /// The new consolidation.
    pub consolidation: Option<Reducer>,
    /// The new smallest share of present points.
    pub present_min: Option<Number>,
    /// Labels that follow from the new title.
    pub labels: Option<LabelRule>,
    /// Added to how the row is drawn; `None` leaves that alone.
    pub drawing: Option<Drawing>,
    /// What was said about drawing and consolidation before counts no more.
    pub plain: bool,
}

/// The labels of a row that is called anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelRule {
    /// Nothing but the title as the name.
    Name,
    /// The title read as `name;label=value…`.
    Parsed,
}

/// The expression of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionRule {
    /// A fixed text.
    Text(String),
    /// The row's title, after it was changed.
    Title,
}

/// Pairs of rows to single ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// Name of the call.
    pub function: String,
    /// What is computed of the two values; of divisions by 0 there is none.
    pub op: BinaryOp,
    /// The result is multiplied by this.
    pub factor: Number,
    /// Which row of the second input belongs to one of the first.
    pub pairing: Pairing,
    /// What becomes of a side without the other.
    pub missing: Missing,
    /// Said when the numbers of rows do not fit.
    pub mismatch: String,
}

/// Which row of the second input belongs to one of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// The only one; more are an error.
    One,
    /// The only one, or, of as many, the one at the same place once both sides are sorted by title.
    /// Another number is an error.
    OneOrSorted,
}

/// What becomes of rows that have nothing to be paired with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// They are left out.
    Dropped,
    /// Rows of the first input stay without points, paired with `MISSING`.
    Left,
    /// Rows of either input do.
    Both,
}

/// A part of a title.
#[derive(Clone, Debug, PartialEq)]
pub struct TitleField {
    /// What it shows.
    pub part: TitlePart,
    /// How wide it is; filled on the right.
    pub width: FieldWidth,
}

/// What a part of a title shows.
#[derive(Clone, Debug, PartialEq)]
pub enum TitlePart {
    /// The row's title so far.
    Title,
    /// A fixed text.
    Text(String),
    /// A number of the row.
    Number {
        /// The number.
        number: Reducer,
        /// How it is spelled.
        format: NumberFormat,
        /// Shown where there is none.
        absent: String,
    },
}

/// How wide a part of a title is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldWidth {
    /// As wide as it comes.
    Own,
    /// At least this wide.
    Fixed(usize),
    /// As wide as that of the row with the longest one (numbers are cut to whole ones for this, and 0
    /// or none counts as 3), and so much more.
    Column(usize),
}

/// How a number is spelled.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberFormat {
    /// The digits.
    pub spec: Spec,
    /// Large numbers are divided by a power, which is named behind them.
    pub units: Option<UnitSystem>,
    /// A unit behind a space and the power's name.
    pub suffix: Option<String>,
}

/// Names of large numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitSystem {
    /// k M G T P, powers of 1000.
    Decimal,
    /// Ki Mi Gi Ti Pi, powers of 1024.
    Binary,
}

/// Length of a moving window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovingWindow {
    /// A number of points.
    Points(usize),
    /// Milliseconds; as many points as whole steps fit in.
    Milliseconds(i64),
}
