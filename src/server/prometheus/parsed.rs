//! Trees of the queries that were asked lately: dashboards ask the same ones every few seconds, and to read a
//! pattern takes longer than to find what it selects.

use std::collections::HashMap;
use std::sync::Arc;

use lang::promql::Expr;
use parking_lot::Mutex;

/// Text of the trees of one generation, in bytes. A tree takes at most about a hundred times its text.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The longest query that is kept.
const QUERY_BYTES_MAX: usize = 4 * 1024;

/// See the module. Two generations: what was not asked since the younger one began is let go when that is full.
#[derive(Debug, Default)]
pub struct ParsedQueries(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Arc<str>, Arc<Expr>>,
    old: HashMap<Arc<str>, Arc<Expr>>,
    /// Text of the young ones.
    text_bytes: usize,
}

impl ParsedQueries {
    /// The tree of `query`: a known one, or what `parse` makes of it.
    pub fn get<E>(
        &self,
        query: &str,
        parse: impl FnOnce(&str) -> Result<Expr, E>,
    ) -> Result<Arc<Expr>, E> {
        if let Some(known) = self.0.lock().find(query) {
            return Ok(known);
        }
        let tree = Arc::new(parse(query)?);
        if query.len() <= QUERY_BYTES_MAX && tree.is_small() {
            self.0.lock().keep(query.into(), Arc::clone(&tree));
        }
        Ok(tree)
    }
}

impl Generations {
    fn find(&mut self, query: &str) -> Option<Arc<Expr>> {
        if let Some(known) = self.young.get(query) {
            return Some(Arc::clone(known));
        }
        let (query, known) = self.old.remove_entry(query)?;
        self.keep(query, Arc::clone(&known));
        Some(known)
    }

    fn keep(&mut self, query: Arc<str>, tree: Arc<Expr>) {
        if self.text_bytes + query.len() > TEXT_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.text_bytes = 0;
        }
        let bytes = query.len();
        if self.young.insert(query, tree).is_none() {
            self.text_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use lang::promql::{Features, parse};

    use super::*;

    fn get(queries: &ParsedQueries, query: &str) -> (Arc<Expr>, bool) {
        let mut is_parsed = false;
        let tree = queries.get(query, |text| {
            is_parsed = true;
            parse(text, Features::ALL)
        });
        (tree.unwrap(), is_parsed)
    }

    #[test]
    fn a_query_is_parsed_once_while_it_is_asked() {
        let queries = ParsedQueries::default();
        let (first, is_parsed) = get(&queries, r#"sum(rate(a{b=~"c|d.*"}[5m]))"#);
        assert!(is_parsed);
        let padding = "x".repeat(1000);
        for number in 0..500 {
            assert!(get(&queries, &format!("{padding}{number}")).1);
            let (again, is_parsed) = get(&queries, r#"sum(rate(a{b=~"c|d.*"}[5m]))"#);
            assert!(!is_parsed && again == first);
            let state = queries.0.lock();
            let texts = state.young.keys().chain(state.old.keys()).map(|text| text.len());
            assert!(texts.sum::<usize>() <= 2 * TEXT_BYTES_MAX);
        }
        assert!(get(&queries, &format!("{padding}0")).1, "nobody has asked it since");
    }

    #[test]
    fn what_may_be_large_is_not_kept() {
        let queries = ParsedQueries::default();
        let nested = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        let lists = r#"a{b=~"(?i)abcdefghij"}"#.to_owned();
        let compiled = r#"a{b=~"(.{20}){20}"}"#.to_owned();
        for query in ["x".repeat(QUERY_BYTES_MAX + 1), nested, lists, compiled] {
            assert!(get(&queries, &query).1 && get(&queries, &query).1, "{query}");
        }
        assert!(queries.get("a{", |text| parse(text, Features::ALL)).is_err());
    }
}
