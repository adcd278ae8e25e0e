//! The stack machine behind [`super::decode`].

use super::PickleError;

/// Objects on the stack at once: one sender puts all elements of a frame between two marks.
const STACK_MAX: usize = 1 << 21;
/// Lists, tuples and sets of one frame: more than its bytes can hold of data points.
const OBJECTS_MAX: usize = 1 << 21;
/// Objects that a frame may remember for later references.
const MEMO_MAX: usize = 1 << 22;

/// A value: a number, or a reference into the frame or an arena.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    None,
    Number(f64),
    /// Text or bytes in the frame.
    Text {
        start: u32,
        end: u32,
    },
    /// Text that had escapes, in the arena of texts.
    Unescaped {
        start: u32,
        end: u32,
    },
    /// A tuple of two.
    Pair(u32),
    /// A list, a set or another tuple.
    Items(u32),
}

/// Runs one pickle over its frame.
pub(super) struct Machine<'a> {
    frame: &'a [u8],
    position: usize,
    /// Where the running opcode stands.
    opcode_at: usize,
    stack: Vec<Value>,
    marks: Vec<u32>,
    memo: Vec<Value>,
    /// Lists and tuples of two.
    pairs: Vec<[Value; 2]>,
    items: Vec<Vec<Value>>,
    texts: Vec<u8>,
}

