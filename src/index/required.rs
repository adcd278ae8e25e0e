//! Text that every match of a pattern contains: `.*77.rack.*` holds `.rack`. Looking for such a text in
//! many values at once is several times faster than to step an automaton through each of them.

use std::cmp::Reverse;

use regex_automata::util::prefilter::Prefilter;
use regex_automata::{MatchKind, Span};
use regex_syntax::hir::literal::{Extractor, Seq};
use regex_syntax::hir::{Hir, HirKind};

use crate::automaton::any_loop;

/// Texts of which one is required; more are looked for slowly.
const TEXTS_MAX: usize = 16;
/// Bytes of required texts that are looked for, all together: a bit each in [`Required::straddles`].
const BYTES_MAX: usize = 64;
/// Bytes of one that are looked for.
const TEXT_BYTES_MAX: usize = 32;
/// The shortest text that few values contain by chance.
const TEXT_BYTES_MIN: usize = 2;
/// Parts of a pattern that are looked at, each with as many behind it as can make up a text.
const PARTS_MAX: usize = 256;
/// Sets of texts that are tried: which of them is rare shows in the values alone.
const SETS_MAX: usize = 4;

/// Some texts of which every match contains at least one. All are of one length, so of two places where one
/// is found that which begins first ends first.
#[derive(Debug)]
pub(crate) struct Required {
    prefilter: Prefilter,
    /// The texts, one behind the other.
    texts: Vec<u8>,
    length: usize,
    /// By byte: the places in `texts`, but the first ones of texts, that have it.
    places: Box<[u64; 256]>,
    /// By byte: those behind it.
    places_behind: Box<[u64; 256]>,
    /// By place: how many bytes of its text are before it.
    before: Vec<usize>,
    /// Values with one of the texts are all that match.
    is_enough: bool,
}

type Texts = Vec<Vec<u8>>;

impl Required {
    /// Sets of texts of a pattern, those that tell most first. Every match begins with `prefix`: what all
    /// values under consideration have tells nothing.
    pub(crate) fn of(pattern: &Hir, prefix: &[u8]) -> Vec<Self> {
        if let Some(whole) = inner_texts(pattern).and_then(Self::new)
            && whole.is_enough
        {
            return vec![whole];
        }
        let mut found = sets_of(pattern, usize::from(!prefix.is_empty()));
        found.truncate(SETS_MAX);
        let set = |texts| Some(Self { is_enough: false, ..Self::new(texts)? });
        found.into_iter().filter_map(set).collect()
    }

    /// Looks for these texts, as far as they are of one length and not too long.
    fn new(mut texts: Texts) -> Option<Self> {
        let length = texts.iter().map(Vec::len).min()?.min(BYTES_MAX / texts.len());
        let is_enough = texts.iter().all(|text| text.len() == length);
        texts.iter_mut().for_each(|text| text.truncate(length));
        texts.sort_unstable();
        texts.dedup();
        let prefilter = Prefilter::new(MatchKind::LeftmostFirst, &texts)?;
        let texts = texts.concat();
        let before: Vec<usize> = (0..texts.len()).map(|place| place % length).collect();
        let [mut places, mut places_behind] = [(); 2].map(|()| Box::new([0u64; 256]));
        for (place, pair) in (1..).zip(texts.windows(2)) {
            if before.get(place) != Some(&0)
                && let [first, second] = pair
                && let Some(behind) = places_behind.get_mut(usize::from(*first))
                && let Some(places) = places.get_mut(usize::from(*second))
            {
                *behind |= 1 << place;
                *places |= 1 << place;
            }
        }
        Some(Self { prefilter, texts, length, places, places_behind, before, is_enough })
    }

    /// True for one text: several take longer to look for in a short value than an automaton takes to run.
    pub(crate) fn is_one(&self) -> bool {
        self.texts.len() == self.length
    }

    /// True where a value that contains a text matches, whatever else it has: the pattern is `.*text.*`.
    pub(crate) fn is_enough(&self) -> bool {
        self.is_enough
    }

    /// Bytes of a text.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The place of the first of the texts in `bytes` from `start` on.
    #[inline]
    pub(crate) fn find(&self, bytes: &[u8], start: usize) -> Option<usize> {
        let span = Span { start, end: bytes.len() };
        self.prefilter.find(bytes, span).map(|found| found.start)
    }

    /// The first place where a text begins before `seam` and ends behind it.
    #[inline]
    pub(crate) fn straddles(&self, value: &[u8], seam: usize) -> Option<usize> {
        let [first, second] = value.get(seam.checked_sub(1)?..)?.first_chunk::<2>()?;
        let behind = self.places_behind.get(usize::from(*first)).copied().unwrap_or(0);
        let places = self.places.get(usize::from(*second)).copied().unwrap_or(0) & behind;
        if places == 0 { None } else { self.begins_before(value, seam, places) }
    }

    fn begins_before(&self, value: &[u8], seam: usize, mut places: u64) -> Option<usize> {
        let mut first = None;
        while places > 0 {
            let place = places.trailing_zeros() as usize;
            places &= places - 1;
            let before = *self.before.get(place)?;
            let text = self.texts.get(place - before..place - before + self.length)?;
            if let Some(start) = seam.checked_sub(before)
                && value.get(start..).is_some_and(|rest| rest.starts_with(text))
            {
                first = Some(first.map_or(start, |first: usize| first.min(start)));
            }
        }
        first
    }
}

