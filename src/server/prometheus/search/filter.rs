//! Which names a search takes, how well they match, and in which order they are given.

use std::cmp::Ordering;

use super::score::Term;

/// How terms are compared with names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// The characters of the term in order.
    Subsequence,
    /// The term as a part, or a similar name.
    JaroWinkler,
}

/// The order of what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
    /// The best first, equal ones ascending.
    Score,
}

/// The terms of a search; without any it takes everything.
pub(super) struct Filter {
    terms: Vec<Term>,
    algorithm: Algorithm,
    /// Scores below are not taken, 0 to 1.
    threshold: f64,
    folds_case: bool,
}

impl Filter {
    /// Terms that are empty do not count.
    pub(super) fn new(
        terms: &[&str],
        algorithm: Algorithm,
        threshold: f64,
        folds_case: bool,
    ) -> Self {
        let terms = terms.iter().filter(|term| !term.is_empty());
        let fold_term = |term: &&str| if folds_case { fold(term) } else { (*term).to_owned() };
        let terms = terms.map(|term| Term::new(fold_term(term))).collect();
        Self { terms, algorithm, threshold, folds_case }
    }

    /// True where everything passes.
    pub(super) fn is_open(&self) -> bool {
        self.terms.is_empty()
    }

    /// The score of the term that fits `value` best, `None` where none fits.
    pub(super) fn score(&self, value: &str) -> Option<f64> {
        if self.is_open() {
            return Some(1.0);
        }
        let folded = self.folds_case.then(|| fold(value));
        let value = folded.as_deref().unwrap_or(value);
        let mut best: Option<f64> = None;
        for term in &self.terms {
            let score = self.score_of(term, value);
            if score > best {
                best = score;
            }
            if best >= Some(1.0) {
                break;
            }
        }
        best
    }

    fn score_of(&self, term: &Term, value: &str) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence => {
                let score = term.subsequence(value);
                (score > 0.0 && score >= self.threshold).then_some(score)
            }
            Algorithm::JaroWinkler => term.substring(value).or_else(|| {
                // A threshold of 0 would take everything: it asks for parts alone.
                let score = if self.threshold > 0.0 { term.jaro_winkler(value) } else { -1.0 };
                (score >= self.threshold).then_some(score)
            }),
        }
    }
}

/// Go's `strings.ToLower`: one character for one, wherever it stands.
fn fold(text: &str) -> String {
    text.chars().filter_map(|character| character.to_lowercase().next()).collect()
}

/// The first `count` of `found`, which ascends by value, in `order`.
pub(super) fn first(
    mut found: Vec<(String, f64)>,
    order: Order,
    count: usize,
) -> Vec<(String, f64)> {
    match order {
        Order::Ascending => {}
        Order::Descending => found.reverse(),
        Order::Score => {
            let by_score = |a: &(String, f64), b: &(String, f64)| -> Ordering {
                b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0))
            };
            if count < found.len() {
                found.select_nth_unstable_by(count, by_score);
                found.truncate(count);
            }
            found.sort_unstable_by(by_score);
        }
    }
    found.truncate(count);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_term_may_fit_and_the_best_counts() {
        let filter = Filter::new(&["zz", "", "b"], Algorithm::JaroWinkler, 0.0, false);
        assert_eq!(filter.score("b_total"), Some(1.0));
        assert_eq!(filter.score("ab"), Some(1.0 - 0.9));
        assert_eq!(filter.score("B"), None);
        let folding = Filter::new(&["ÄB"], Algorithm::Subsequence, 0.0, true);
        assert_eq!(folding.score("äb"), Some(1.0));
        assert!(Filter::new(&[""], Algorithm::Subsequence, 0.5, false).is_open());
    }

    #[test]
    fn thresholds_refuse_what_is_not_similar() {
        let similar = Filter::new(&["MARTHA"], Algorithm::JaroWinkler, 0.9, false);
        assert!(similar.score("MARHTA").is_some_and(|score| score > 0.96));
        assert_eq!(similar.score("DWAYNE"), None);
        let loose = Filter::new(&["ac"], Algorithm::Subsequence, 0.5, false);
        assert_eq!(loose.score("a_c_and_more"), None);
    }

    #[test]
    fn orders() {
        let found = || vec![("a".to_owned(), 0.5), ("b".to_owned(), 1.0), ("c".to_owned(), 0.5)];
        let names = |order, count| -> String {
            first(found(), order, count).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(Order::Ascending, 2), "ab");
        assert_eq!(names(Order::Descending, 2), "cb");
        assert_eq!(names(Order::Score, 2), "ba");
        assert_eq!(names(Order::Score, 9), "bac");
    }
}
