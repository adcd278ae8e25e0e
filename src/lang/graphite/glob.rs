//! Path globs: a query is split at its dots first and each element is matched against one level, so
//! nothing ever crosses a dot.
//!
//! `*` any run, `?` one character, `[a-c]` and `[!a-c]` one of or none of (`^` is an ordinary member),
//! `{a,b}` alternatives, which may be empty, nest and hold the others. What is not closed is literal.

use std::ops::Range;

use base::limits::{GLOB_NESTING_MAX, QUERY_BYTES_MAX};
use model::matcher::PatternError;
use model::{METRIC_NAME, Matcher, Pattern, ValueTest};

/// Names that braces may stand for before they are a pattern instead: each costs a look-up.
const NAMES_MAX: usize = 4096;

/// One element of a path, as it is looked for among the names of a level.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// One of these names: literal text, and braces around such.
    Names(Vec<String>),
    /// Names that start with `head` and match.
    Matching {
        /// What every name starts with.
        head: String,
        /// The whole element.
        pattern: Pattern,
    },
}

impl Element {
    /// Reads one element of a path.
    pub fn new(glob: &str) -> Result<Self, PatternError> {
        let tokens = Tokens::new(glob)?;
        if let Some(mut names) = tokens.names(0..tokens.chars.len()) {
            names.sort_unstable();
            names.dedup();
            return Ok(Self::Names(names));
        }
        let head = glob[..glob.find(['*', '?', '[', '{']).unwrap_or(glob.len())].to_owned();
        Ok(Self::Matching { head, pattern: Pattern::new(&tokens.regex())? })
    }
}

/// True when the text stands for itself alone.
fn is_literal(text: &str) -> bool {
    !text.contains(['*', '?', '[', '{'])
}

/// The matcher of metric names that a path asks for.
pub fn name_matcher(path: &str) -> Result<Matcher, PatternError> {
    let test = if is_literal(path) {
        ValueTest::Equal(path.to_owned())
    } else {
        ValueTest::Regex(Pattern::new(&path_regex(path)?)?)
    };
    Ok(Matcher::new(METRIC_NAME, test))
}

/// The pattern of whole paths, in regex-crate syntax.
pub fn path_regex(path: &str) -> Result<String, PatternError> {
    let elements: Result<Vec<String>, _> = path.split('.').map(element_regex).collect();
    Ok(elements?.join("\\."))
}

/// The pattern of one element, which matches no dot.
pub fn element_regex(element: &str) -> Result<String, PatternError> {
    Ok(Tokens::new(element)?.regex())
}

/// The characters of an element, and where its brackets and braces close.
struct Tokens {
    chars: Vec<char>,
    /// The brace that closes the one at an index.
    braces: Vec<Option<usize>>,
    /// The first closing bracket at or behind an index.
    brackets: Vec<Option<usize>>,
}

impl Tokens {
    /// Takes one pass, so that a hostile glob costs no more than its length.
    fn new(element: &str) -> Result<Self, PatternError> {
        let refused = |reason: String| PatternError {
            pattern: element.chars().take(40).chain("…".chars()).collect(),
            reason,
        };
        if element.len() > QUERY_BYTES_MAX {
            let length = element.len();
            return Err(refused(format!("glob has {length} bytes, at most {QUERY_BYTES_MAX}")));
        }
        let chars: Vec<char> = element.chars().collect();
        let (mut braces, mut open) = (vec![None; chars.len()], Vec::new());
        for (index, character) in chars.iter().enumerate() {
            match character {
                '{' => open.push(index),
                '}' => {
                    if let Some(opened) = open.pop() {
                        braces[opened] = Some(index);
                    }
                }
                _ => {}
            }
        }
        let (mut brackets, mut next) = (vec![None; chars.len()], None);
        for (index, character) in chars.iter().enumerate().rev() {
            next = if *character == ']' { Some(index) } else { next };
            brackets[index] = next;
        }
        let tokens = Self { chars, braces, brackets };
        match tokens.nesting() > GLOB_NESTING_MAX {
            true => Err(refused(format!("braces are nested deeper than {GLOB_NESTING_MAX}"))),
            false => Ok(tokens),
        }
    }

