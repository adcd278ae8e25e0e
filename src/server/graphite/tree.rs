//! The tree of paths, walked element by element, so that only the branches asked for are touched.

use lang::graphite::glob::Element;
use model::{Catalog, METRIC_NAME, Pattern, SourceError, TenantId, TimeRange};
use wire::graphite::find::FoundNode;

/// Nodes that one walk may visit.
const NODES_MAX: usize = 500_000;

/// Everything that `query` names: leaves and branches, by path, branch first.
pub(super) fn find(
    source: &dyn Catalog,
    range: TimeRange,
    query: &str,
) -> Result<Vec<FoundNode>, SourceError> {
    // A backslash protects nothing in a path; the original drops it.
    let query = query.replace('\\', "");
    let elements: Result<Vec<Element>, _> = query.split('.').map(Element::new).collect();
    let elements = elements?;
    let Some((last, branches)) = elements.split_last() else { return Ok(Vec::new()) };
    let mut walk = Walk { source, range, visited: 0 };
    let mut prefixes = vec![String::new()];
    for element in branches {
        let mut next = Vec::new();
        for prefix in &prefixes {
            match element {
                // Whether it exists shows further down.
                Element::Names(names) if names.len() == 1 => {
                    next.push(format!("{prefix}{}.", names[0]));
                }
                _ => {
                    let nodes = walk.children(prefix, element)?;
                    let branches = nodes.into_iter().filter(|(_, _, branch)| *branch);
                    next.extend(branches.map(|(name, ..)| format!("{prefix}{name}.")));
                }
            }
        }
        prefixes = next;
    }
    let mut found = Vec::new();
    for prefix in &prefixes {
        for (name, leaf, branch) in walk.children(prefix, last)? {
            let path = format!("{prefix}{name}");
            if branch {
                found.push(FoundNode { path: path.clone(), is_leaf: false });
            }
            if leaf {
                found.push(FoundNode { path, is_leaf: true });
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

struct Walk<'s> {
    source: &'s dyn Catalog,
    range: TimeRange,
    visited: usize,
}

/// A name, whether a series ends there, and whether something lies below.
type Child = (String, bool, bool);

impl Walk<'_> {
    /// The nodes under `prefix` that an element names.
    fn children(&mut self, prefix: &str, element: &Element) -> Result<Vec<Child>, SourceError> {
        match element {
            Element::Names(names) => {
                self.visit(names.len())?;
                names.iter().map(|name| self.exactly(prefix, name)).collect()
            }
            Element::Matching { head, pattern } => self.matching(prefix, head, pattern),
        }
    }

    fn matching(
        &mut self,
        prefix: &str,
        head: &str,
        pattern: &Pattern,
    ) -> Result<Vec<Child>, SourceError> {
        let start = format!("{prefix}{head}");
        let limit = NODES_MAX - self.visited + 1;
        let nodes =
            self.source.value_nodes(TenantId::DEFAULT, METRIC_NAME, self.range, &start, limit)?;
        self.visit(nodes.len())?;
        let children =
            nodes.into_iter().map(|node| (format!("{head}{}", node.text), node.leaf, node.branch));
        Ok(children.filter(|(name, ..)| !name.is_empty() && pattern.is_match(name)).collect())
    }

    fn visit(&mut self, count: usize) -> Result<(), SourceError> {
        self.visited += count;
        if self.visited > NODES_MAX {
            let message = format!("query visits more than {NODES_MAX} nodes");
            return Err(SourceError::TooLarge { message });
        }
        Ok(())
    }

    /// The node of exactly this name.
    fn exactly(&self, prefix: &str, name: &str) -> Result<Child, SourceError> {
        let path = format!("{prefix}{name}");
        let nodes =
            self.source.value_nodes(TenantId::DEFAULT, METRIC_NAME, self.range, &path, 1)?;
        // The first one is the shortest: the path itself, if it is there.
        let node = nodes.first().filter(|node| node.text.is_empty());
        let (leaf, branch) = node.map_or((false, false), |node| (node.leaf, node.branch));
        Ok((name.to_owned(), leaf, branch))
    }
}