type Step<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self {
            frame,
            position: 0,
            opcode_at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            pairs: Vec::new(),
            items: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// The value that the pickle leaves on the stack. What follows STOP is ignored.
    pub(super) fn run(&mut self) -> Step<Value> {
        loop {
            self.opcode_at = self.position;
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop();
            }
            if self.stack.len().max(self.marks.len()) > STACK_MAX
                || self.items.len().max(self.pairs.len()) > OBJECTS_MAX
            {
                return Err(PickleError::TooLarge);
            }
            self.step(opcode)?;
        }
    }

    /// One opcode. Those of which relays make their samples come first.
    #[inline]
    fn step(&mut self, opcode: u8) -> Step {
        match opcode {
            b'G' => {
                let number = f64::from_be_bytes(self.array()?);
                self.stack.push(Value::Number(number));
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                let text = self.text_of(length)?;
                self.stack.push(text);
            }
            0x86 => {
                self.require(2)?;
                self.collect(self.stack.len() - 2);
            }
            b'q' => {
                let index = usize::from(self.array::<1>()?[0]);
                self.remember(index)?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?) as usize;
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len())?,
            _ if self.structure(opcode)? || self.scalar(opcode)? || self.memory(opcode)? => {}
            _ => return Err(PickleError::Opcode { opcode, offset: self.opcode_at }),
        }
        Ok(())
    }

    /// The members of a list, tuple or set.
    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Pair(index) => self.pairs.get(index as usize).map(|pair| pair.as_slice()),
            Value::Items(index) => self.items.get(index as usize).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The bytes of a text.
    pub(super) fn text(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Text { start, end } => self.frame.get(start as usize..end as usize),
            Value::Unescaped { start, end } => self.texts.get(start as usize..end as usize),
            _ => None,
        }
    }

    /// A number, or a text that holds one.
    pub(super) fn number(&self, value: Value) -> Option<f64> {
        match value {
            Value::Number(number) => Some(number),
            _ => std::str::from_utf8(self.text(value)?).ok()?.trim().parse().ok(),
        }
    }

    fn malformed(&self) -> PickleError {
        PickleError::Malformed { offset: self.opcode_at }
    }

    /// Lists, tuples, sets, and what moves the stack.
    fn structure(&mut self, opcode: u8) -> Step<bool> {
        match opcode {
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len() as u32),
            b'0' => self.pop_or_mark()?,
            b'1' => drop(self.above_mark()?),
            b'2' => {
                let top = *self.stack.last().ok_or_else(|| self.malformed())?;
                self.stack.push(top);
            }
            b']' | b')' | 0x8f => self.push_items(Vec::new()),
            b'l' | b't' | 0x91 => {
                let mark = self.marks.pop().ok_or_else(|| self.malformed())?;
                self.collect(mark as usize);
            }
            b'a' => {
                let member = self.pop()?;
                self.extend(&[member])?;
            }
            b'e' | 0x90 => {
                let members = self.above_mark()?;
                self.extend(&members)?;
            }
            0x85 | 0x87 => {
                let count = usize::from(opcode - 0x84);
                self.require(count)?;
                self.collect(self.stack.len() - count);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Numbers, texts, nothing, truth.
    fn scalar(&mut self, opcode: u8) -> Step<bool> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Number(1.0),
            0x89 => Value::Number(0.0),
            b'I' | b'F' | b'L' => self.number_line(opcode)?,
            b'J' => Value::Number(f64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Value::Number(f64::from(self.array::<1>()?[0])),
            b'M' => Value::Number(f64::from(u16::from_le_bytes(self.array()?))),
            0x8a | 0x8b => {
                let length = self.length(if opcode == 0x8a { 1 } else { 4 })?;
                Value::Number(integer_to_f64(self.take(length)?))
            }
            b'U' | b'C' | 0x8c => self.counted_text(1)?,
            b'T' | b'B' => self.counted_text(4)?,
            0x8d | 0x8e => self.counted_text(8)?,
            b'S' => self.quoted_line()?,
            b'V' => self.unicode_line()?,
            _ => return Ok(false),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// The memo.
    fn memory(&mut self, opcode: u8) -> Step<bool> {
        let index = match opcode {
            b'p' | b'g' => {
                let line = std::str::from_utf8(self.line()?).ok();
                line.and_then(|text| text.trim().parse().ok()).ok_or_else(|| self.malformed())?
            }
            b'h' => usize::from(self.array::<1>()?[0]),
            b'j' => u32::from_le_bytes(self.array()?) as usize,
            _ => return Ok(false),
        };
        if opcode == b'p' {
            self.remember(index)?;
        } else {
            let value = self.memo.get(index).copied().ok_or_else(|| self.malformed())?;
            self.stack.push(value);
        }
        Ok(true)
    }

    /// Keeps the top of the stack under a number.
    #[inline]
    fn remember(&mut self, index: usize) -> Step {
        // Senders number their objects in order, so the number cannot pass the bytes read so far.
        if index > self.position.min(MEMO_MAX) {
            return Err(self.malformed());
        }
        let value = *self.stack.last().ok_or_else(|| self.malformed())?;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, Value::None);
        }
        self.memo[index] = value;
        Ok(())
    }

    #[inline]
    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let end = self.position.checked_add(count).ok_or(PickleError::Truncated)?;
        let bytes = self.frame.get(self.position..end).ok_or(PickleError::Truncated)?;
        self.position = end;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| PickleError::Truncated)
    }

    /// A little-endian length of `width` bytes.
    fn length(&mut self, width: usize) -> Step<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| PickleError::Truncated)
    }

    /// The bytes up to the line's end, which is taken as well.
    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = self.frame.get(self.position..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).ok_or(PickleError::Truncated)?;
        self.position += end + 1;
        Ok(&rest[..end])
    }

    fn counted_text(&mut self, width: usize) -> Step<Value> {
        let length = self.length(width)?;
        self.text_of(length)
    }

    #[inline]
    fn text_of(&mut self, length: usize) -> Step<Value> {
        self.take(length)?;
        let (start, end) = (self.position - length, self.position);
        Ok(Value::Text { start: start as u32, end: end as u32 })
    }

    /// INT (where `00` and `01` are truth values), FLOAT, and LONG with its trailing `L`.
    fn number_line(&mut self, opcode: u8) -> Step<Value> {
        let line = std::str::from_utf8(self.line()?).map_err(|_| self.malformed())?.trim();
        let line = if opcode == b'L' { line.strip_suffix('L').unwrap_or(line) } else { line };
        if opcode != b'F' {
            let digits = line.strip_prefix(['-', '+']).unwrap_or(line);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(self.malformed());
            }
        }
        line.parse().map(Value::Number).map_err(|_| self.malformed())
    }

    /// STRING: a literal in quotes, with backslash escapes.
    fn quoted_line(&mut self) -> Step<Value> {
        let line = self.line()?.trim_ascii();
        let (Some(first), Some(last)) = (line.first(), line.last()) else {
            return Err(self.malformed());
        };
        if line.len() < 2 || first != last || !matches!(first, b'"' | b'\'') {
            return Err(self.malformed());
        }
        self.unescape(&line[1..line.len() - 1], true)
    }

    /// UNICODE: raw-unicode-escape text; bytes outside ASCII are Latin-1.
    fn unicode_line(&mut self) -> Step<Value> {
        let line = self.line()?;
        self.unescape(line, false)
    }

    /// Appends the text to the arena with its escapes resolved: `\xHH`, `\n` … in literals, `\uHHHH`
    /// and `\UHHHHHHHH` in Unicode lines.
    fn unescape(&mut self, text: &[u8], literal: bool) -> Step<Value> {
        let start = self.texts.len();
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if *byte != b'\\' {
                if literal {
                    self.texts.push(*byte);
                } else {
                    self.push_char(char::from(*byte));
                }
                continue;
            }
            let Some((kind, after)) = rest.split_first() else {
                return Err(self.malformed());
            };
            let width = match kind {
                b'u' if !literal => 4,
                b'U' if !literal => 8,
                b'x' if literal => 2,
                _ => 0,
            };
            if width > 0 {
                let digits = after.get(..width).and_then(|hex| std::str::from_utf8(hex).ok());
                let number = digits.and_then(|hex| u32::from_str_radix(hex, 16).ok());
                let number = number.ok_or_else(|| self.malformed())?;
                rest = &after[width..];
                if literal {
                    self.texts.push(number as u8);
                } else {
                    self.push_char(char::from_u32(number).ok_or_else(|| self.malformed())?);
                }
            } else if literal {
                rest = after;
                self.texts.push(match kind {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    other => *other,
                });
            } else {
                // Any other backslash in a Unicode line is itself.
                self.texts.push(b'\\');
            }
        }
        Ok(Value::Unescaped { start: start as u32, end: self.texts.len() as u32 })
    }

    fn push_char(&mut self, char: char) {
        let mut buffer = [0; 4];
        self.texts.extend_from_slice(char.encode_utf8(&mut buffer).as_bytes());
    }

    /// Fails unless `count` values stand above the innermost mark.
    #[inline]
    fn require(&self, count: usize) -> Step {
        let floor = self.marks.last().map_or(0, |mark| *mark as usize);
        if self.stack.len() < floor + count { Err(self.malformed()) } else { Ok(()) }
    }

    fn pop(&mut self) -> Step<Value> {
        self.require(1)?;
        self.stack.pop().ok_or_else(|| self.malformed())
    }

    /// POP takes the innermost mark where it stands on top.
    fn pop_or_mark(&mut self) -> Step {
        if self.marks.last().is_some_and(|mark| *mark as usize == self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn above_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed())?;
        Ok(self.stack.split_off(mark as usize))
    }

    /// Makes one object of the values from `start` on. Pairs, of which a sample takes two, need no
    /// memory of their own.
    #[inline]
    fn collect(&mut self, start: usize) {
        if let Some([first, second]) = self.stack.get(start..) {
            self.pairs.push([*first, *second]);
            self.stack.truncate(start);
            self.stack.push(Value::Pair(self.pairs.len() as u32 - 1));
        } else {
            let members = self.stack.split_off(start);
            self.push_items(members);
        }
    }

    fn push_items(&mut self, members: Vec<Value>) {
        self.items.push(members);
        self.stack.push(Value::Items(self.items.len() as u32 - 1));
    }

    /// Adds to the list or set on top of the stack.
    fn extend(&mut self, members: &[Value]) -> Step {
        self.require(1)?;
        let top = self.stack.len() - 1;
        match self.stack[top] {
            Value::Items(index) => self.items[index as usize].extend_from_slice(members),
            // A list of two that was built at once, and grows after all.
            Value::Pair(index) => {
                let mut all = self.pairs[index as usize].to_vec();
                all.extend_from_slice(members);
                self.items.push(all);
                self.stack[top] = Value::Items(self.items.len() as u32 - 1);
            }
            _ => return Err(self.malformed()),
        }
        Ok(())
    }
}