    /// Pairs of braces around the innermost one.
    fn nesting(&self) -> usize {
        let (mut ends, mut deepest) = (Vec::new(), 0);
        for index in 0..self.chars.len() {
            ends.extend(self.braces[index]);
            deepest = deepest.max(ends.len());
            ends.pop_if(|end| *end == index);
        }
        deepest
    }

    fn regex(&self) -> String {
        let mut out = String::with_capacity(self.chars.len() + 8);
        self.translate(0..self.chars.len(), &mut out);
        out
    }

    fn translate(&self, range: Range<usize>, out: &mut String) {
        let mut index = range.start;
        while index < range.end {
            match self.chars[index] {
                '*' => out.push_str("[^.]*"),
                '?' => out.push_str("[^.]"),
                '[' => {
                    if let Some(end) = self.class_end(index, range.end) {
                        push_class(&self.chars[index + 1..end], out);
                        index = end;
                    } else {
                        out.push_str("\\[");
                    }
                }
                '{' => {
                    if let Some(end) = self.brace_end(index, range.end) {
                        out.push_str("(?:");
                        for (count, choice) in self.choices(index + 1..end).into_iter().enumerate()
                        {
                            out.push_str(if count == 0 { "" } else { "|" });
                            self.translate(choice, out);
                        }
                        out.push(')');
                        index = end;
                    } else {
                        out.push_str("\\{");
                    }
                }
                other => push_literal(other, out),
            }
            index += 1;
        }
    }

    /// Every name that a range stands for; `None` where it holds a wildcard, or too many names.
    fn names(&self, range: Range<usize>) -> Option<Vec<String>> {
        let mut names = vec![String::new()];
        let mut index = range.start;
        while index < range.end {
            match self.chars[index] {
                '*' | '?' => return None,
                '[' if self.class_end(index, range.end).is_some() => return None,
                '{' if let Some(end) = self.brace_end(index, range.end) => {
                    let mut choices = Vec::new();
                    for choice in self.choices(index + 1..end) {
                        choices.extend(self.names(choice)?);
                    }
                    if names.len() * choices.len() > NAMES_MAX {
                        return None;
                    }
                    let with = |head: &String| {
                        let head = head.clone();
                        choices.iter().map(move |choice| format!("{head}{choice}"))
                    };
                    names = names.iter().flat_map(with).collect();
                    index = end;
                }
                other => names.iter_mut().for_each(|name| name.push(other)),
            }
            index += 1;
        }
        Some(names)
    }

    /// Index of the brace that closes the one at `open`, before `end`.
    fn brace_end(&self, open: usize, end: usize) -> Option<usize> {
        self.braces[open].filter(|close| *close < end)
    }

    /// Index of the bracket that closes the class opened at `open`; the first member may be a bracket.
    fn class_end(&self, open: usize, end: usize) -> Option<usize> {
        let mut start = open + 1;
        if self.chars.get(start) == Some(&'!') {
            start += 1;
        }
        if self.chars.get(start) == Some(&']') {
            start += 1;
        }
        self.brackets.get(start).copied().flatten().filter(|close| *close < end)
    }

    /// The alternatives between a pair of braces.
    fn choices(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut out = Vec::new();
        let (mut start, mut index) = (range.start, range.start);
        while index < range.end {
            match self.chars[index] {
                // What an inner pair holds is its own.
                '{' => index = self.brace_end(index, range.end).unwrap_or(index),
                ',' => {
                    out.push(start..index);
                    start = index + 1;
                }
                _ => {}
            }
            index += 1;
        }
        out.push(start..range.end);
        out
    }
}

fn push_literal(character: char, out: &mut String) {
    if regex_syntax::is_meta_character(character) {
        out.push('\\');
    }
    out.push(character);
}

