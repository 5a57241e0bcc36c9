//! What holds for any bytes that reach the proxy. Shared by the fuzz target and the corpus test.

use lab_harness::wire::frames::{first_command, first_reply};

/// Reads `bytes` to their end as commands and as replies.
///
/// # Panics
/// When something is longer than what is there or has no length, or when a part that is told to be
/// whole is read otherwise once more bytes have come.
pub(crate) fn hold_for(bytes: &[u8]) {
    let command = |it: &[u8]| first_command(it).ok().flatten().map(|it| it.length);
    let reply = |it: &[u8]| first_reply(it).ok().flatten().map(|it| it.length);
    read_all(bytes, command);
    read_all(bytes, reply);
}

fn read_all(bytes: &[u8], first: impl Fn(&[u8]) -> Option<usize>) {
    let mut rest = bytes;
    while let Some(length) = first(rest) {
        assert!(0 < length && length <= rest.len(), "{length} of {} bytes", rest.len());
        assert_eq!(first(&rest[..length]), Some(length), "the same without what follows");
        rest = &rest[length..];
    }
}
