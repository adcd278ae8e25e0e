//! From a path as it arrives to a row of a batch: which paths are taken, what rules make of them, and
//! which were seen before.
//!
//! A plain path without rules is one label and goes straight through. A tagged one is recognised by
//! its spelling, so that a known series is neither taken apart nor sorted again. Rules come first
//! where there are any: the blacklist, the whitelist, then the mapping, on the path as received.

use base::codec::put_bytes;
use model::{METRIC_NAME, WriteBatch};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use super::path::{parse, push_path};
use super::reject::Reason;
use crate::known_keys::{Cursor, KnownKeys};

/// A rule that turns the nodes of a path into a name and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingRule {
    /// What a path must look like: a glob whose stars stand for one node each, or an expression.
    pub pattern: String,
    /// The pattern is a regular expression for the whole path.
    pub is_regex: bool,
    /// The new name; `$1` … are what the stars or groups matched. Empty keeps the path.
    pub name: String,
    /// Labels and their values, likewise.
    pub labels: Vec<(String, String)>,
    /// Matching paths are not taken.
    pub drops: bool,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the pattern {pattern:?}: {message}")]
pub struct RuleError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub message: String,
}

/// Lists and mappings in the form in which they are used.
#[derive(Clone, Debug, Default)]
pub struct PathRules {
    blacklist: Option<Regex>,
    whitelist: Option<Regex>,
    mapping: Vec<(Regex, MappingRule)>,
}

/// An expression's program is refused beyond this.
const PROGRAM_BYTES_MAX: usize = 10 << 20;

fn compile(patterns: &[String]) -> Result<Option<Regex>, RuleError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let built = Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(PROGRAM_BYTES_MAX)))
        .build_many(patterns);
    built.map(Some).map_err(|error| {
        let at = error.pattern().map_or(0, |pattern| pattern.as_usize());
        let pattern = patterns.get(at).cloned().unwrap_or_default();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        RuleError { pattern, message: cause.unwrap_or_else(|| error.to_string()) }
    })
}

/// A glob as an expression for a whole path: each star is a group.
fn glob(text: &str) -> String {
    let mut out = String::from("^");
    for letter in text.chars() {
        match letter {
            '*' => out.push_str("([^.]*)"),
            _ if letter.is_alphanumeric() || letter == '_' => out.push(letter),
            _ => {
                out.push('\\');
                out.push(letter);
            }
        }
    }
    out.push('$');
    out
}

impl PathRules {
    /// Rules from their texts; the expressions of the lists are searched anywhere in a path.
    pub fn new(
        blacklist: &[String],
        whitelist: &[String],
        mapping: &[MappingRule],
    ) -> Result<Self, RuleError> {
        let mut rules = Vec::with_capacity(mapping.len());
        for rule in mapping {
            let expression = match rule.is_regex {
                true => format!("^(?:{})$", rule.pattern),
                false => glob(&rule.pattern),
            };
            let refused = |error: RuleError| RuleError { pattern: rule.pattern.clone(), ..error };
            if let Some(regex) = compile(&[expression]).map_err(refused)? {
                rules.push((regex, rule.clone()));
            }
        }
        Ok(Self { blacklist: compile(blacklist)?, whitelist: compile(whitelist)?, mapping: rules })
    }

    /// True when every path is taken as it is.
    pub fn is_empty(&self) -> bool {
        self.blacklist.is_none() && self.whitelist.is_none() && self.mapping.is_empty()
    }

    fn check(&self, path: &[u8]) -> Result<(), Reason> {
        if self.blacklist.as_ref().is_some_and(|list| list.is_match(path)) {
            return Err(Reason::Blacklisted);
        }
        if self.whitelist.as_ref().is_some_and(|list| !list.is_match(path)) {
            return Err(Reason::NotWhitelisted);
        }
        Ok(())
    }

