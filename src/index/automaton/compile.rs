//! Patterns as states over bytes, forwards or from a value's end.

use model::matcher::{Pattern, unwrapped};
use regex_automata::nfa::thompson;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir, HirKind, Look, Repetition,
};

/// The first character beyond ASCII.
const FIRST_WIDE: char = '\u{80}';

/// For `.*` and `.+` the least number of characters.
pub(crate) fn any_loop(hir: &Hir) -> Option<u32> {
    let HirKind::Repetition(repetition) = hir.kind() else { return None };
    let HirKind::Class(Class::Unicode(class)) = unwrapped(&repetition.sub).into_kind() else {
        return None;
    };
    let any = matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX);
    (any && repetition.max.is_none() && repetition.min <= 1).then_some(repetition.min)
}

/// The states of a whole-value match of `core`; `is_reverse` reads values from their last byte on.
pub(super) fn of_core(core: &Hir, is_reverse: bool) -> Option<thompson::NFA> {
    let whole = vec![Hir::look(Look::Start), of_bytes(core), Hir::look(Look::End)];
    compiler(is_reverse).build_from_hir(&Hir::concat(whole)).ok()
}

/// The states of a whole-value match of a pattern that looks around.
pub(super) fn of_text(pattern: &Pattern) -> Option<thompson::NFA> {
    let syntax = regex_automata::util::syntax::Config::new().dot_matches_new_line(true);
    let mut compiler = compiler(false);
    compiler.syntax(syntax).build(&format!(r"\A(?:{})\z", pattern.as_str())).ok()
}

fn compiler(is_reverse: bool) -> thompson::Compiler {
    let config = thompson::Config::new()
        .nfa_size_limit(Some(base::limits::REGEX_BYTES_MAX))
        .which_captures(thompson::WhichCaptures::None)
        .reverse(is_reverse);
    let mut compiler = thompson::Compiler::new();
    compiler.configure(config);
    compiler
}

/// The same pattern for values that are UTF-8, with bytes instead of characters where a class has all
/// characters beyond ASCII, as `.` and `[^/]` have. The compiler spells such a class out as sequences of bytes
/// that nothing else begins with, by a table that takes longer to clear than most patterns to compile. Here it
/// is the first byte of a character and whatever continues that: all parts of a pattern begin with a first byte,
/// so none can match within a character.
///
/// For the same reason `.*` may be any bytes: where it ends within a character, only another `.*` can go on, and
/// one of them might as well have taken the rest. (Not so `.+`, which would count half a character.)
fn of_bytes(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            wide_class(class).unwrap_or_else(|| Hir::class(Class::Unicode(class.clone())))
        }
        HirKind::Repetition(repetition) => match any_loop(hir) {
            Some(0) => any_bytes(),
            Some(_) => Hir::concat(vec![of_bytes(&repetition.sub), any_bytes()]),
            None => Hir::repetition(repetition.with(of_bytes(&repetition.sub))),
        },
        HirKind::Capture(capture) => of_bytes(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(of_bytes).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(of_bytes).collect()),
        _ => hir.clone(),
    }
}

fn any_bytes() -> Hir {
    repeated(ClassBytesRange::new(0, 0xff))
}

fn repeated(range: ClassBytesRange) -> Hir {
    let class = Hir::class(Class::Bytes(ClassBytes::new([range])));
    Hir::repetition(Repetition { min: 0, max: None, greedy: true, sub: Box::new(class) })
}

/// A class that has all characters beyond ASCII, by bytes.
fn wide_class(class: &ClassUnicode) -> Option<Hir> {
    let last = class.ranges().last()?;
    if last.start() > FIRST_WIDE || last.end() < char::MAX {
        return None;
    }
    let narrow = class.ranges().iter().filter(|range| range.start() < FIRST_WIDE);
    let narrow = narrow.map(|range| {
        ClassBytesRange::new(range.start() as u8, (range.end() as u32).min(0x7f) as u8)
    });
    let firsts = narrow.chain([ClassBytesRange::new(0xc0, 0xff)]);
    let first = Hir::class(Class::Bytes(ClassBytes::new(firsts)));
    Some(Hir::concat(vec![first, repeated(ClassBytesRange::new(0x80, 0xbf))]))
}
