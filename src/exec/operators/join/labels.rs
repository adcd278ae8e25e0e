//! What the results of a join are called.

use base::codec::put_bytes;
use model::{Labels, LabelsRef};
use plan::Join;
use plan::semantics::{Cardinality, Matching, Naming};

use crate::operators::signature::ascending;
use crate::row::{Identity, METRIC_LABELS, without_name};

/// The rules by which results get their labels.
pub(super) struct ResultLabels<'j> {
    matching: &'j Matching,
    one_to_one: bool,
    drops_name: bool,
    /// Labels that the "one" side gives; ascending.
    include: Vec<String>,
    /// What a row gives where none are asked for.
    nothing: Labels,
    packed: Vec<u8>,
}

impl<'j> ResultLabels<'j> {
    /// The rules of `join`.
    pub(super) fn new(join: &'j Join, naming: Naming) -> Self {
        let matching = &join.matching;
        Self {
            matching,
            one_to_one: matching.cardinality == Cardinality::OneToOne,
            drops_name: join.op.changes_quantity() || (join.return_bool && !naming.at_end),
            include: ascending(&matching.include),
            nothing: Labels::empty(),
            packed: Vec::new(),
        }
    }

    /// True when the match group alone decides what a result is called.
    pub(super) fn are_of_groups(&self) -> bool {
        self.one_to_one && (self.matching.on || self.drops_name)
    }

    /// What results of a match group are called, where that alone decides.
    pub(super) fn of_group(&self, key: &Labels) -> Labels {
        if self.drops_name { without_name(key) } else { key.clone() }
    }

    /// What a row of the "one" side gives to results.
    pub(super) fn included(&mut self, identity: &mut Identity<'_>) -> Labels {
        if self.include.is_empty() {
            return self.nothing.clone();
        }
        self.packed.clear();
        identity.put_labels(&self.include, &mut self.packed);
        LabelsRef::from_packed(&self.packed).to_labels()
    }

    /// What a row of the "many" side is called with what the other side gives it.
    pub(super) fn of_pair(&mut self, many: &Labels, included: &Labels) -> Labels {
        let Self { matching, one_to_one, drops_name, include, packed, .. } = self;
        let listed = |name: &str| matching.labels.iter().any(|label| label == name);
        let goes = |name: &str| {
            *drops_name && METRIC_LABELS.contains(&name)
                || *one_to_one && listed(name) != matching.on
                || model::has_name(include, name)
        };
        packed.clear();
        let mut given = included.iter().peekable();
        for (name, value) in many.iter() {
            while let Some((name, value)) = given.next_if(|(given, _)| *given < name) {
                put_pair(packed, name, value);
            }
            if !goes(name) {
                put_pair(packed, name, value);
            }
        }
        given.for_each(|(name, value)| put_pair(packed, name, value));
        if packed == many.as_packed() {
            return many.clone();
        }
        LabelsRef::from_packed(packed).to_labels()
    }
}

fn put_pair(packed: &mut Vec<u8>, name: &str, value: &str) {
    put_bytes(packed, name.as_bytes());
    put_bytes(packed, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use plan::Node;
    use plan::semantics::BinaryOp;

    use super::*;

    fn join(op: BinaryOp, on: bool, cardinality: Cardinality, include: &[&str]) -> Join {
        let side = || Box::new(Node::new(plan::Op::Text(String::new())));
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (labels, include) = (texts(&["host"]), texts(include));
        let matching = Matching { on, labels, cardinality, include, fill: (None, None) };
        Join { left: side(), right: side(), op, return_bool: false, matching }
    }

    fn labels(text: &str) -> Labels {
        Labels::from_pairs(text.split(' ').filter_map(|pair| pair.split_once('=')))
    }

    #[test]
    fn results_are_called_as_both_sides_say() {
        let (one, many) = (Cardinality::OneToOne, Cardinality::ManyToOne);
        let (add, less) = (BinaryOp::Add, BinaryOp::Less);
        let check = |join: &Join, given: &str, want: &str| {
            let mut names = ResultLabels::new(join, Naming::default());
            let row = labels("__name__=m dc=x host=a rack=1");
            let included = names.included(&mut Identity::known(labels(given)));
            assert_eq!(names.of_pair(&row, &included), labels(want), "{given}");
            assert_eq!(names.are_of_groups(), join.matching.cardinality == one && (join.op == add));
        };
        let given = "__name__=n dc=z host=a job=j zone=w";
        check(&join(less, false, one, &[]), given, "__name__=m dc=x rack=1");
        check(&join(less, true, many, &[]), given, "__name__=m dc=x host=a rack=1");
        check(&join(add, true, many, &[]), given, "dc=x host=a rack=1");
        check(&join(add, true, many, &["zone", "job"]), given, "dc=x host=a job=j rack=1 zone=w");
        // What is not there takes the label away.
        check(&join(add, true, many, &["rack", "dc"]), given, "dc=z host=a");
        check(&join(add, true, many, &["__name__"]), given, "__name__=n dc=x host=a rack=1");
        check(&join(add, false, one, &[]), given, "dc=x rack=1");
    }

    #[test]
    fn groups_name_results_without_what_described_the_metric() {
        let key = labels("__name__=m host=a");
        let of = |op| {
            let join = join(op, true, Cardinality::OneToOne, &[]);
            ResultLabels::new(&join, Naming::default()).of_group(&key)
        };
        assert_eq!(of(BinaryOp::Add), labels("host=a"));
        assert_eq!(of(BinaryOp::Less), key);
    }
}
