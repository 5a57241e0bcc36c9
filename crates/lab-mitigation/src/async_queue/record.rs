//! The bytes of a record: what one group commit writes, in one piece.
//!
//! ```text
//! offset  bytes
//!      0      4  magic, with the version of this layout
//!      4      8  sequence of the first item
//!     12      8  every item below this sequence was applied
//!     20      4  number of items, may be 0
//!     24      4  length of the body
//!     28      4  CRC-32 of the body
//!     32      4  CRC-32 of the 32 bytes before
//!     36      …  body: for each item its length (4 bytes) and its bytes
//! ```
//!
//! Numbers are little-endian. A record is written only when the one before is synced. This is what
//! makes a kill and damage distinguishable: an unfinished record is the last thing in its file.

use std::sync::Arc;

pub(super) const HEADER_BYTES: usize = 36;
/// What an item takes beside its own bytes.
pub(super) const ITEM_OVERHEAD_BYTES: usize = 4;

const MAGIC: [u8; 4] = *b"LQ01";

/// A record as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Sequence of the first item.
    pub(super) first: u64,
    /// Every item below this was applied when the record was written.
    pub(super) applied: u64,
    pub(super) items: Vec<&'a [u8]>,
    /// Bytes of the record, header included.
    pub(super) n_bytes: usize,
}

/// Why there is no record where one should begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The end of a file whose writer was killed, or lost power: nothing here was synced.
    Torn,
    /// Something that was synced reads differently now.
    Corrupt(&'static str),
}

/// The bytes of a record of `items`.
pub(super) fn encode(first: u64, applied: u64, items: &[Arc<[u8]>]) -> Vec<u8> {
    let body_bytes: usize = items.iter().map(|it| it.len() + ITEM_OVERHEAD_BYTES).sum();
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.reserve_exact(body_bytes);
    for item in items {
        bytes.extend_from_slice(&length(item.len()).to_le_bytes());
        bytes.extend_from_slice(item);
    }
    let body_crc = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..12].copy_from_slice(&first.to_le_bytes());
    bytes[12..20].copy_from_slice(&applied.to_le_bytes());
    bytes[20..24].copy_from_slice(&length(items.len()).to_le_bytes());
    bytes[24..28].copy_from_slice(&length(body_bytes).to_le_bytes());
    bytes[28..32].copy_from_slice(&body_crc.to_le_bytes());
    let header_crc = crc32fast::hash(&bytes[..32]);
    bytes[32..36].copy_from_slice(&header_crc.to_le_bytes());
    bytes
}

fn length(n: usize) -> u32 {
    u32::try_from(n).expect("the writer ends a batch long before 4 GiB")
}

/// Reads the record at the beginning of `bytes`, which go on to the end of the file.
pub(super) fn parse(bytes: &[u8]) -> Result<Record<'_>, Unreadable> {
    if bytes.len() < HEADER_BYTES {
        return Err(Unreadable::Torn);
    }
    let Some(header) = Header::parse(bytes) else {
        // After a loss of power the file may be longer than what reached the disk of its last
        // record. A record that can be read further on was written after this one was synced.
        let is_last = !has_record_after_the_first_byte(bytes);
        return Err(if is_last {
            Unreadable::Torn
        } else {
            Unreadable::Corrupt("its header does not match its checksum")
        });
    };
    let n_bytes = HEADER_BYTES.saturating_add(header.body_bytes);
    let Some(body) = bytes.get(HEADER_BYTES..n_bytes) else { return Err(Unreadable::Torn) };
    if crc32fast::hash(body) != header.body_crc {
        return Err(if n_bytes == bytes.len() {
            Unreadable::Torn
        } else {
            Unreadable::Corrupt("its items do not match their checksum")
        });
    }
    let items =
        items(body, header.n_items).ok_or(Unreadable::Corrupt("its items do not fill it"))?;
    Ok(Record { first: header.first, applied: header.applied, items, n_bytes })
}

struct Header {
    first: u64,
    applied: u64,
    n_items: usize,
    body_bytes: usize,
    body_crc: u32,
}

