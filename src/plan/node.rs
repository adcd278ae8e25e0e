//! The logical algebra: a small set of nodes that every language lowers to.
//!
//! A node produces *rows*. A row is a series — its labels, and for presentation an optional title —
//! with a timeline (a regular grid, or listed instants), one value per instant and a presence bit
//! per instant: absence is not NaN. Raw samples are rows whose instants are all present.

use std::fmt;
use std::sync::Arc;

use model::{Labels, Matcher, StepGrid, TimeRange};

use crate::semantics::{
    Alignment, BinaryOp, BucketFunction, Buckets, Fill, FoldFunction, GroupLabels, Grouping,
    MapFunction, Matching, Reducer, RelabelRule, Staleness,
};

/// A whole query: what to compute and how much it may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The node whose rows are the answer.
    pub root: Node,
    /// Bounds of the execution.
    pub limits: QueryLimits,
}

/// What a query may use; passing a bound fails the query with the bound's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Samples held in memory at once, decoded or as intermediate values.
    pub samples_max: u64,
    /// Series that one scan may touch.
    pub series_max: u64,
    /// Estimated bytes of all intermediate rows.
    pub memory_bytes_max: u64,
    /// Summaries may be read instead of samples (`rules/rollups.rs`).
    pub rollups: bool,
}

/// Bytes of a sample in memory: its instant and its value.
const SAMPLE_BYTES: u64 = 16;

impl QueryLimits {
    /// Samples of the longest series that may be read at once.
    pub fn read_samples_max(&self) -> u64 {
        self.samples_max.min(self.memory_bytes_max / SAMPLE_BYTES).max(1)
    }
}

impl Default for QueryLimits {
    fn default() -> Self {
        // Prometheus allows 50 M samples; the memory bound is what protects a small machine.
        Self {
            samples_max: 50_000_000,
            series_max: 30_000_000,
            memory_bytes_max: 2 << 30,
            rollups: false,
        }
    }
}

/// Bytes `start..end` of the query's text that a node came from; for messages only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte behind the last one.
    pub end: u32,
}

/// One step of a computation. Two nodes are equal when they compute the same, wherever in the text
/// they came from.
#[derive(Clone, Debug)]
pub struct Node {
    /// What to do.
    pub op: Op,
    /// Where the text says so.
    pub span: Option<Span>,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op
    }
}

impl Node {
    /// A node without a place in a text.
    pub fn new(op: Op) -> Self {
        Self { op, span: None }
    }

    /// A node with its place in the text.
    pub fn at(op: Op, span: Span) -> Self {
        Self { op, span: Some(span) }
    }

    /// The nodes below, inputs first, then scalar arguments.
    pub fn children(&self) -> Vec<&Node> {
        match &self.op {
            Op::Constant(..) | Op::Text(_) | Op::Time(_) | Op::Scan(_) | Op::Given { .. } => {
                vec![]
            }
            Op::Each(each) => each.inputs.iter().chain(std::iter::once(&*each.body)).collect(),
            Op::Fold(fold) => std::iter::once(&*fold.input).chain(&fold.arguments).collect(),
            Op::Map(map) => std::iter::once(&*map.input).chain(&map.arguments).collect(),
            Op::Aggregate(aggregate) => {
                std::iter::once(&*aggregate.input).chain(aggregate.argument.as_deref()).collect()
            }
            Op::Rank(rank) => vec![&rank.input, &rank.count],
            Op::Join(join) => vec![&join.left, &join.right],
            Op::Formula(formula) => formula.inputs.iter().map(|input| &input.node).collect(),
            Op::Buckets { input, arguments, .. } => {
                std::iter::once(&**input).chain(arguments).collect()
            }
            Op::Union(inputs) | Op::Rows(crate::rows::Rows { inputs, .. }) => {
                inputs.iter().collect()
            }
            Op::Absent { input, .. }
            | Op::Relabel(Relabel { input, .. })
            | Op::Sort { input, .. }
            | Op::Clip { input, .. }
            | Op::Condense { input, .. }
            | Op::Repeat { input, .. }
            | Op::ToScalar(input)
            | Op::ToVector(input)
            | Op::Edges { input, .. }
            | Op::Statistics(input)
            | Op::Naming { input, .. }
            | Op::Shared { input, .. } => vec![input],
            Op::Inform(inform) => vec![&inform.input, &inform.info],
        }
    }

    /// What the rows of this node are.
    pub fn value_type(&self) -> ValueType {
        match &self.op {
            Op::Constant(..) | Op::Time(_) | Op::ToScalar(_) => ValueType::Scalar,
            Op::Text(_) => ValueType::Text,
            Op::Map(Map { input, .. })
            | Op::Repeat { input, .. }
            | Op::Naming { input, .. }
            | Op::Shared { input, .. } => input.value_type(),
            _ => ValueType::Vector,
        }
    }
}

