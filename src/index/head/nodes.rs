//! Values of the head read as paths: one level of their tree.
//!
//! Frozen dictionaries walk their FST. The tail gets a sorted copy when it is first asked, which
//! stays good while terms are only added: those are few and tested one by one, until they are worth
//! another copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::ValueNode;
use parking_lot::RwLockReadGuard;

use super::{HeadIndex, State};
use crate::error::IndexError;

/// Terms behind the sorted copy that are tested one by one.
const UNSORTED_MAX: usize = 4096;

/// The tail of one name in order, as far as it went when it was copied.
#[derive(Debug)]
pub(super) struct SortedTail {
    name: u32,
    /// The state's counters then: equal ones mean that terms were only added.
    purges: u64,
    freezes: u64,
    covered: usize,
    terms: Vec<(Box<[u8]>, u32)>,
}

/// What stands at one text: does a value end there, do values go on.
type Found = BTreeMap<Vec<u8>, (bool, bool)>;

impl HeadIndex {
    /// One level of the tree that the values of `name` form, as in [`model::Source::value_nodes`].
    pub fn value_nodes(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ValueNode>, IndexError> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        loop {
            if let Some(found) = self.nodes_once(name, prefix, limit)? {
                let node = |(text, (leaf, branch)): (Vec<u8>, (bool, bool))| {
                    Some(ValueNode { text: String::from_utf8(text).ok()?, leaf, branch })
                };
                return Ok(found.into_iter().filter_map(node).take(limit).collect());
            }
        }
    }

    /// The nodes, or nothing when pair numbers were freed meanwhile.
    fn nodes_once(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Option<Found>, IndexError> {
        let mut found = Found::new();
        let (frozen, purges, dropped) = {
            let state = self.state.read();
            let Some(number) = state.pairs.name_number(name) else { return Ok(Some(found)) };
            self.tail_nodes(&state, number, prefix.as_bytes(), &mut found);
            (state.frozen.clone(), state.purges, state.dropped)
        };
        for frozen in &frozen {
            // Without dropped series every term has one, and nothing has to be looked up.
            let alive = |pair: u32| !dropped || !self.state.read().posting(pair).is_empty();
            frozen.nodes(name, prefix, limit, dropped, &alive, &mut |text, leaf, branch| {
                let node = found.entry(text.to_vec()).or_default();
                *node = (node.0 | leaf, node.1 | branch);
            })?;
        }
        let valid = self.state.read().purges == purges;
        Ok(valid.then_some(found))
    }

    fn tail_nodes(
        &self,
        state: &RwLockReadGuard<'_, State>,
        number: u32,
        prefix: &[u8],
        found: &mut Found,
    ) {
        let Some(tail) = state.names.get(number as usize).map(|name| &name.tail) else { return };
        let sorted = self.sorted_tail(state, number, tail);
        let mut note = |value: &[u8], pair: u32| {
            if let Some(rest) = value.strip_prefix(prefix)
                && !state.posting(pair).is_empty()
            {
                let end = rest.iter().position(|byte| *byte == b'.');
                let node = found.entry(rest[..end.unwrap_or(rest.len())].to_vec()).or_default();
                *node = (node.0 | end.is_none(), node.1 | end.is_some());
                return end.is_some();
            }
            false
        };
        let terms = &sorted.terms;
        let mut at = terms.partition_point(|(value, _)| value.as_ref() < prefix);
        while let Some((value, pair)) = terms.get(at).filter(|(value, _)| value.starts_with(prefix))
        {
            at += 1;
            if note(value, *pair) {
                // The rest of this branch says nothing new.
                let dot = value[prefix.len()..].iter().position(|byte| *byte == b'.');
                let branch = &value[..prefix.len() + dot.map_or(0, |dot| dot + 1)];
                at += terms[at..].partition_point(|(value, _)| value.starts_with(branch));
            }
        }
        for pair in tail.get(sorted.covered..).unwrap_or_default() {
            note(state.pairs.value(*pair), *pair);
        }
    }

    /// The sorted copy of a tail, made anew when it lacks too much.
    fn sorted_tail(&self, state: &State, number: u32, tail: &[u32]) -> Arc<SortedTail> {
        let mut kept = self.sorted_tail.lock();
        if let Some(sorted) = kept.as_ref()
            && (sorted.name, sorted.purges, sorted.freezes) == (number, state.purges, state.freezes)
            && tail.len() <= sorted.covered + UNSORTED_MAX
        {
            return sorted.clone();
        }
        let value = |pair: &u32| (state.pairs.value(*pair).into(), *pair);
        let mut terms: Vec<(Box<[u8]>, u32)> = tail.iter().map(value).collect();
        terms.sort_unstable();
        let (purges, freezes, covered) = (state.purges, state.freezes, tail.len());
        let sorted = Arc::new(SortedTail { name: number, purges, freezes, covered, terms });
        *kept = Some(sorted.clone());
        sorted
    }
}
