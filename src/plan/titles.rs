//! What rows are called: their titles, and the calls around those.

use crate::node::Number;

/// How a row gets its title.
#[derive(Clone, Debug, PartialEq)]
pub enum TitleRule {
    /// The canonical name of the stored series: its metric name, further labels as `;name=value`.
    SeriesName,
    /// A fixed text.
    Text(String),
    /// The title inside a call: `prefix + title + suffix`.
    Wrap {
        /// Before the title.
        prefix: String,
        /// Behind it.
        suffix: String,
    },
    /// Dot-separated nodes of the path inside the title, or labels, joined by dots.
    Nodes(Vec<NodeKey>),
    /// Of the text between the last `(` and the first `)`, the dot-separated nodes from `start` to
    /// `stop` (excluded; `None` = to the end), up to the first comma. Negative counts from the end.
    Slice {
        /// First node.
        start: i64,
        /// Behind the last node.
        stop: Option<i64>,
    },
    /// The title without the dot-separated nodes at these places.
    WithoutNodes(Vec<i64>),
    /// Characters in upper or lower case.
    Case {
        /// Upper.
        upper: bool,
        /// Only those at these places; negative counts from the end. Empty = all.
        places: Vec<i64>,
    },
    /// `name;label=value…` with the given labels in the given order, missing ones with an empty value.
    Tagged {
        /// What stands before the labels.
        name: TaggedName,
        /// The labels.
        labels: Vec<String>,
    },
    /// Every match of the pattern (anywhere in the title) replaced; `\1` and `\g<name>` refer to groups.
    Substitute {
        /// Searched, in regex-crate syntax.
        search: String,
        /// Put in.
        replacement: String,
    },
}

/// The name of a [`TitleRule::Tagged`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaggedName {
    /// Every row's own metric name.
    Own,
    /// The metric name if all rows share it, else this text.
    CommonOr(String),
}

/// One part of a [`TitleRule::Nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKey {
    /// The node at this place; negative counts from the end.
    Index(i64),
    /// The value of this label.
    Label(String),
}

/// What a [`crate::semantics::GroupLabels::Called`] row is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Name of the call.
    pub function: String,
    /// Stands before the closing parenthesis.
    pub suffix: String,
    /// What the row is called.
    pub title: CallTitle,
    /// An extra label.
    pub mark: Option<(String, String)>,
    /// The style's smallest share of present points.
    pub present_min: Number,
}

/// The title of a [`crate::semantics::GroupLabels::Called`] row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallTitle {
    /// Its expression.
    Expressions,
    /// The call around the first row's expression, which is the expression too.
    FirstExpression,
    /// The call around all rows' titles; the expression is as with [`CallTitle::Expressions`].
    Titles,
    /// The title of the group (see [`crate::semantics::Grouping::Title`]).
    Group,
}
