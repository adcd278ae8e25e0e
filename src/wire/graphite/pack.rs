//! Plain data as pickle and as msgpack, for programs of the Graphite family that read binary answers.
//!
//! The pickle is of protocol 2, which every Python reads, and only builds lists, dictionaries, texts
//! and numbers: nothing in it names a class, so that a careful reader can refuse everything else.

/// Writes one value. The caller opens and closes in order; a map has a text and a value in turn.
pub trait Pack {
    /// Opens a list of `count` items.
    fn begin_list(&mut self, count: usize);
    /// Closes the innermost list.
    fn end_list(&mut self);
    /// Opens a map of `count` entries.
    fn begin_map(&mut self, count: usize);
    /// Closes the innermost map.
    fn end_map(&mut self);
    /// A text.
    fn text(&mut self, text: &str);
    /// An integer.
    fn integer(&mut self, value: i64);
    /// A float.
    fn float(&mut self, value: f64);
    /// A truth value.
    fn boolean(&mut self, value: bool);
    /// No value.
    fn none(&mut self);
    /// The bytes.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

/// Python's pickle.
#[derive(Debug)]
pub struct Pickle(Vec<u8>);

impl Pickle {
    /// An empty document.
    pub fn boxed() -> Box<dyn Pack> {
        // PROTO 2
        Box::new(Self(vec![0x80, 2]))
    }
}

impl Pack for Pickle {
    fn begin_list(&mut self, _count: usize) {
        // EMPTY_LIST MARK
        self.0.extend_from_slice(b"](");
    }

    fn end_list(&mut self) {
        // APPENDS
        self.0.push(b'e');
    }

    fn begin_map(&mut self, _count: usize) {
        // EMPTY_DICT MARK
        self.0.extend_from_slice(b"}(");
    }

    fn end_map(&mut self) {
        // SETITEMS
        self.0.push(b'u');
    }

    fn text(&mut self, text: &str) {
        // BINUNICODE
        self.0.push(b'X');
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, value: i64) {
        match i32::try_from(value) {
            // BININT
            Ok(value) => {
                self.0.push(b'J');
                self.0.extend_from_slice(&value.to_le_bytes());
            }
            // LONG1 of eight bytes
            Err(_) => {
                self.0.extend_from_slice(&[0x8a, 8]);
                self.0.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    fn float(&mut self, value: f64) {
        // BINFLOAT
        self.0.push(b'G');
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn boolean(&mut self, value: bool) {
        // NEWTRUE, NEWFALSE
        self.0.push(if value { 0x88 } else { 0x89 });
    }

    fn none(&mut self) {
        self.0.push(b'N');
    }

    fn finish(mut self: Box<Self>) -> Vec<u8> {
        // STOP
        self.0.push(b'.');
        self.0
    }
}

/// The msgpack format.
#[derive(Debug, Default)]
pub struct MsgPack(Vec<u8>);

impl MsgPack {
    /// An empty document.
    pub fn boxed() -> Box<dyn Pack> {
        Box::new(Self::default())
    }

    /// A head with a count: in the tag itself, in one byte where that exists, in two or in four.
    fn head(&mut self, count: usize, short: (u8, usize), one: Option<u8>, two: u8) {
        if count < short.1 {
            self.0.push(short.0 | count as u8);
        } else if let (Some(tag), Ok(count)) = (one, u8::try_from(count)) {
            self.0.extend_from_slice(&[tag, count]);
        } else if let Ok(count) = u16::try_from(count) {
            self.0.push(two);
            self.0.extend_from_slice(&count.to_be_bytes());
        } else {
            self.0.push(two + 1);
            self.0.extend_from_slice(&(count as u32).to_be_bytes());
        }
    }
}

impl Pack for MsgPack {
    fn begin_list(&mut self, count: usize) {
        self.head(count, (0x90, 16), None, 0xdc);
    }

    fn end_list(&mut self) {}

    fn begin_map(&mut self, count: usize) {
        self.head(count, (0x80, 16), None, 0xde);
    }

    fn end_map(&mut self) {}

    fn text(&mut self, text: &str) {
        self.head(text.len(), (0xa0, 32), Some(0xd9), 0xda);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, value: i64) {
        if (0..128).contains(&value) {
            self.0.push(value as u8);
        } else if let Ok(value) = u32::try_from(value) {
            self.0.push(0xce);
            self.0.extend_from_slice(&value.to_be_bytes());
        } else {
            self.0.push(0xd3);
            self.0.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn float(&mut self, value: f64) {
        self.0.push(0xcb);
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn boolean(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    fn none(&mut self) {
        self.0.push(0xc0);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(mut pack: Box<dyn Pack>) -> Vec<u8> {
        pack.begin_list(2);
        pack.begin_map(2);
        pack.text("a");
        pack.integer(1_700_000_000);
        pack.text("b");
        pack.begin_list(3);
        pack.float(1.5);
        pack.none();
        pack.boolean(true);
        pack.end_list();
        pack.end_map();
        pack.integer(-1);
        pack.end_list();
        pack.finish()
    }

    #[test]
    fn pickles_are_what_python_reads() {
        // pickle.loads(...) == [{'a': 1700000000, 'b': [1.5, None, True]}, -1]
        let expected = b"\x80\x02](}(X\x01\x00\x00\x00aJ\x00\xf1SeX\x01\x00\x00\x00b](G\x3f\xf8\
                         \x00\x00\x00\x00\x00\x00N\x88euJ\xff\xff\xff\xffe.";
        assert_eq!(write(Pickle::boxed()), expected);
    }

    #[test]
    fn msgpack_counts_in_the_smallest_form_of_each_kind() {
        let expected = b"\x92\x82\xa1a\xce\x65\x53\xf1\x00\xa1b\x93\xcb\x3f\xf8\x00\x00\x00\x00\
                         \x00\x00\xc0\xc3\xd3\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(write(MsgPack::boxed()), expected);
        let text = |length: usize| {
            let mut pack = MsgPack::boxed();
            pack.text(&"x".repeat(length));
            pack.finish()[..3].to_vec()
        };
        assert_eq!(text(31)[0], 0xbf);
        assert_eq!(text(32)[..2], [0xd9, 32]);
        assert_eq!(text(256), [0xda, 1, 0]);
        assert_eq!(text(70_000)[..2], [0xdb, 0]);
    }
}
