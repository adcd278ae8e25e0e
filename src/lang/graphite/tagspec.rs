//! Tag expressions: `tag OP value`, with `=`, `!=`, `=~` and `!=~`.

use model::{METRIC_NAME, Matcher, Pattern, PatternError, ValueTest};
use regex_syntax::ast::{self, Ast};

use super::error::GraphiteError;

/// The operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagOp {
    /// `=`: the value is this; with an empty text, the tag is missing.
    Equal,
    /// `!=`: the value is another; with an empty text, the tag is there.
    NotEqual,
    /// `=~`: the value starts with a match.
    Match,
    /// `!=~`: it does not.
    NotMatch,
}

/// A tag expression, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSpec {
    /// The tag; `name` is the series' name.
    pub tag: String,
    /// The comparison.
    pub op: TagOp,
    /// What it compares with.
    pub value: String,
}

/// Parses one expression. Nothing is trimmed.
pub fn parse(text: &str) -> Result<TagSpec, GraphiteError> {
    let invalid = || GraphiteError::TagSpec(text.to_owned());
    let tag_end = text.find([';', '!', '=']).ok_or_else(invalid)?;
    let (tag, rest) = text.split_at(tag_end);
    let operators = [
        ("!=~", TagOp::NotMatch),
        ("!=", TagOp::NotEqual),
        ("=~", TagOp::Match),
        ("=", TagOp::Equal),
    ];
    let (op, value) = operators
        .iter()
        .find_map(|(spelling, op)| Some((*op, rest.strip_prefix(spelling)?)))
        .ok_or_else(invalid)?;
    if tag.is_empty() || value.contains(';') {
        return Err(invalid());
    }
    Ok(TagSpec { tag: tag.to_owned(), op, value: value.to_owned() })
}

/// The pattern of values whose beginning matches `search`.
pub fn prefix_pattern(search: &str) -> Result<Pattern, GraphiteError> {
    // The search is compiled alone first, so that it cannot close the group around it.
    Pattern::new(search)?;
    // Behind the anchor, where the original has no place for them; `(?i:…)` is one for any.
    if sets_flags(search) {
        let reason = "global flags not at the start of the expression; write (?i:…)".to_owned();
        return Err(PatternError { pattern: search.to_owned(), reason }.into());
    }
    Ok(Pattern::new(&format!("(?:{search}).*"))?)
}

/// True when a group of flags stands by itself, as in `(?i)web`.
fn sets_flags(search: &str) -> bool {
    struct Finder;
    impl ast::Visitor for Finder {
        type Output = ();
        type Err = ();
        fn finish(self) -> Result<(), ()> {
            Ok(())
        }
        fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
            if matches!(ast, Ast::Flags(_)) { Err(()) } else { Ok(()) }
        }
    }
    let parsed = ast::parse::Parser::new().parse(search);
    parsed.is_ok_and(|parsed| ast::visit(&parsed, Finder).is_err())
}

/// The label that stands for a tag.
pub fn label_of(tag: &str) -> &str {
    if tag == "name" { METRIC_NAME } else { tag }
}

/// The tag that shows a label.
pub fn tag_of(label: &str) -> &str {
    if label == METRIC_NAME { "name" } else { label }
}

/// One expression as a matcher.
pub fn matcher(text: &str) -> Result<Matcher, GraphiteError> {
    let spec = parse(text)?;
    let test = match spec.op {
        TagOp::Equal => ValueTest::Equal(spec.value),
        TagOp::NotEqual => ValueTest::NotEqual(spec.value),
        TagOp::Match => ValueTest::Regex(prefix_pattern(&spec.value)?),
        TagOp::NotMatch => ValueTest::NotRegex(prefix_pattern(&spec.value)?),
    };
    Ok(Matcher::new(label_of(&spec.tag), test))
}

/// All expressions as matchers. Refused when a series without any tag would pass: such a query
/// would walk everything.
pub fn matchers<'t>(
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<Vec<Matcher>, GraphiteError> {
    let matchers: Vec<Matcher> = texts.into_iter().map(matcher).collect::<Result<_, _>>()?;
    if matchers.iter().all(Matcher::matches_missing) {
        return Err(GraphiteError::MatchesEverything);
    }
    Ok(matchers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_split_at_the_first_operator() {
        let check = |text: &str, tag: &str, op, value: &str| {
            let expected = TagSpec { tag: tag.into(), op, value: value.into() };
            assert_eq!(parse(text), Ok(expected), "{text}");
        };
        check("a=b", "a", TagOp::Equal, "b");
        check("a!=~b", "a", TagOp::NotMatch, "b");
        check("a==b", "a", TagOp::Equal, "=b");
        check("a=!b", "a", TagOp::Equal, "!b");
        check("a~b= c", "a~b", TagOp::Equal, " c");
        for text in ["a", "=b", "a=b;c", "a;b=c", "a!b=c", "a!~b", ""] {
            assert_eq!(parse(text), Err(GraphiteError::TagSpec(text.into())));
        }
    }

    #[test]
    fn matches_start_at_the_beginning_and_may_end_early() {
        let web = matcher("a=~web0").unwrap();
        assert!(web.matches("web01") && !web.matches("xweb0"));
        assert!(matcher("a=~^b$").unwrap().matches("b"));
        assert!(!matcher("a=~^b$").unwrap().matches("bc"));
        assert!(matchers(["rack!=a1"]).is_err());
        assert!(matchers(["rack="]).is_err());
        assert!(matchers(["server=~web|"]).is_err());
        assert!(matchers(["rack!="]).is_ok());
        assert!(matchers(["rack=~.+", "rack=~x)("]).is_err());
    }
}