/// The texts of `.*text.*`.
fn inner_texts(pattern: &Hir) -> Option<Texts> {
    let HirKind::Concat(parts) = pattern.kind() else { return None };
    let [first, inner @ .., last] = parts.as_slice() else { return None };
    let is_any = any_loop(first) == Some(0) && any_loop(last) == Some(0);
    if !is_any || inner.len() > TEXT_BYTES_MAX {
        return None;
    }
    let sequence = extractor().extract(&Hir::concat(inner.to_vec()));
    if sequence.is_exact() { telling(&sequence) } else { None }
}

/// The sets of texts of a pattern without its first `skipped` parts, those that tell most first.
fn sets_of(pattern: &Hir, skipped: usize) -> Vec<Texts> {
    let mut found: Vec<Texts> = match pattern.kind() {
        HirKind::Alternation(alternatives) => one_of_each(alternatives).into_iter().collect(),
        HirKind::Capture(capture) => sets_of(&capture.sub, skipped),
        HirKind::Concat(parts) => {
            let places = (skipped..parts.len()).take(PARTS_MAX);
            let in_a_row = |start: usize| parts.len().min(start + TEXT_BYTES_MAX);
            places.filter_map(|start| texts(parts.get(start..in_a_row(start))?)).collect()
        }
        _ if skipped == 0 => texts(std::slice::from_ref(pattern)).into_iter().collect(),
        _ => Vec::new(),
    };
    found.sort_by_key(|texts| (Reverse(shortest(texts)), texts.len()));
    found
}

/// Texts of which a match of any of the alternatives contains one.
fn one_of_each(alternatives: &[Hir]) -> Option<Texts> {
    let mut all = Vec::new();
    for alternative in alternatives {
        all.extend(sets_of(alternative, 0).into_iter().next()?);
        if all.len() > TEXTS_MAX {
            return None;
        }
    }
    Some(all)
}

/// How many bytes are looked for of each of the texts.
fn shortest(texts: &Texts) -> usize {
    let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
    shortest.min(BYTES_MAX / texts.len().max(1))
}

/// What matches of `parts` in a row begin with, if these are few and telling.
fn texts(parts: &[Hir]) -> Option<Texts> {
    telling(&extractor().extract(&Hir::concat(parts.to_vec())))
}

fn extractor() -> Extractor {
    let mut extractor = Extractor::new();
    extractor.limit_total(TEXTS_MAX).limit_class(TEXTS_MAX).limit_literal_len(TEXT_BYTES_MAX);
    extractor
}

/// The texts of a sequence, if none of them is short.
fn telling(sequence: &Seq) -> Option<Texts> {
    let texts: Texts =
        sequence.literals()?.iter().map(|literal| literal.as_bytes().to_vec()).collect();
    let is_telling = texts.iter().all(|text| text.len() >= TEXT_BYTES_MIN);
    (is_telling && !texts.is_empty()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(pattern: &str, prefix: &str) -> Vec<Required> {
        Required::of(&regex_syntax::parse(pattern).unwrap(), prefix.as_bytes())
    }

    #[test]
    fn the_longest_text_is_looked_for() {
        for (pattern, prefix, value, expected) in [
            (".*4242-.*", "", "dev-4242-7", Some(4)),
            (".*77.rack1.*", "", "host77.rack2 77.rack1", Some(16)),
            ("dev-.*77", "dev-", "dev-177", Some(5)),
            (".*(4242|77a|1313)", "", "x4242", Some(1)),
            (".*(4242|77a|1313)", "", "x42", None),
            (".*4242.*|.+77a|.*1313", "", "x77a", Some(1)),
            (".*rack13.example.org", "", "example rack13", Some(0)),
            ("(?i).*ab", "", "xaB", Some(1)),
        ] {
            let found = required(pattern, prefix)[0].find(value.as_bytes(), 0);
            assert_eq!(found, expected, "{pattern}");
        }
        let second = &required(".*rack13.example.org", "")[1];
        assert_eq!(second.find(b"example rack13", 0), Some(8));
        for (pattern, value, seam, expected) in [
            (".*abab.*", "xababa", 3, Some(1)),
            (".*abab.*", "xababa", 4, Some(1)),
            (".*abab.*", "xababa", 5, None),
            (".*abab.*", "xaba", 3, None),
            (".*(abc|bcd)", "abcd", 2, Some(0)),
            (".*(abc|bcd)", "abcd", 3, Some(1)),
            (".*(abc|bcd)", "bc", 1, None),
        ] {
            let found = required(pattern, "")[0].straddles(value.as_bytes(), seam);
            assert_eq!(found, expected, "{pattern} {value} {seam}");
        }
        for (pattern, expected) in [
            ("(?s).*text.*", true),
            ("(?s).*(text|abcd).*", true),
            ("(?s)(?i).*ab.*", true),
            ("(?s).*(text|abc).*", false),
            ("(?s).*text.+", false),
            ("(?s).*text", false),
            (".*text.*", false),
            ("(?s).*text[0-9]*.*", false),
        ] {
            assert_eq!(required(pattern, "")[0].is_enough(), expected, "{pattern}");
        }
        // A pattern of many parts is not looked at over and over again.
        assert!(!required(&format!("{}abc.*", "[a-z]+[0-9]*".repeat(100)), "").is_empty());
        assert!(required(&"[a-z]+[0-9]*".repeat(50_000), "").is_empty());
        for (pattern, prefix) in [(".*7", ""), ("dev-[0-9]*", "dev-"), (r"\w+", ""), (".*x?y?", "")]
        {
            assert!(required(pattern, prefix).is_empty(), "{pattern}");
        }
    }
}