/// The nearest float of a little-endian two's complement integer of any length.
fn integer_to_f64(bytes: &[u8]) -> f64 {
    let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
    // Magnitude, most significant byte first.
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in &mut magnitude {
            let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
            *byte = sum;
            carry = overflow;
        }
    }
    while magnitude.last() == Some(&0) {
        magnitude.pop();
    }
    let cut = magnitude.len().saturating_sub(16);
    let top = magnitude[cut..].iter().rev().fold(0u128, |sum, byte| (sum << 8) | u128::from(*byte));
    // The lost bytes matter to rounding only by being there.
    let sticky = u128::from(magnitude[..cut].iter().any(|byte| *byte != 0));
    let exponent = i32::try_from(cut.saturating_mul(8)).unwrap_or(i32::MAX);
    let value = (top | sticky) as f64 * 2f64.powi(exponent);
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::integer_to_f64;

    #[test]
    fn long_integers_round_to_the_nearest_float() {
        assert_eq!(integer_to_f64(&[]), 0.0);
        assert_eq!(integer_to_f64(&[0xff]), -1.0);
        assert_eq!(integer_to_f64(&[0, 0x80]), -32768.0);
        assert_eq!(integer_to_f64(&[0, 0, 0, 0, 0, 0, 0, 0, 0x40]), 2f64.powi(70));
        assert_eq!(integer_to_f64(&[0x7f; 300]), f64::INFINITY);
    }
}
