//! Text that every match of a pattern contains: `.*77.rack.*` holds `.rack`. Looking for such a text in
//! many values at once is several times faster than to step an automaton through each of them.

use std::cmp::Reverse;

use regex_automata::util::prefilter::Prefilter;
use regex_automata::{MatchKind, Span};
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

/// Texts of which one is required; more are looked for slowly.
const TEXTS_MAX: usize = 16;
/// Bytes of a required text that are looked for.
const TEXT_BYTES_MAX: usize = 32;
/// The shortest text that few values contain by chance.
const TEXT_BYTES_MIN: usize = 2;

/// Sets of texts that are tried: which of them is rare shows in the values alone.
const SETS_MAX: usize = 4;

/// Some texts of which every match contains at least one.
#[derive(Debug)]
pub(crate) struct Required(Prefilter);

impl Required {
    /// Sets of texts of the pattern that is the concatenation of `parts`, those that tell most first.
    /// Every match begins with `prefix`: what all values under consideration have tells nothing.
    pub(crate) fn of(parts: &[Hir], prefix: &[u8]) -> Vec<Self> {
        let first = usize::from(!prefix.is_empty());
        let mut found: Vec<Vec<Vec<u8>>> =
            (first..parts.len()).filter_map(|start| texts(parts.get(start..)?)).collect();
        found.sort_by_key(|texts| (Reverse(texts.iter().map(Vec::len).min()), texts.len()));
        found.truncate(SETS_MAX);
        let prefilter = |texts: &Vec<Vec<u8>>| Prefilter::new(MatchKind::LeftmostFirst, texts);
        found.iter().filter_map(prefilter).map(Self).collect()
    }

    /// The place of the first of the texts in `bytes` from `start` on.
    #[inline]
    pub(crate) fn find(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let span = Span { start, end: bytes.len() };
        self.0.find(bytes, span).map(|found| found.start)
    }
}

/// What matches of `parts` in a row begin with, if these are few and telling.
fn texts(parts: &[Hir]) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor.limit_total(TEXTS_MAX).limit_class(TEXTS_MAX).limit_literal_len(TEXT_BYTES_MAX);
    let sequence = extractor.extract(&Hir::concat(parts.to_vec()));
    let texts: Vec<Vec<u8>> =
        sequence.literals()?.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    let is_telling = texts.iter().all(|text| text.len() >= TEXT_BYTES_MIN);
    (is_telling && !texts.is_empty()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex_syntax::hir::HirKind;

    fn required(pattern: &str, prefix: &str) -> Vec<Required> {
        let hir = regex_syntax::parse(pattern).unwrap();
        match hir.kind() {
            HirKind::Concat(parts) => Required::of(parts, prefix.as_bytes()),
            _ => Required::of(std::slice::from_ref(&hir), prefix.as_bytes()),
        }
    }

    #[test]
    fn the_longest_text_is_looked_for() {
        for (pattern, prefix, value, expected) in [
            (".*4242-.*", "", "dev-4242-7", Some(4)),
            (".*77.rack1.*", "", "host77.rack2 77.rack1", Some(16)),
            ("dev-.*77", "dev-", "dev-177", Some(5)),
            (".*(4242|77a|1313)", "", "x4242", Some(1)),
            (".*(4242|77a|1313)", "", "x424", None),
            (".*rack13.example.org", "", "example rack13", Some(0)),
            ("(?i).*ab", "", "xaB", Some(1)),
        ] {
            let found = required(pattern, prefix)[0].find(value.as_bytes(), 0);
            assert_eq!(found, expected, "{pattern}");
        }
        let second = &required(".*rack13.example.org", "")[1];
        assert_eq!(second.find(b"example rack13", 0), Some(8));
        for (pattern, prefix) in [(".*7", ""), ("dev-[0-9]*", "dev-"), (r"\w+", ""), (".*x?y?", "")]
        {
            assert!(required(pattern, prefix).is_empty(), "{pattern}");
        }
    }
}
