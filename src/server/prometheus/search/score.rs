//! How well a name matches a term: subsequence and Jaro-Winkler, with the figures of Prometheus 3.14
//! (`util/strutil`), to the last bit.

/// A text whose characters can be counted: bytes where all are ASCII, else code points.
enum Characters {
    Ascii(Vec<u8>),
    Wide(Vec<char>),
}

/// A term that many texts are held against.
pub(super) struct Term {
    text: String,
    characters: Characters,
}

impl Term {
    /// Prepares `text`, which is not empty.
    pub(super) fn new(text: String) -> Self {
        let characters = if text.is_ascii() {
            Characters::Ascii(text.clone().into_bytes())
        } else {
            Characters::Wide(text.chars().collect())
        };
        Self { text, characters }
    }

    /// The place of the term in `value`: 1 at the start, the lower the later, 0.1 at the end; `None`
    /// where it is no part of it.
    pub(super) fn substring(&self, value: &str) -> Option<f64> {
        let at = value.find(&self.text)?;
        if at == 0 {
            return Some(1.0);
        }
        let count = |text: &str| text.chars().count() as f64;
        let places = count(value) - count(&self.text);
        Some(1.0 - 0.9 * count(&value[..at]) / places)
    }

    /// How well the characters of the term stand in order in `value`: 1 for the same text, 0 where they
    /// do not. A text that begins with the term is as good as the same one.
    pub(super) fn subsequence(&self, value: &str) -> f64 {
        if value.starts_with(&self.text) {
            return 1.0;
        }
        match &self.characters {
            Characters::Ascii(term) if value.is_ascii() => subsequence(term, value.as_bytes()),
            Characters::Ascii(_) => subsequence(&chars(&self.text), &chars(value)),
            Characters::Wide(term) => subsequence(term, &chars(value)),
        }
    }

    /// The Jaro-Winkler similarity of the term and `value`, 0 to 1.
    pub(super) fn jaro_winkler(&self, value: &str) -> f64 {
        if self.text == value {
            return 1.0;
        }
        match &self.characters {
            Characters::Ascii(term) if value.is_ascii() => jaro_winkler(term, value.as_bytes()),
            Characters::Ascii(_) => jaro_winkler(&chars(&self.text), &chars(value)),
            Characters::Wide(term) => jaro_winkler(term, &chars(value)),
        }
    }
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// The best match of any start, scaled so that only the same text reaches 1.
fn subsequence<T: PartialEq>(term: &[T], text: &[T]) -> f64 {
    let Some(last_start) = text.len().checked_sub(term.len()) else {
        return 0.0;
    };
    let starts = (0..=last_start).filter(|start| text[*start] == term[0]);
    // Where the term does not fit behind one start it fits behind no later one.
    let scores = starts.map_while(|start| subsequence_from(term, text, start));
    let Some(best) = scores.reduce(f64::max) else {
        return 0.0;
    };
    // 0.999: below what the same text gets, also when rounded.
    best.max(0.0) / (term.len() * term.len()) as f64 * 0.999
}

/// Squares of the lengths of runs, less a text's share for every character between them and half of it
/// for those behind; taken greedily from `start`.
fn subsequence_from<T: PartialEq>(term: &[T], text: &[T], start: usize) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let (mut score, mut matched, mut run_end, mut at) = (0.0, 0, 0, start);
    while matched < term.len() {
        at += text[at..].iter().position(|character| *character == term[matched])?;
        let pairs = term[matched..].iter().zip(&text[at..]);
        let run = pairs.take_while(|(wanted, found)| wanted == found).count();
        score -= (at - run_end) as f64 * share;
        score += (run * run) as f64;
        matched += run;
        at += run;
        run_end = at;
    }
    Some(score - (text.len() - run_end) as f64 * share * 0.5)
}

fn jaro_winkler<T: PartialEq>(one: &[T], other: &[T]) -> f64 {
    let (short, long) = if one.len() > other.len() { (other, one) } else { (one, other) };
    if short.is_empty() {
        return 0.0;
    }
    let (short_matches, long_matches) = common(short, long);
    let matches = short_matches.len() as f64;
    if short_matches.is_empty() {
        return 0.0;
    }
    let moved = short_matches.iter().zip(&long_matches).filter(|(a, b)| short[**a] != long[**b]);
    let transpositions = moved.count() as f64;
    let shares = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro =
        (matches * shares.0 + matches * shares.1 + (matches - transpositions * 0.5) / matches)
            / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

/// Places of the characters that both have not too far from each other, ascending on each side.
fn common<T: PartialEq>(short: &[T], long: &[T]) -> (Vec<usize>, Vec<usize>) {
    let distance = (long.len() / 2).saturating_sub(1);
    let (mut of_short, mut taken) = (Vec::new(), vec![false; long.len()]);
    for (index, character) in short.iter().enumerate() {
        let mut window = index.saturating_sub(distance)..(index + distance + 1).min(long.len());
        if let Some(place) = window.find(|place| !taken[*place] && long[*place] == *character) {
            taken[place] = true;
            of_short.push(index);
        }
    }
    let of_long = (0..long.len()).filter(|place| taken[*place]).collect();
    (of_short, of_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn substrings_are_the_better_the_earlier() {
        let check = |term: &str, value, expected: Option<f64>| {
            assert_eq!(Term::new(term.to_owned()).substring(value), expected, "{term} in {value}");
        };
        check("up", "up", Some(1.0));
        check("up", "upper", Some(1.0));
        check("up", "down", None);
        check("c", "abc", Some(1.0 - 0.9));
        // Places are characters, not bytes.
        check("c", "éac", Some(1.0 - 0.9));
        check("a", "éac", Some(1.0 - 0.9 / 2.0));
    }

    /// Worked out by hand from the rule in the documentation of Prometheus's matcher.
    #[test]
    fn subsequences_prefer_runs() {
        let score = |term: &str, value| Term::new(term.to_owned()).subsequence(value);
        assert_eq!(score("ab", "abc"), 1.0);
        assert_eq!(score("ab", "ba"), 0.0);
        assert_eq!(score("long", "lon"), 0.0);
        // One run of two behind one character: 4 - 1/3.
        near(score("ab", "xab"), (4.0 - 1.0 / 3.0) / 4.0 * 0.999);
        // Two runs of one with one between and one behind: 1 + 1 - 1/4 - 1/4 * 1/2.
        near(score("ac", "abcd"), (2.0 - 0.25 - 0.125) / 4.0 * 0.999);
        // The second start is the better one.
        near(score("ab", "axab"), (4.0 - 2.0 / 4.0) / 4.0 * 0.999);
        near(score("éb", "xéb"), score("ab", "xab"));
    }

    /// The textbook pairs of the algorithm.
    #[test]
    fn jaro_winkler_is_the_textbook_one() {
        let score = |term: &str, value| Term::new(term.to_owned()).jaro_winkler(value);
        near(score("MARTHA", "MARHTA"), 0.9611111111111111);
        near(score("DWAYNE", "DUANE"), 0.84);
        near(score("DIXON", "DICKSONX"), 0.8133333333333332);
        assert_eq!(score("a", "b"), 0.0);
        assert_eq!(score("a", ""), 0.0);
        assert_eq!(score("é", "é"), 1.0);
    }
}