fn push_class(members: &[char], out: &mut String) {
    let (negated, members) = match members.split_first() {
        Some(('!', rest)) => (true, rest),
        _ => (false, members),
    };
    let mut set = String::new();
    let mut index = 0;
    while index < members.len() {
        let low = members[index];
        if members.get(index + 1) == Some(&'-') && index + 2 < members.len() {
            let high = members[index + 2];
            // A range that runs backwards holds nothing.
            if low <= high {
                push_literal(low, &mut set);
                set.push('-');
                push_literal(high, &mut set);
            }
            index += 3;
        } else {
            push_literal(low, &mut set);
            index += 1;
        }
    }
    match (negated, set.is_empty()) {
        (true, _) => {
            out.push_str("[^.");
            out.push_str(&set);
            out.push(']');
        }
        // Matches nothing.
        (false, true) => out.push_str("[^\\x00-\\x{10FFFF}]"),
        (false, false) => {
            out.push_str("[[");
            out.push_str(&set);
            out.push_str("]--[.]]");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: &str, yes: &[&str], no: &[&str]) {
        let matcher = name_matcher(glob).unwrap();
        for path in yes {
            assert!(matcher.matches(path), "{glob} should match {path}: {matcher}");
        }
        for path in no {
            assert!(!matcher.matches(path), "{glob} should not match {path}: {matcher}");
        }
    }

    #[test]
    fn globs() {
        check("a.b", &["a.b"], &["a.b.c", "a.B", "axb"]);
        check("*", &["a", ""], &["a.b"]);
        check("a.*.c", &["a.b.c", "a..c"], &["a.b.b.c", "a.c"]);
        check("a?c", &["abc"], &["a.c", "ac"]);
        check("x[12]", &["x1", "x2"], &["x3", "x12"]);
        check("x[!1]", &["x2"], &["x1", "x.", "x"]);
        check("x[^1]", &["x^", "x1"], &["x2"]);
        check("x[-_]y", &["x-y", "x_y"], &["xzy"]);
        check("x[a-c-]", &["xb", "x-"], &["xd"]);
        check("x[+--]", &["x,", "x-"], &["x."]);
        check("x[z-a]", &[], &["xz", "xb"]);
        check("a[[]1]", &["a[1]"], &["a1]x"]);
        check("a[]]", &["a]"], &["a[]"]);
        check("a[1", &["a[1"], &["a1"]);
        check("w{,0}", &["w", "w0"], &["w1"]);
        check("{a,b{c,d*}}x", &["ax", "bcx", "bddx"], &["bx", "a"]);
        check("a.{lit", &["a.{lit"], &["a.lit"]);
        check("a}b*", &["a}bc"], &["ab"]);
        check("c+(d)|*", &["c+(d)|x"], &["cc"]);
        check("comma.a,b", &["comma.a,b"], &["comma.a"]);
        check("na\u{ef}*", &["na\u{ef}ve"], &["nave"]);
    }

    #[test]
    fn random_globs_compile_and_match_no_dot() {
        let mut rng = base::rng::Rng::new(5);
        let alphabet: Vec<char> = "ab*?[]{}!^-,\\&~|(".chars().collect();
        for _ in 0..300 {
            let length = rng.below(12);
            let glob: String =
                (0..length).map(|_| alphabet[rng.below(alphabet.len() as u64) as usize]).collect();
            let pattern = Pattern::new(&element_regex(&glob).unwrap()).expect(&glob);
            assert!(!pattern.is_match("a.b"), "{glob}");
        }
    }

    #[test]
    fn names_in_braces_are_looked_up() {
        let names = |glob: &str| match Element::new(glob).unwrap() {
            Element::Names(names) => names.join(" "),
            Element::Matching { head, .. } => format!("{head}…"),
        };
        assert_eq!(names("a"), "a");
        assert_eq!(names("{b,a}x{1,}"), "ax ax1 bx bx1");
        assert_eq!(names("{a,{b,c}d}"), "a bd cd");
        assert_eq!(names("a{b"), "a{b");
        assert_eq!(names("web{1,2*}"), "web…");
        assert_eq!(names(&format!("a{}", "{b,c}".repeat(13))), "a…");
    }

    #[test]
    fn hostile_globs_cost_their_length() {
        let refused = |glob: String| element_regex(&glob).unwrap_err().to_string();
        let deep = format!("{}a{}", "{".repeat(10_000), "}".repeat(10_000));
        assert!(refused(deep).contains("nested deeper than"));
        assert!(refused("a".repeat(QUERY_BYTES_MAX + 1)).contains("bytes"));
        for open in ["{", "[", "{[", "[{,"] {
            let glob = open.repeat(QUERY_BYTES_MAX / open.len());
            assert!(element_regex(&glob).unwrap().len() >= glob.len());
        }
        // More than a thousand pairs side by side are as many states, not as many combinations.
        let wide = name_matcher(&format!("x{}*", "{a,b}".repeat(1000))).unwrap();
        assert!(wide.matches(&format!("x{}", "ab".repeat(500))));
    }
}
