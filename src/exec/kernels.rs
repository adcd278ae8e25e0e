//! Loops over plain numbers: no rows, no labels, no nodes.

pub(crate) mod accumulate;
pub(crate) mod arithmetic;
pub(crate) mod calendar;
pub(crate) mod edges;
pub(crate) mod histogram;
pub(crate) mod native;
pub(crate) mod order;
pub(crate) mod presence;
pub(crate) mod reduce;
pub(crate) mod regression;
pub(crate) mod sliding;
pub(crate) mod starts;
pub(crate) mod window;
