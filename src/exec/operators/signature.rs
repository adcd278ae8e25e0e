//! What decides which rows of two sides match.

use model::METRIC_NAME;
use plan::semantics::Matching;

use crate::row::Identity;

/// The labels that rows of one match group have in common.
pub(crate) struct Signature {
    /// These labels, or all but these and the name.
    on: bool,
    /// Ascending.
    names: Vec<String>,
}

impl Signature {
    /// What `matching` compares.
    pub(crate) fn new(matching: &Matching) -> Self {
        Self { on: matching.on, names: ascending(&matching.labels) }
    }

    /// Replaces `out` by the packed labels that decide the match group of a row. All of its labels are
    /// built only where all but a few decide.
    pub(crate) fn put(&self, identity: &mut Identity<'_>, out: &mut Vec<u8>) {
        out.clear();
        if self.on {
            return identity.put_labels(&self.names, out);
        }
        let decides = |name: &str| name != METRIC_NAME && !model::has_name(&self.names, name);
        identity.labels().view().put_some(out, decides);
    }
}

/// The different ones of `names`, ascending.
pub(crate) fn ascending(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}
