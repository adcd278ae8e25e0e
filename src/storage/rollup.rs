//! Rollups: for series that a rule names, summaries of their samples at one or more widths, in blocks of
//! their own.
//!
//! A block of summaries covers a range of whole buckets. Series that are in it are covered: for all of
//! the range its summaries say what the raw samples say, except in the block's *dirty* ranges, where
//! something was written or deleted since, and in *holes*, buckets that summaries cannot say (native
//! histograms). Series that are not in it are not covered, whatever the reason: their samples are read.
//!
//! Invariants: the manifest that brings a late sample or a delete also says which ranges it makes
//! dirty, so summaries and samples never disagree, whenever the process dies; a bucket is made anew
//! from its samples where retention still has them, and else stays as it is, without what was deleted;
//! samples are let go only after they were rolled up.
//!
//! `rules` chooses series, `policy` what to make next, `build` makes it, `read` answers with it.

pub(crate) mod build;
pub(crate) mod policy;
pub(crate) mod ranges;
pub(crate) mod read;
pub(crate) mod rules;
