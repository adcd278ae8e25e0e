//! A walk over protobuf on borrowed bytes, for the decoders on the hot path.
//!
//! Invariant: never past the end of the message, whatever lengths it claims.

/// A message that is cut off or not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode the message: {what} at byte {offset}")]
pub struct BadMessage {
    /// What was being read.
    pub what: &'static str,
    /// Where, in the innermost message.
    pub offset: usize,
}

/// Wire type of integers.
pub const VARINT: u8 = 0;
/// Wire type of doubles.
pub const FIXED_64: u8 = 1;
/// Wire type of messages, texts and packed lists.
pub const LENGTH_DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

/// A walk over one message. Offsets in errors are those inside the innermost message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// The next byte.
    pub position: usize,
}

impl<'a> Reader<'a> {
    /// A walk from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn error(&self, what: &'static str) -> BadMessage {
        BadMessage { what, offset: self.position }
    }

    /// True at the end of the message.
    pub fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Field number and wire type of the next field; `None` at the end of the message.
    #[inline]
    pub fn tag(&mut self, what: &'static str) -> Result<Option<(u64, u8)>, BadMessage> {
        if self.is_at_end() {
            return Ok(None);
        }
        let key = self.varint(what)?;
        if key >> 3 == 0 {
            return Err(self.error(what));
        }
        Ok(Some((key >> 3, (key & 7) as u8)))
    }

    /// The next varint.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, BadMessage> {
        // Nearly all numbers have one byte, and most of the others two.
        match self.bytes.get(self.position..) {
            Some(&[byte, ..]) if byte < 0x80 => {
                self.position += 1;
                Ok(u64::from(byte))
            }
            Some(&[low, high, ..]) if high < 0x80 => {
                self.position += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(what),
        }
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, BadMessage> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.position) else {
                return Err(self.error(what));
            };
            self.position += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(what))
    }

    /// The next zigzag varint.
    pub fn zigzag(&mut self, what: &'static str) -> Result<i64, BadMessage> {
        self.varint(what).map(base::codec::unzigzag)
    }

    #[inline]
    fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], BadMessage> {
        let count = usize::try_from(count).map_err(|_| self.error(what))?;
        let taken = self.bytes[self.position..].get(..count).ok_or_else(|| self.error(what))?;
        self.position += count;
        Ok(taken)
    }

    /// The next message, text or packed list.
    #[inline]
    pub fn nested(&mut self, what: &'static str) -> Result<Reader<'a>, BadMessage> {
        let length = self.varint(what)?;
        Ok(Reader { bytes: self.take(length, what)?, position: 0 })
    }

    /// The next eight bytes.
    #[inline]
    pub fn fixed_64(&mut self, what: &'static str) -> Result<u64, BadMessage> {
        let bytes = self.take(8, what)?;
        Ok(bytes.try_into().map(u64::from_le_bytes).unwrap_or_default())
    }

    /// The next double.
    #[inline]
    pub fn double(&mut self, what: &'static str) -> Result<f64, BadMessage> {
        self.fixed_64(what).map(f64::from_bits)
    }

    /// Passes over a field of this wire type.
    pub fn skip(&mut self, wire: u8, what: &'static str) -> Result<(), BadMessage> {
        match wire {
            VARINT => self.varint(what).map(drop),
            FIXED_64 => self.take(8, what).map(drop),
            LENGTH_DELIMITED => self.nested(what).map(drop),
            FIXED_32 => self.take(4, what).map(drop),
            _ => Err(self.error(what)),
        }
    }

    /// The items of a repeated scalar field, which is packed or not: hands each to `push`.
    pub fn repeated(
        &mut self,
        wire: u8,
        what: &'static str,
        mut push: impl FnMut(&mut Reader<'a>) -> Result<(), BadMessage>,
    ) -> Result<(), BadMessage> {
        if wire != LENGTH_DELIMITED {
            return push(self);
        }
        let mut list = self.nested(what)?;
        while !list.is_at_end() {
            push(&mut list)?;
        }
        Ok(())
    }
}
