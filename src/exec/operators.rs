//! One module per node. Each takes the node's parameters and a sink and pushes the node's rows.

pub(crate) mod absent;
pub(crate) mod aggregate;
pub(crate) mod align_step;
pub(crate) mod align_union;
pub(crate) mod buckets;
pub(crate) mod clip;
pub(crate) mod condense;
pub(crate) mod count_values;
pub(crate) mod difference;
pub(crate) mod distinct;
pub(crate) mod each;
pub(crate) mod fold;
pub(crate) mod formula;
pub(crate) mod group_labels;
pub(crate) mod grouping;
pub(crate) mod join;
pub(crate) mod map;
pub(crate) mod rank;
pub(crate) mod relabel;
pub(crate) mod rows;
pub(crate) mod scalar;
pub(crate) mod scan;
pub(crate) mod sets;
pub(crate) mod sort;
pub(crate) mod title;
