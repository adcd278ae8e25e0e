//! Values read as paths with dots: one level of their tree, by walking the FST no deeper than the next
//! dot. The cost is that of the level, whatever lies below.

use super::{Dictionary, key};

/// Part of the FST on the way down: a node, the sum of the outputs before it, and its next transition.
type Open<'f> = (fst::raw::Node<'f>, u64, usize);

impl Dictionary<'_> {
    /// Calls `visit` with how the values of `name` that start with `prefix` go on up to their next dot,
    /// ascending: the text, the ordinal of the value that ends there, and whether values go on behind a
    /// dot. Stops when it answers `false`.
    pub(crate) fn nodes(
        &self,
        name: &[u8],
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], Option<u32>, bool) -> bool,
    ) {
        let mut node = self.fst.root();
        let mut sum = 0;
        for byte in key(name, prefix) {
            let Some(index) = node.find_input(byte) else { return };
            let transition = node.transition(index);
            sum += transition.out.value();
            node = self.fst.node(transition.addr);
        }
        // The term of an empty value stands for the name itself.
        let mut text = Vec::new();
        let mut visit = |text: &[u8], leaf: Option<u32>, branch: bool| {
            let leaf = leaf.filter(|_| !(prefix.is_empty() && text.is_empty()));
            (leaf.is_none() && !branch) || visit(text, leaf, branch)
        };
        let mut open: Vec<Open<'_>> = vec![(node, sum, 0)];
        if !announce(&node, sum, &text, &mut visit) {
            return;
        }
        while let Some((node, sum, next)) = open.last_mut() {
            if *next >= node.len() {
                open.pop();
                text.pop();
                continue;
            }
            let transition = node.transition(*next);
            *next += 1;
            if transition.inp == b'.' {
                continue;
            }
            let sum = *sum + transition.out.value();
            let child = self.fst.node(transition.addr);
            text.push(transition.inp);
            if !announce(&child, sum, &text, &mut visit) {
                return;
            }
            open.push((child, sum, 0));
        }
    }
}

/// Shows a node; `false` when enough was shown.
fn announce(
    node: &fst::raw::Node<'_>,
    sum: u64,
    text: &[u8],
    visit: &mut dyn FnMut(&[u8], Option<u32>, bool) -> bool,
) -> bool {
    let leaf = node.is_final().then(|| (sum + node.final_output().value()) as u32);
    let branch = node.find_input(b'.').is_some();
    visit(text, leaf, branch)
}
