//! Fields of a message that this code doesn't declare, kept as they came.
//!
//! An update replaces the whole object over there. A newer ChirpStack may have fields that are not declared here: without them a
//! read-modify-write would reset them.

use std::ops::RangeInclusive;

use prost::DecodeError;
use prost::bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, decode_key, skip_field};

/// The encoded fields whose numbers are not in `known`, in their order. Appended to an encoded message they are part of it.
pub(super) fn unknown_fields(message: &Bytes, known: RangeInclusive<u32>) -> Result<Bytes, DecodeError> {
    let mut rest = message.clone();
    let mut unknown = Vec::new();
    while rest.has_remaining() {
        let start = message.len() - rest.remaining();
        let (tag, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        let end = message.len() - rest.remaining();
        if !known.contains(&tag) {
            unknown.extend_from_slice(&message[start..end]);
        }
    }
    Ok(unknown.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_are_not_declared_are_kept() -> Result<(), DecodeError> {
        // 1: "a", 11: varint 300, 2: "b", 12: fixed32, 13: "xyz"
        let bytes: &[u8] = &[0x0a, 1, b'a', 0x58, 0xac, 2, 0x12, 1, b'b', 0x65, 1, 2, 3, 4, 0x6a, 3, b'x', b'y', b'z'];
        let unknown = unknown_fields(&Bytes::copy_from_slice(bytes), 1..=10)?;
        assert_eq!(&unknown[..], &[0x58, 0xac, 2, 0x65, 1, 2, 3, 4, 0x6a, 3, b'x', b'y', b'z']);
        assert!(unknown_fields(&Bytes::copy_from_slice(&bytes[..2]), 1..=10).is_err());
        Ok(())
    }
}
