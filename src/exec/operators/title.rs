//! What rows are called.

use model::METRIC_NAME;
use plan::node::Text;
use plan::semantics::{NodeKey, TaggedName, TitleRule};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use crate::error::ExecError;
use crate::operators::relabel::compile;
use crate::row::{Identity, Rows};

/// A rule with its pattern compiled.
pub(crate) struct Compiled<'r> {
    rule: &'r TitleRule,
    search: Option<Regex>,
}

/// Gives one row its title.
pub(crate) fn apply(rule: &TitleRule, identity: &mut Identity<'_>) -> Result<(), ExecError> {
    Compiled::new(rule)?.apply(identity);
    Ok(())
}

impl<'r> Compiled<'r> {
    /// Compiles the pattern of the rule, if it has one.
    pub(crate) fn new(rule: &'r TitleRule) -> Result<Self, ExecError> {
        let search = match rule {
            TitleRule::Substitute { search, .. } => Some(compile(search)?),
            _ => None,
        };
        Ok(Self { rule, search })
    }

    /// Gives a row its title.
    pub(crate) fn apply(&self, identity: &mut Identity<'_>) {
        let title = match self.rule {
            TitleRule::SeriesName => model::identity::flat_name(identity.labels()),
            TitleRule::Text(text) => text.clone(),
            TitleRule::Wrap { prefix, suffix } => {
                format!("{prefix}{}{suffix}", identity.title_or_name())
            }
            TitleRule::Nodes(keys) => nodes(keys, identity),
            TitleRule::Slice { start, stop } => slice(&identity.title_or_name(), *start, *stop),
            TitleRule::WithoutNodes(places) => {
                let title = identity.title_or_name();
                let nodes = title.split('.').zip(0i64..);
                let kept = nodes.filter(|(_, place)| !places.contains(place));
                kept.map(|(node, _)| node).collect::<Vec<_>>().join(".")
            }
            TitleRule::Case { upper, places } => in_case(&identity.title_or_name(), *upper, places),
            TitleRule::Tagged { name, labels } => {
                let own = identity.labels().metric_name().unwrap_or_default().to_owned();
                let name = match name {
                    TaggedName::Own => own.as_str(),
                    TaggedName::CommonOr(text) => text.as_str(),
                };
                let mut title = name.to_owned();
                for label in labels {
                    let value = identity.labels().get(label).unwrap_or_default();
                    title.push_str(&format!(";{label}={value}"));
                }
                title
            }
            TitleRule::Substitute { replacement, .. } => {
                let title = identity.title_or_name();
                match &self.search {
                    Some(search) => substitute(search, replacement, &title),
                    None => title.to_string(),
                }
            }
        };
        identity.title = Some(Text::from(title));
    }
}

/// The place that `index` names in a list of `count`; negative counts from the end.
fn place_of(index: i64, count: usize) -> i64 {
    if index < 0 { index.saturating_add(count as i64) } else { index }
}

/// Nodes between the last `(` and the first `)`, up to the first comma.
fn slice(title: &str, start: i64, stop: Option<i64>) -> String {
    let left = title.rfind('(').map_or(0, |open| open + 1);
    let right = title.find(')').unwrap_or(title.len());
    let inside = title.get(left..right).unwrap_or_default();
    let nodes: Vec<&str> = inside.split('.').collect();
    let bound =
        |index: i64| usize::try_from(place_of(index, nodes.len())).unwrap_or(0).min(nodes.len());
    let (first, end) = (bound(start), stop.map_or(nodes.len(), bound));
    let text = nodes.get(first..end).unwrap_or_default().join(".");
    // A comma cuts its own line off, as a dot in a regular expression does.
    text.split(',').next().unwrap_or_default().to_owned()
}

