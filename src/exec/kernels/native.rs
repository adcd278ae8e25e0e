//! Functions of native histograms. What storage needs too is in [`model::histogram`].

pub(crate) mod mean;
pub(crate) mod rate;
pub(crate) mod share;
pub(crate) mod spread;
pub(crate) mod text;
pub(crate) mod trim;
