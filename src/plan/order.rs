//! Orders of rows.

/// Orders of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum SortOrder {
    /// By value at the single instant, NaN last.
    Value {
        /// Largest first.
        descending: bool,
    },
    /// By labels: the given ones first (natural order of numbers inside texts), then all.
    Labels {
        /// Compared first.
        names: Vec<String>,
        /// Largest first.
        descending: bool,
    },
    /// By title.
    Title,
    /// By the numbers that the execution's surroundings give to names: a row's labels in the order of
    /// the numbers of their names, each with the number of its value. Without such numbers rows keep
    /// their order.
    Numbers {
        /// Only these labels count; without any, all but the metric's name.
        names: Vec<String>,
    },
}