fn in_case(title: &str, upper: bool, places: &[i64]) -> String {
    let changed = |character: char| -> String {
        if upper { character.to_uppercase().collect() } else { character.to_lowercase().collect() }
    };
    let count = title.chars().count();
    let chosen: Vec<i64> = places.iter().map(|place| place_of(*place, count)).collect();
    let mut out = String::with_capacity(title.len());
    for (character, place) in title.chars().zip(0i64..) {
        if places.is_empty() || chosen.contains(&place) {
            out.push_str(&changed(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// The rule with the metric's name in it that all rows share, if they do.
pub(crate) fn with_common_name(rule: &TitleRule, rows: &Rows<'_>) -> TitleRule {
    let TitleRule::Tagged { name: TaggedName::CommonOr(_), labels } = rule else {
        return rule.clone();
    };
    let mut names = rows.iter().map(|(identity, _)| {
        identity.duplicate().labels().get(METRIC_NAME).unwrap_or_default().to_owned()
    });
    match names.next() {
        Some(first) if names.all(|name| name == first) => {
            TitleRule::Tagged { name: TaggedName::Own, labels: labels.clone() }
        }
        _ => rule.clone(),
    }
}

/// The first path inside a title, with its tags: through the calls around it.
pub(crate) fn path_inside(title: &str) -> &str {
    let mut inside = title;
    if title.ends_with(')') {
        while let Some(open) = next_special(inside, true) {
            inside = &inside[open + 1..];
        }
        if let Some(end) = next_special(inside, false) {
            inside = &inside[..end];
        }
    }
    inside
}

/// With `open` the place of an opening parenthesis that comes before any end of an argument; without,
/// the place of that end. Commas inside braces belong to the path.
fn next_special(text: &str, open: bool) -> Option<usize> {
    let mut braces = 0usize;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => braces += 1,
            b'}' => braces = braces.saturating_sub(1),
            b'(' => return open.then_some(place),
            b')' => return (!open).then_some(place),
            b',' if braces == 0 => return (!open).then_some(place),
            _ => {}
        }
    }
    None
}

fn nodes(keys: &[NodeKey], identity: &mut Identity<'_>) -> String {
    let title = identity.title_or_name();
    let inside = path_inside(&title);
    // A call around a text has no path inside, and is looked at as it stands.
    let path = if inside.starts_with(['"', '\'']) { &*title } else { inside };
    let path = path.split(';').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('.').collect();
    let labels = identity.labels();
    let label = |name: &str| {
        let name = if name == "name" { METRIC_NAME } else { name };
        labels.get(name).unwrap_or_default().to_owned()
    };
    let part = |key: &NodeKey| match key {
        NodeKey::Label(name) => label(name),
        NodeKey::Index(index) => {
            let place = if *index < 0 { index + parts.len() as i64 } else { *index };
            match usize::try_from(place).ok().and_then(|place| parts.get(place)) {
                Some(part) => (*part).to_owned(),
                None => label(&index.to_string()),
            }
        }
    };
    keys.iter().map(part).collect::<Vec<_>>().join(".")
}

/// Replaces every match; `\1`, `\g<1>` and `\g<name>` refer to groups.
fn substitute(search: &Regex, replacement: &str, title: &str) -> String {
    let mut out = String::new();
    let mut end = 0;
    for captures in search.captures_iter(title) {
        let Some(found) = captures.get_match() else { continue };
        out.push_str(title.get(end..found.start()).unwrap_or_default());
        expand(replacement, title, &captures, &mut out);
        end = found.end();
    }
    out.push_str(title.get(end..).unwrap_or_default());
    out
}

fn expand(replacement: &str, title: &str, captures: &Captures, out: &mut String) {
    let group = |name: &str, out: &mut String| {
        let span = match name.parse::<usize>() {
            Ok(index) => captures.get_group(index),
            Err(_) => captures.get_group_by_name(name),
        };
        out.push_str(span.and_then(|span| title.get(span.range())).unwrap_or_default());
    };
    let mut rest = replacement;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let behind = &rest[slash + 1..];
        let digits = behind.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let named = behind.strip_prefix("g<").and_then(|name| name.split_once('>'));
        if digits > 0 {
            group(&behind[..digits], out);
            rest = &behind[digits..];
        } else if let Some((name, after)) = named {
            group(name, out);
            rest = after;
        } else if let Some(escaped) = behind.chars().next() {
            match escaped {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                '\\' => out.push('\\'),
                other => out.extend(['\\', other]),
            }
            rest = &behind[escaped.len_utf8()..];
        } else {
            out.push('\\');
            rest = behind;
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn of(rule: TitleRule, title: &str) -> String {
        let mut identity = Identity::known(Labels::from_pairs([("__name__", "m"), ("dc", "x")]));
        identity.title = Some(title.into());
        apply(&rule, &mut identity).unwrap();
        identity.title.unwrap_or_default().to_string()
    }

    #[test]
    fn nodes_come_from_the_innermost_path() {
        let rule = |index| TitleRule::Nodes(vec![NodeKey::Index(index)]);
        assert_eq!(of(rule(1), "a.b.c"), "b");
        assert_eq!(of(rule(-1), "scale(sum(a.b.c,d.e),3)"), "c");
        assert_eq!(of(rule(9), "a.b"), "");
        assert_eq!(of(rule(1), "f(a.{x,y}.c)"), "{x,y}");
        assert_eq!(of(rule(0), "a.b;dc=x.y"), "a");
        let mixed = TitleRule::Nodes(vec![NodeKey::Label("dc".into()), NodeKey::Index(0)]);
        assert_eq!(of(mixed, "a.b"), "x.a");
        let last = TitleRule::Slice { start: -1, stop: None };
        assert_eq!(of(last, "f(a.b.c,2)"), "c");
        let middle = TitleRule::Slice { start: 1, stop: Some(-1) };
        assert_eq!(of(middle, "a.b.c.d"), "b.c");
        assert_eq!(of(TitleRule::WithoutNodes(vec![1, 9]), "a.b.c"), "a.c");
        let case = |places| TitleRule::Case { upper: true, places };
        assert_eq!(of(case(vec![0, -1, 40]), "a.one"), "A.onE");
        assert_eq!(of(case(vec![]), "a.one"), "A.ONE");
    }

    #[test]
    fn substitutions_refer_to_groups() {
        let rule = |search: &str, replacement: &str| TitleRule::Substitute {
            search: search.into(),
            replacement: replacement.into(),
        };
        assert_eq!(of(rule("(^.*$)", r"\1 A"), "a.b"), "a.b A");
        assert_eq!(of(rule(r"(\w+)\.(?P<n>\w+)", r"\g<n>-\1"), "a.b.c"), "b-a.c");
        assert_eq!(of(rule("[.]", "_"), "a.b.c"), "a_b_c");
    }
}
