//! Functions of whole rows: how a row presents itself, which rows stay, in which order, and changes
//! that need a row's full extent.
//!
//! Rows of one input may stand on different grids; every function here respects each row's own.

use std::sync::Arc;

use model::Pattern;

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

/// Functions of whole rows.
#[derive(Clone, Debug, PartialEq)]
pub enum RowsFunction {
    /// Title, style and labels changed, values untouched.
    Present(Presentation),
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
    /// The row's grid moved so that its first instant is its first step behind `after_ms`.
    Restart {
        /// An instant; excluded.
        after_ms: i64,
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
        /// Points up to this instant only lead up to the first window.
        after_ms: i64,
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

/// Length of a moving window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovingWindow {
    /// A number of points.
    Points(usize),
    /// Milliseconds; as many points as whole steps fit in.
    Milliseconds(i64),
}
