//! Matchers in one order, each once: equal scans become equal plans, and cheap tests come first.

use model::ValueTest;

use crate::node::{Node, Op};

/// Sorts the matchers of a scan and takes repeated ones out.
pub(super) fn sort(node: &mut Node) {
    let Op::Scan(scan) = &mut node.op else { return };
    scan.matchers.sort_by_cached_key(|matcher| {
        let cost = match &matcher.test {
            ValueTest::Equal(_) => 0,
            ValueTest::OneOf(_) => 1,
            ValueTest::Regex(_) => 2,
            ValueTest::NotEqual(_) => 3,
            ValueTest::NotRegex(_) => 4,
        };
        (cost, matcher.to_string())
    });
    scan.matchers.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Scan;
    use model::{Matcher, TimeRange};

    #[test]
    fn equal_ones_come_first_and_once() {
        let not = Matcher::new("a", ValueTest::NotEqual("x".into()));
        let equal = Matcher::equal("z", "1");
        let mut node = Node::new(Op::Scan(Scan::new(
            vec![not.clone(), equal.clone(), not.clone()],
            TimeRange::ALL,
        )));
        sort(&mut node);
        let Op::Scan(scan) = node.op else { unreachable!("a scan stays one") };
        assert_eq!(scan.matchers, vec![equal, not]);
    }
}
