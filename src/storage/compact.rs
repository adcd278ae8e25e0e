//! Compaction: which blocks to merge (policy), how (run), and how the result replaces them
//! (publish).

pub(crate) mod policy;
pub(crate) mod publish;
pub(crate) mod run;
