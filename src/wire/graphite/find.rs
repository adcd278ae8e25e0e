//! The answers of `/metrics/find` and `/metrics/expand`.

use std::collections::BTreeSet;

use super::json::{Style, Writer};
use super::pack::Pack;

/// Something found in the tree of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundNode {
    /// The whole path, without a trailing dot.
    pub path: String,
    /// A series of this name exists; otherwise something lies below.
    pub is_leaf: bool,
}

impl FoundNode {
    /// The path's last element.
    pub fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

/// Brings nodes into the order of all formats: by last element, branch before leaf.
pub fn sort(nodes: &mut [FoundNode]) {
    nodes.sort_by(|a, b| (a.name(), a.is_leaf, &a.path).cmp(&(b.name(), b.is_leaf, &b.path)));
}

/// What Grafana's editor asks for: one entry per distinct last element, branches first. The flags are
/// numbers, since Grafana decodes them as such.
pub fn treejson(query: &str, nodes: &[FoundNode], wildcards: bool, style: Style) -> String {
    let prefix = query.rfind('.').map_or("", |dot| &query[..=dot]);
    let mut json = Writer::new(style);
    json.begin('[');
    let mut entry = |text: &str, id: String, branch: bool| {
        json.begin('{');
        json.key("text");
        json.text(&unquote_plus(text));
        json.key("id");
        json.text(&id);
        for (key, value) in [("allowChildren", branch), ("expandable", branch), ("leaf", !branch)] {
            json.key(key);
            json.integer(i64::from(value));
        }
        json.end('}');
    };
    let branches: BTreeSet<&str> =
        nodes.iter().filter(|node| !node.is_leaf).map(FoundNode::name).collect();
    let leaves: BTreeSet<&str> =
        nodes.iter().filter(|node| node.is_leaf).map(FoundNode::name).collect();
    let mut items = Vec::new();
    if wildcards && nodes.len() > 1 {
        items.push(("*", !branches.is_empty()));
    }
    items.extend(branches.iter().map(|name| (*name, true)));
    items.extend(leaves.difference(&branches).map(|name| (*name, false)));
    for (name, branch) in items {
        entry(name, format!("{prefix}{name}"), branch);
    }
    json.end(']');
    json.finish()
}

/// `{"metrics": [{"path", "name", "is_leaf"}, …]}`: the path of a branch ends in a dot.
pub fn completer(nodes: &[FoundNode], wildcards: bool, style: Style) -> String {
    let mut json = Writer::new(style);
    json.begin('{');
    json.key("metrics");
    json.begin('[');
    for node in nodes {
        json.begin('{');
        json.key("path");
        let dot = if node.is_leaf { "" } else { "." };
        json.text(&format!("{}{dot}", node.path));
        json.key("name");
        json.text(node.name());
        json.key("is_leaf");
        json.text(if node.is_leaf { "1" } else { "0" });
        json.end('}');
    }
    if wildcards && nodes.len() > 1 {
        json.begin('{');
        json.key("name");
        json.text("*");
        json.end('}');
    }
    json.end(']');
    json.end('}');
    json.finish()
}

/// `[{"path", "is_leaf", "intervals"}, …]`; leaves have the one interval `range`, in seconds.
pub fn json(nodes: &[FoundNode], range: (i64, i64), style: Style) -> String {
    let mut nodes: Vec<&FoundNode> = nodes.iter().collect();
    nodes.sort();
    let mut json = Writer::new(style);
    json.begin('[');
    for node in nodes {
        json.begin('{');
        json.key("path");
        json.text(&node.path);
        json.key("is_leaf");
        json.boolean(node.is_leaf);
        if node.is_leaf {
            json.key("intervals");
            json.begin('[');
            json.begin('{');
            json.key("start");
            json.number(Some(range.0 as f64));
            json.key("end");
            json.number(Some(range.1 as f64));
            json.end('}');
            json.end(']');
        }
        json.end('}');
    }
    json.end(']');
    json.finish()
}

/// What peers read: `path`, `is_leaf` and, of leaves, `intervals` as `[[start, end]]` in seconds.
/// The original writes an object of a class of its own there, and reads such lists as well.
pub fn packed(nodes: &[FoundNode], range: (i64, i64), mut pack: Box<dyn Pack>) -> Vec<u8> {
    pack.begin_list(nodes.len());
    for node in nodes {
        pack.begin_map(if node.is_leaf { 3 } else { 2 });
        pack.text("path");
        pack.text(&node.path);
        pack.text("is_leaf");
        pack.boolean(node.is_leaf);
        if node.is_leaf {
            pack.text("intervals");
            pack.begin_list(1);
            pack.begin_list(2);
            pack.integer(range.0);
            pack.integer(range.1);
            pack.end_list();
            pack.end_list();
        }
        pack.end_map();
    }
    pack.end_list();
    pack.finish()
}

/// `{"nodes": […]}`: the distinct elements at `position`, the last ones without.
pub fn nodelist(nodes: &[FoundNode], position: Option<usize>, style: Style) -> String {
    let element = |node: &FoundNode| match position {
        Some(position) => node.path.split('.').nth(position).map(str::to_owned),
        None => Some(node.name().to_owned()),
    };
    let names: BTreeSet<String> = nodes.iter().filter_map(element).collect();
    let mut json = Writer::new(style);
    json.begin('{');
    json.key("nodes");
    json.texts(names.iter().map(String::as_str));
    json.end('}');
    json.finish()
}

/// `{"results": […]}`, or by query `{"results": {query: […], …}}`.
pub fn expand(results: &[(String, Vec<String>)], by_query: bool, style: Style) -> String {
    let mut json = Writer::new(style);
    json.begin('{');
    json.key("results");
    if by_query {
        json.begin('{');
        for (query, paths) in results {
            json.key(query);
            let paths: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
            json.texts(paths);
        }
        json.end('}');
    } else {
        let all = results.iter().flat_map(|(_, paths)| paths.iter().map(String::as_str));
        json.texts(all.collect::<BTreeSet<&str>>());
    }
    json.end('}');
    json.finish()
}

/// Undoes form encoding, as the original does for the shown text (not for the id).
fn unquote_plus(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, hex.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &after[2..];
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<FoundNode> {
        let node = |path: &str, is_leaf| FoundNode { path: path.into(), is_leaf };
        let mut nodes =
            vec![node("a.b", true), node("a.b", false), node("a.a%2Fc", true), node("x.b", false)];
        sort(&mut nodes);
        nodes
    }

    #[test]
    fn treejson_shows_each_name_once_branches_first() {
        let text = treejson("*.*", &nodes(), true, Style::PLAIN);
        assert_eq!(
            text,
            r#"[{"text": "*", "id": "*.*", "allowChildren": 1, "expandable": 1, "leaf": 0}, {"text": "b", "id": "*.b", "allowChildren": 1, "expandable": 1, "leaf": 0}, {"text": "a/c", "id": "*.a%2Fc", "allowChildren": 0, "expandable": 0, "leaf": 1}]"#
        );
        assert_eq!(treejson("x", &[], true, Style::PLAIN), "[]");
    }

    #[test]
    fn other_formats() {
        let nodes = nodes();
        assert!(completer(&nodes, true, Style::PLAIN).ends_with(r#"{"name": "*"}]}"#));
        assert!(json(&nodes, (1, 2), Style::PLAIN).starts_with(
            r#"[{"path": "a.a%2Fc", "is_leaf": true, "intervals": [{"start": 1.0, "end": 2.0}]}, {"path": "a.b", "is_leaf": false}"#
        ));
        assert_eq!(nodelist(&nodes, Some(0), Style::PLAIN), r#"{"nodes": ["a", "x"]}"#);
        let results = [("q".to_owned(), vec!["b".to_owned(), "a".to_owned(), "b".to_owned()])];
        assert_eq!(expand(&results, false, Style::PLAIN), r#"{"results": ["a", "b"]}"#);
        assert_eq!(expand(&results, true, Style::PLAIN), r#"{"results": {"q": ["a", "b"]}}"#);
    }
}