/// What a node's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// Exactly one row without labels, present at every instant.
    Scalar,
    /// Any number of rows with distinct labels.
    Vector,
    /// A text; only ever the root.
    Text,
}

/// The operations.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A number at every instant of the grid (compared by bits).
    Constant(Number, StepGrid),
    /// A text.
    Text(String),
    /// The instant itself in seconds, at every instant of the grid.
    Time(StepGrid),
    /// Stored series with their raw samples.
    Scan(Scan),
    /// Rows cut into windows of time, each window reduced to one value.
    Fold(Fold),
    /// One function applied to every row by itself.
    Map(Map),
    /// Rows of a group reduced to one row.
    Aggregate(Aggregate),
    /// The best `count` rows of each group.
    Rank(Rank),
    /// Rows of two sides combined by matching labels.
    Join(Join),
    /// An expression over the rows of several inputs.
    Formula(crate::formula::Formula),
    /// Rows with an `le` label gathered to histograms, each reduced to one row.
    Buckets {
        /// What to compute of each histogram.
        function: BucketFunction,
        /// The bucket rows.
        input: Box<Node>,
        /// Scalar arguments (the quantile; the bounds).
        arguments: Vec<Node>,
    },
    /// All rows of all inputs, in order.
    Union(Vec<Node>),
    /// A function of whole rows.
    Rows(crate::rows::Rows),
    /// A sub-plan once for every group of rows.
    Each(Box<Each>),
    /// The rows of the current group of an [`Each`] above.
    Given {
        /// Which one: its `id`.
        each: usize,
        /// Which of its inputs.
        input: usize,
    },
    /// 1 where no input row is present, under the given labels.
    Absent {
        /// The rows to look for.
        input: Box<Node>,
        /// Labels of the one row.
        labels: Labels,
    },
    /// Labels or titles changed, values untouched.
    Relabel(Relabel),
    /// Rows brought into an order.
    Sort {
        /// The rows.
        input: Box<Node>,
        /// The order.
        order: crate::semantics::SortOrder,
    },
    /// Instants outside the range taken away.
    Clip {
        /// The rows.
        input: Box<Node>,
        /// What stays.
        range: TimeRange,
    },
    /// Raw float rows cut to the range, with a value at either edge; rows without a sample behind the
    /// lower edge go.
    Edges {
        /// The rows, with samples beyond the range where they exist.
        input: Box<Node>,
        /// What stays; the lower edge is the instant before the range's start.
        range: TimeRange,
        /// Where the values at the edges come from.
        edges: crate::semantics::WindowEdges,
    },
    /// Raw rows whose native histograms keep their count and sum alone, and of which each says
    /// whether its counter began anew.
    Statistics(Box<Node>),
    /// Rows with labels of other rows that describe them.
    Inform(Inform),
    /// How everything below treats the names of metrics; only ever the root.
    Naming {
        /// The whole query.
        input: Box<Node>,
        /// The rules.
        naming: crate::semantics::Naming,
    },
    /// Rows thinned until all of them have at most `points_max` points, on shared bucket edges: the
    /// bucket of a row is a whole number of its steps, and edges are multiples of the bucket.
    Condense {
        /// The rows, each on a regular grid.
        input: Box<Node>,
        /// Points that a row may keep.
        points_max: usize,
        /// Used where a row does not bring its own function.
        function: Reducer,
    },
    /// The single instant of the input at every instant of the grid.
    Repeat {
        /// A node over one instant.
        input: Box<Node>,
        /// Where it is wanted.
        grid: StepGrid,
    },
    /// The value of the only row, NaN where there is not exactly one.
    ToScalar(Box<Node>),
    /// The scalar as a row without labels.
    ToVector(Box<Node>),
    /// A node that occurs more than once and is computed once; put in by a rule.
    Shared {
        /// Equal for equal inputs.
        id: usize,
        /// What is shared.
        input: Box<Node>,
    },
}

/// A float that equals itself: compared and hashed by its bits.
#[derive(Clone, Copy)]
pub struct Number(pub f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stored series: which, and over what time.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// All must pass.
    pub matchers: Vec<Matcher>,
    /// Samples read, both ends included; wide enough for every window above.
    pub range: TimeRange,
    /// The source's tenant.
    pub tenant: model::TenantId,
    /// Rows in label order.
    pub sorted: bool,
    /// Integer samples keep their exact value.
    pub integers: bool,
    /// Native histograms are read too.
    pub histograms: bool,
    /// When the counting of each sample began is read too.
    pub starts: bool,
    /// What each row is called (see [`RelabelRule::Title`]); `None` leaves rows untitled.
    pub title: Option<crate::semantics::TitleRule>,
    /// Where what is above cuts time, if summaries of samples will do: see [`model::Hints::cut_ms`].
    pub cut_ms: Option<i64>,
}