impl Header {
    /// `None` unless magic and checksum are right.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (first, rest) = rest.split_first_chunk()?;
        let (applied, rest) = rest.split_first_chunk()?;
        let (n_items, rest) = rest.split_first_chunk()?;
        let (body_bytes, rest) = rest.split_first_chunk()?;
        let (body_crc, rest) = rest.split_first_chunk()?;
        let header_crc = u32::from_le_bytes(*rest.first_chunk()?);
        if crc32fast::hash(&bytes[..HEADER_BYTES - 4]) != header_crc {
            return None;
        }
        Some(Self {
            first: u64::from_le_bytes(*first),
            applied: u64::from_le_bytes(*applied),
            n_items: usize::try_from(u32::from_le_bytes(*n_items)).ok()?,
            body_bytes: usize::try_from(u32::from_le_bytes(*body_bytes)).ok()?,
            body_crc: u32::from_le_bytes(*body_crc),
        })
    }
}

fn items(mut body: &[u8], n_items: usize) -> Option<Vec<&[u8]>> {
    let mut items = Vec::new();
    for _ in 0..n_items {
        let (n_bytes, rest) = body.split_first_chunk()?;
        let n_bytes = usize::try_from(u32::from_le_bytes(*n_bytes)).ok()?;
        let (item, rest) = rest.split_at_checked(n_bytes)?;
        items.push(item);
        body = rest;
    }
    body.is_empty().then_some(items)
}

/// Whether a whole record stands anywhere in `bytes` but at their beginning.
fn has_record_after_the_first_byte(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| {
        let rest = &bytes[at..];
        let body = |it: &Header| rest.get(HEADER_BYTES..HEADER_BYTES.saturating_add(it.body_bytes));
        Header::parse(rest)
            .is_some_and(|it| body(&it).is_some_and(|body| crc32fast::hash(body) == it.body_crc))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items() -> impl Strategy<Value = Vec<Arc<[u8]>>> {
        let item = prop::collection::vec(any::<u8>(), 0..40);
        prop::collection::vec(item.prop_map(Arc::from), 0..6)
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            first in any::<u64>(),
            applied in any::<u64>(),
            items in items(),
            after in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut bytes = encode(first, applied, &items);
            let n_bytes = bytes.len();
            bytes.extend(after);
            let items = items.iter().map(|it| &**it).collect();
            prop_assert_eq!(parse(&bytes), Ok(Record { first, applied, items, n_bytes }));
        }

        #[test]
        fn the_last_record_cut_off_or_filled_with_zeros_anywhere_is_torn(
            items in items(),
            at in any::<prop::sample::Index>(),
        ) {
            let bytes = encode(7, 3, &items);
            let at = at.index(bytes.len());
            prop_assert_eq!(parse(&bytes[..at]), Err(Unreadable::Torn));
            let mut zeros = bytes.clone();
            zeros[at..].fill(0);
            // The bytes that are zero now may have been zero before.
            prop_assert!(zeros == bytes || parse(&zeros) == Err(Unreadable::Torn));
        }

        #[test]
        fn a_flipped_bit_before_another_record_is_corrupt(
            items in items(),
            bit in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encode(7, 3, &items);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes.extend(encode(7 + items.len() as u64, 3, &[]));
            prop_assert!(matches!(parse(&bytes), Err(Unreadable::Corrupt(_))), "bit {}", bit);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&bytes).is_err());
        }
    }

    // A checksum that is right over a body that makes no sense: written by no version of this code.
    #[test]
    fn items_that_do_not_fill_their_record_are_corrupt() {
        for (n_items, body) in [(1_u32, &[9, 0, 0, 0, 1][..]), (1, &[0; 5]), (u32::MAX, &[0; 8])] {
            let mut bytes = encode(0, 0, &[]);
            bytes.extend_from_slice(body);
            bytes[20..24].copy_from_slice(&n_items.to_le_bytes());
            bytes[24..28].copy_from_slice(&length(body.len()).to_le_bytes());
            bytes[28..32].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
            let header_crc = crc32fast::hash(&bytes[..32]);
            bytes[32..36].copy_from_slice(&header_crc.to_le_bytes());
            let want = Unreadable::Corrupt("its items do not fill it");
            assert_eq!(parse(&bytes), Err(want), "{body:?}");
        }
    }
}
