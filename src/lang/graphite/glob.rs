//! Path globs: a query is split at its dots first and each element is matched against one level, so
//! nothing ever crosses a dot.
//!
//! `*` any run, `?` one character, `[a-c]` and `[!a-c]` one of or none of (`^` is an ordinary member),
//! `{a,b}` alternatives, which may be empty, nest and hold the others. What is not closed is literal.

use model::matcher::PatternError;
use model::{METRIC_NAME, Matcher, Pattern, ValueTest};

/// True when the text stands for itself alone.
pub fn is_literal(text: &str) -> bool {
    !text.contains(['*', '?', '[', '{'])
}

/// The matcher of metric names that a path asks for.
pub fn name_matcher(path: &str) -> Result<Matcher, PatternError> {
    let test = if is_literal(path) {
        ValueTest::Equal(path.to_owned())
    } else {
        ValueTest::Regex(Pattern::new(&path_regex(path))?)
    };
    Ok(Matcher::new(METRIC_NAME, test))
}

/// The pattern of whole paths, in regex-crate syntax.
pub fn path_regex(path: &str) -> String {
    let elements: Vec<String> = path.split('.').map(element_regex).collect();
    elements.join("\\.")
}

/// The pattern of one element, which matches no dot.
pub fn element_regex(element: &str) -> String {
    let chars: Vec<char> = element.chars().collect();
    let mut out = String::with_capacity(element.len() + 8);
    translate(&chars, &mut out);
    out
}

fn translate(chars: &[char], out: &mut String) {
    let mut index = 0;
    while index < chars.len() {
        match chars[index] {
            '*' => out.push_str("[^.]*"),
            '?' => out.push_str("[^.]"),
            '[' => {
                if let Some(end) = class_end(chars, index) {
                    push_class(&chars[index + 1..end], out);
                    index = end;
                } else {
                    out.push_str("\\[");
                }
            }
            '{' => {
                if let Some(end) = brace_end(chars, index) {
                    out.push_str("(?:");
                    for (count, choice) in choices(&chars[index + 1..end]).iter().enumerate() {
                        out.push_str(if count == 0 { "" } else { "|" });
                        translate(choice, out);
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

fn push_literal(character: char, out: &mut String) {
    if regex_syntax::is_meta_character(character) {
        out.push('\\');
    }
    out.push(character);
}

/// Index of the bracket that closes the class opened at `open`; the first member may be a bracket.
fn class_end(chars: &[char], open: usize) -> Option<usize> {
    let mut start = open + 1;
    if chars.get(start) == Some(&'!') {
        start += 1;
    }
    if chars.get(start) == Some(&']') {
        start += 1;
    }
    (start..chars.len()).find(|index| chars[*index] == ']')
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

/// Index of the brace that closes the one at `open`.
fn brace_end(chars: &[char], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, character) in chars.iter().enumerate().skip(open) {
        match character {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// The alternatives between a pair of braces.
fn choices(chars: &[char]) -> Vec<&[char]> {
    let mut out = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (index, character) in chars.iter().enumerate() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&chars[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    out.push(&chars[start..]);
    out
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
            let pattern = Pattern::new(&element_regex(&glob)).expect(&glob);
            assert!(!pattern.is_match("a.b"), "{glob}");
        }
    }
}