    /// Opens the row that the first matching rule makes of a path; `false` when none matches.
    fn map(&self, path: &[u8], batch: &mut WriteBatch) -> Result<bool, Reason> {
        for (regex, rule) in &self.mapping {
            let mut groups = regex.create_captures();
            regex.captures(path, &mut groups);
            if !groups.is_match() {
                continue;
            }
            if rule.drops {
                return Err(Reason::Unmapped);
            }
            let filled = |template: &str| fill(template, path, &groups);
            let name = if rule.name.is_empty() { path.to_vec() } else { filled(&rule.name) };
            batch.begin_row();
            batch.push_label(METRIC_NAME.as_bytes(), &name);
            for (label, value) in &rule.labels {
                batch.push_label(label.as_bytes(), &filled(value));
            }
            if name.is_empty() || batch.end_labels().is_err() {
                batch.abandon_row();
                return Err(Reason::InvalidName);
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// A template with `$1` and `${1}` replaced by what the groups matched.
fn fill(template: &str, path: &[u8], groups: &Captures) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let after = &rest[at + 1..];
        let (digits, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((digits, _)) => (digits, digits.len() + 2),
            None => {
                let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match digits.parse::<usize>() {
            Ok(group) => {
                let span = groups.get_group(group);
                out.extend_from_slice(span.and_then(|span| path.get(span.range())).unwrap_or(b""));
                rest = &after[end..];
            }
            Err(_) => {
                out.push(b'$');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// What one round of decoding knows; without rules and known spellings by default.
#[derive(Debug, Default)]
pub struct Intake<'k> {
    rules: Option<&'k PathRules>,
    known: Option<&'k KnownKeys>,
    cursor: Cursor,
    learned: Vec<(u128, u128)>,
}

impl<'k> Intake<'k> {
    /// With rules, and spellings of earlier rounds.
    pub fn new(rules: &'k PathRules, known: &'k KnownKeys) -> Self {
        let rules = Some(rules).filter(|rules| !rules.is_empty());
        Self { rules, known: Some(known), ..Self::default() }
    }

    /// What was new, for [`KnownKeys::learn`].
    pub fn learned(self) -> Vec<(u128, u128)> {
        self.learned
    }

    /// Opens a row of `batch` with the labels of `path`. On `Err` the batch is as it was.
    #[inline]
    pub fn open_row(&mut self, batch: &mut WriteBatch, path: &[u8]) -> Result<(), Reason> {
        let plain = memchr::memchr(b';', path).is_none();
        if plain && self.rules.is_none() {
            return push_path(batch, path).map_err(|_| Reason::InvalidName);
        }
        self.open_slowly(batch, path)
    }

    #[inline(never)]
    fn open_slowly(&mut self, batch: &mut WriteBatch, path: &[u8]) -> Result<(), Reason> {
        let spelling = batch.hasher().hash(path);
        if let Some(hash) = self.known.and_then(|known| known.get(spelling, &mut self.cursor)) {
            batch.begin_known_row(&[path], hash, unpack_path);
            return Ok(());
        }
        if let Some(rules) = self.rules {
            rules.check(path)?;
            if rules.map(path, batch)? {
                return Ok(());
            }
        }
        push_path(batch, path).map_err(|_| Reason::InvalidName)?;
        // Only what is sure to be a label set is recognised later without another look.
        if self.known.is_some()
            && let Some(row) = batch.rows().last()
            && batch.labels(row).check().is_ok()
        {
            self.learned.push((spelling, row.hash));
        }
        Ok(())
    }
}

/// The packed labels of a path that was found to be one.
fn unpack_path(path: &[u8], _shared: &[u8], packed: &mut Vec<u8>) {
    let Ok((name, tags)) = parse(path) else { return };
    let mut labels: Vec<(&[u8], &[u8])> =
        tags.iter().map(|(tag, value)| (tag.as_slice(), value.as_slice())).collect();
    labels.push((METRIC_NAME.as_bytes(), &name));
    labels.sort_unstable();
    for (label, value) in labels {
        put_bytes(packed, label);
        put_bytes(packed, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SeriesHasher, TenantId, identity::flat_name};

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    fn check(rules: &PathRules, path: &str, expected: Result<&str, Reason>) {
        let (mut batch, known) = (batch(), KnownKeys::default());
        let got = Intake::new(rules, &known).open_row(&mut batch, path.as_bytes());
        let got = got.map(|()| flat_name(&batch.labels(&batch.rows()[0]).to_labels()));
        assert_eq!(got, expected.map(str::to_owned), "{path}");
        assert_eq!(batch.rows().len(), usize::from(got.is_ok()));
    }

    fn rule(pattern: &str, name: &str, labels: &[(&str, &str)]) -> MappingRule {
        let pairs = labels.iter().map(|(label, value)| ((*label).into(), (*value).into()));
        MappingRule {
            pattern: pattern.into(),
            is_regex: pattern.contains('('),
            name: name.into(),
            labels: pairs.collect(),
            drops: name == "-",
        }
    }

    #[test]
    fn lists_search_the_path_as_received() {
        let lists = |black: &[&str], white: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
            PathRules::new(&owned(black), &owned(white), &[])
        };
        let rules = lists(&["\\.debug\\.", "^tmp"], &["^web", "load"]).unwrap();
        check(&rules, "web.a", Ok("web.a"));
        check(&rules, "db.load;z=1;a=2", Ok("db.load;a=2;z=1"));
        check(&rules, "web.debug.a", Err(Reason::Blacklisted));
        check(&rules, "db.a", Err(Reason::NotWhitelisted));
        let error = lists(&["ok", "("], &[]).unwrap_err();
        assert_eq!(error.pattern, "(");
    }

    #[test]
    fn mappings_make_names_and_labels_of_nodes() {
        let rules = [
            rule("test.dispatcher.*.*", "dispatcher_total", &[("processor", "$1"), ("x", "${2}s")]),
            rule("secret.*", "-", &[]),
            rule("cpu\\.(\\w+)\\.(?:user|sys)", "cpu_$1_seconds$", &[]),
        ];
        let rules = PathRules::new(&[], &[], &rules).unwrap();
        check(&rules, "test.dispatcher.A.b", Ok("dispatcher_total;processor=A;x=bs"));
        check(&rules, "test.dispatcher.A.b.c", Ok("test.dispatcher.A.b.c"));
        check(&rules, "secret.x", Err(Reason::Unmapped));
        check(&rules, "cpu.n1.user", Ok("cpu_n1_seconds$"));
        check(&rules, "other;t=v", Ok("other;t=v"));
    }

    #[test]
    fn known_spellings_are_the_same_series() {
        let (rules, mut known) = (PathRules::default(), KnownKeys::default());
        let paths = ["a.b;z=1;a=2", "a.b;a=2;z=1", "~c;t=v;t=w", "plain", "d;name=x;__a=1;A=2"];
        let round = |known: &KnownKeys| {
            let (mut batch, mut intake) = (batch(), Intake::new(&rules, known));
            for path in paths {
                intake.open_row(&mut batch, path.as_bytes()).unwrap();
                batch.push_float(1, 1.0);
            }
            (0..paths.len()).for_each(|index| batch.unpack(index));
            let row = |row| (batch.labels(row).to_labels(), row.hash);
            (batch.rows().iter().map(row).collect::<Vec<_>>(), intake.learned())
        };
        let (first, learned) = round(&known);
        assert_eq!(learned.len(), 4);
        known.learn(&learned);
        let (second, learned) = round(&known);
        assert_eq!((first, learned.len()), (second, 0));
    }
}