impl Scan {
    /// The floats of some series, in any order.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> Self {
        Self {
            matchers,
            range,
            tenant: model::TenantId::DEFAULT,
            sorted: false,
            integers: false,
            histograms: false,
            starts: false,
            title: None,
            cut_ms: None,
        }
    }
}

/// Windows of time reduced to single values.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Raw samples, or rows on a grid (a sub-query).
    pub input: Box<Node>,
    /// The windows and the instants their values stand at.
    pub buckets: Buckets,
    /// The reduction.
    pub function: FoldFunction,
    /// Scalar arguments on the same instants (the quantile, the horizon).
    pub arguments: Vec<Node>,
    /// What a stale marker does.
    pub staleness: Staleness,
    /// What an empty window of an existing row becomes.
    pub fill: Fill,
    /// Take the metric's name off the rows.
    pub drop_name: bool,
}

/// A function of each row by itself: pointwise, or along time.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The rows.
    pub input: Box<Node>,
    /// What happens to each value.
    pub function: MapFunction,
    /// Scalar arguments on the same instants.
    pub arguments: Vec<Node>,
    /// Take the metric's name off the rows.
    pub drop_name: bool,
}

/// Rows of a group reduced to one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The rows.
    pub input: Box<Node>,
    /// The reduction.
    pub reducer: Reducer,
    /// Scalar argument (the quantile).
    pub argument: Option<Box<Node>>,
    /// Which rows belong together.
    pub grouping: Grouping,
    /// How rows with different instants meet.
    pub alignment: Alignment,
    /// Labels of the resulting row.
    pub labels: GroupLabels,
}

/// A sub-plan computed once for every group of its inputs' rows, groups in order of appearance.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// What [`Op::Given`] nodes of the body name it by; unique in a plan.
    pub id: usize,
    /// The rows.
    pub inputs: Vec<Node>,
    /// Which rows are a group.
    pub deal: Deal,
    /// A group holds only the last row of each input that falls into it.
    pub last_only: bool,
    /// Groups without a row of every input are left out.
    pub complete: bool,
    /// The sub-plan.
    pub body: Box<Node>,
    /// Of a group's result only the first row stays, and is called as the group is.
    pub titled: bool,
}

/// Which rows make a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Deal {
    /// Those at the same place of every input; the inputs must have equally many.
    Position {
        /// Said when they do not.
        mismatch: String,
    },
    /// Those that the rule gives the same title, which is also the group's.
    Title(crate::semantics::TitleRule),
}

/// The best rows of each group, unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    /// The rows.
    pub input: Box<Node>,
    /// What "best" means.
    pub kind: RankKind,
    /// How many (or, for a ratio, which part); a scalar that may vary by instant.
    pub count: Box<Node>,
    /// Which rows compete.
    pub grouping: Grouping,
    /// The rows come in no order: of equal values the one whose source is first in label order is the
    /// better, and the chosen rows stand in that order.
    pub unsorted: bool,
}

/// Orders of a [`Rank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankKind {
    /// Largest values.
    Top,
    /// Smallest values.
    Bottom,
    /// The first ones of the input.
    First,
    /// Those whose label hash falls into the ratio.
    Ratio,
}

/// Two sides combined by matching labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Left rows.
    pub left: Box<Node>,
    /// Right rows.
    pub right: Box<Node>,
    /// What is computed of a pair.
    pub op: BinaryOp,
    /// Comparisons answer 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Which rows pair up.
    pub matching: Matching,
}

/// Rows with labels of other rows that describe them.
#[derive(Clone, Debug, PartialEq)]
pub struct Inform {
    /// The rows to describe.
    pub input: Box<Node>,
    /// The describing rows: a fold over a scan that answers each one's newest time in seconds.
    pub info: Box<Node>,
    /// Which names the describing rows have: rows of `input` with such a name stay as they are.
    pub names: Vec<Matcher>,
    /// Labels on which both sides must agree.
    pub identifying: Vec<String>,
    /// What describing labels are wanted, all where there are none. A row that nothing describes
    /// goes, unless all of them pass an empty value.
    pub wanted: Vec<Matcher>,
}

/// Labels or titles changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Relabel {
    /// The rows.
    pub input: Box<Node>,
    /// The change.
    pub rule: RelabelRule,
}

/// A shared text that many rows carry.
pub type Text = Arc<str>;
