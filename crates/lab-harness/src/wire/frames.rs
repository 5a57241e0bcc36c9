//! Where one command or one reply ends, in the protocol of Redis.
//!
//! The proxy changes nothing that it forwards, so it only needs to know how long things are. Frames
//! are read by `redis-protocol`, which knows RESP2 and RESP3.

use redis_protocol::{resp2, resp3};

/// Bytes that are not the protocol of Redis. What stands in front of them is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the protocol of Redis")]
pub struct Malformed;

/// Longest inline command, and most words of a command: those of Redis itself.
const INLINE_MAX: usize = 64 << 10;
const WORDS_MAX: usize = 1 << 20;
/// Most levels of a reply. Redis' own have a handful and hiredis reads nine; the decoder calls itself
/// for each, so that thousands would be the end of its stack.
const LEVELS_MAX: usize = 32;
/// The command whose second word says what it does.
const CLIENT: &str = "CLIENT";

/// One command at the start of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// How many bytes it has.
    pub length: usize,
    /// Its first word, in capitals, of `CLIENT` also the second; empty for an empty line.
    pub name: String,
}

/// The first command in `bytes`; `None`: it is not whole yet.
///
/// **Errors**: this is no command, and what follows cannot be told apart any more.
pub fn first_command(bytes: &[u8]) -> Result<Option<Command>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(b'*') => array_command(bytes),
        Some(_) => inline_command(bytes),
    }
}

/// An array of bulk strings. Its parts are read one by one, so that nothing can nest.
fn array_command(bytes: &[u8]) -> Result<Option<Command>, Malformed> {
    let Some(end) = bytes.iter().take(32).position(|it| *it == b'\n') else {
        return if bytes.len() < 32 { Ok(None) } else { Err(Malformed) };
    };
    let header = std::str::from_utf8(&bytes[1..end]).map_err(|_| Malformed)?;
    let n_words: usize = header.trim_end_matches('\r').parse().map_err(|_| Malformed)?;
    if WORDS_MAX < n_words {
        return Err(Malformed);
    }
    let mut length = end + 1;
    let mut name = String::new();
    for at in 0..n_words {
        let rest = &bytes[length..];
        match rest.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(Malformed),
        }
        let Some((frame, n)) = resp2::decode::decode_range(rest).map_err(|_| Malformed)? else {
            return Ok(None);
        };
        let resp2::types::RangeFrame::BulkString((from, to)) = frame else {
            return Err(Malformed);
        };
        match at {
            0 => name = capitals(&rest[from..to]),
            1 if name == CLIENT => name = format!("{CLIENT} {}", capitals(&rest[from..to])),
            _ => {}
        }
        length += n;
    }
    Ok(Some(Command { length, name }))
}

/// A line of words.
fn inline_command(bytes: &[u8]) -> Result<Option<Command>, Malformed> {
    let Some(end) = bytes.iter().take(INLINE_MAX).position(|it| *it == b'\n') else {
        return if bytes.len() < INLINE_MAX { Ok(None) } else { Err(Malformed) };
    };
    let mut words = bytes[..end].split(u8::is_ascii_whitespace).filter(|it| !it.is_empty());
    let mut name = capitals(words.next().unwrap_or_default());
    if name == CLIENT {
        name = format!("{CLIENT} {}", capitals(words.next().unwrap_or_default()));
    }
    Ok(Some(Command { length: end + 1, name }))
}

fn capitals(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

/// One reply at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// How many bytes it has.
    pub length: usize,
    /// Whether nobody asked for it: a push of RESP3.
    pub is_push: bool,
}

/// The first reply in `bytes`; `None`: it is not whole yet.
///
/// **Errors**: this is no reply, or has more than 32 levels.
pub fn first_reply(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
    let Some(first) = bytes.first() else { return Ok(None) };
    if has_too_many_levels(bytes) {
        return Err(Malformed);
    }
    // RESP2 first: only there a null is a string of length −1.
    let length = match resp2::decode::decode_range(bytes) {
        Ok(whole) => whole.map(|(_, length)| length),
        Err(_) => resp3::decode::complete::decode_range(bytes)
            .map_err(|_| Malformed)?
            .map(|(_, length)| length),
    };
    Ok(length.map(|length| Reply { length, is_push: *first == b'>' }))
}

/// Whether the reply at the start of `bytes` has more than [`LEVELS_MAX`], as far as it is there.
fn has_too_many_levels(bytes: &[u8]) -> bool {
    // How many values are still to come on each level.
    let mut levels: Vec<u64> = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
        let (line, after) = (&rest[..end], &rest[end + 2..]);
        let kind = line.first().copied().unwrap_or_default();
        let number = line.get(1..).and_then(|it| std::str::from_utf8(it).ok()?.parse::<i64>().ok());
        // A null has −1 values, and a streamed aggregate (`?`) does not say how many.
        let n = number.map_or(u64::MAX, |it| u64::try_from(it).unwrap_or(0));
        rest = after;
        let is_string = matches!(kind, b'$' | b'!' | b'=' | b';') && number.is_some();
        if is_string && number != Some(-1) {
            let length = usize::try_from(n).unwrap_or(usize::MAX).saturating_add(2);
            rest = after.get(length..).unwrap_or_default();
        }
        let n_inside = match kind {
            b'*' | b'~' | b'>' => n,
            b'%' => n.saturating_mul(2),
            // An attribute stands before the value that it says something of.
            b'|' => n.saturating_mul(2).saturating_add(1),
            b'$' if !is_string => n,
            // A part of a streamed string, and its end.
            b';' if 0 < n => continue,
            b';' | b'.' => {
                levels.pop();
                0
            }
            _ => 0,
        };
        if 0 < n_inside {
            levels.push(n_inside);
        } else {
            while let Some(last) = levels.last_mut() {
                *last -= 1;
                if 0 < *last {
                    break;
                }
                levels.pop();
            }
        }
        if levels.is_empty() || LEVELS_MAX < levels.len() {
            break;
        }
    }
    LEVELS_MAX < levels.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(bytes: &[u8]) -> Result<Option<(usize, String)>, Malformed> {
        Ok(first_command(bytes)?.map(|it| (it.length, it.name)))
    }

    #[test]
    fn commands_end_where_redis_says_so() {
        let get = b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n";
        assert_eq!(command(get), Ok(Some((get.len(), "GET".into()))));
        assert_eq!(command(b"PING\r\n*1"), Ok(Some((6, "PING".into()))));
        assert_eq!(command(b"\r\n"), Ok(Some((2, String::new()))));
        // Bytes of a value that look like the protocol are a value.
        let set = b"*2\r\n$3\r\nSET\r\n$6\r\n*1\r\n$1\r\n";
        assert_eq!(command(set), Ok(Some((set.len(), "SET".into()))));
        let reply = b"*3\r\n$6\r\nclient\r\n$5\r\nreply\r\n$3\r\noff\r\n";
        assert_eq!(command(reply), Ok(Some((reply.len(), "CLIENT REPLY".into()))));
        assert_eq!(command(b"client  reply off\n"), Ok(Some((18, "CLIENT REPLY".into()))));
        for n in 0..get.len() {
            assert_eq!(command(&get[..n]), Ok(None), "{n} bytes of it");
        }
    }

    #[test]
    fn what_is_no_command_is_told() {
        for bytes in [&b"*x\r\n"[..], b"*1\r\n*1\r\n", b"*1\r\n:1\r\n", b"*1\r\n$-1\r\n"] {
            assert_eq!(command(bytes), Err(Malformed), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(command(&vec![b'*'; 1 << 20]), Err(Malformed));
        assert_eq!(command(&vec![b'a'; 1 << 20]), Err(Malformed));
    }

    #[test]
    fn replies_of_both_protocols_end_where_redis_says_so() {
        for whole in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n",
            b":7\r\n",
            b"$3\r\na\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n$-1\r\n*1\r\n:1\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"%1\r\n+a\r\n:1\r\n",
            b"~1\r\n+a\r\n",
            b"=5\r\ntxt:a\r\n",
            b"*1\r\n_\r\n",
        ] {
            let text = String::from_utf8_lossy(whole).into_owned();
            let seen = first_reply(whole);
            assert_eq!(seen, Ok(Some(Reply { length: whole.len(), is_push: false })), "{text}");
            let two = [whole, b"+next\r\n"].concat();
            assert_eq!(first_reply(&two), seen, "{text}, and another");
            for n in 0..whole.len() {
                assert_eq!(first_reply(&whole[..n]), Ok(None), "{n} bytes of {text}");
            }
        }
        let push = b">2\r\n+message\r\n+hello\r\n";
        assert_eq!(first_reply(push), Ok(Some(Reply { length: push.len(), is_push: true })));
        assert_eq!(first_reply(b"!\r"), Ok(None));
        assert_eq!(first_reply(b"hello\r\n"), Err(Malformed));
    }

    // Each kind of level, the last of them with a value beside what is deeper.
    #[test]
    fn as_many_levels_as_allowed_are_read_and_one_more_is_refused() {
        for level in ["*1\r\n", "%1\r\n:0\r\n", "*2\r\n*-1\r\n"] {
            let reply = |n: usize| format!("{}:1\r\n", level.repeat(n)).into_bytes();
            let whole = reply(LEVELS_MAX);
            let seen = first_reply(&whole);
            assert_eq!(seen, Ok(Some(Reply { length: whole.len(), is_push: false })), "{level:?}");
            assert_eq!(first_reply(&reply(LEVELS_MAX + 1)), Err(Malformed), "{level:?}");
            // Deeper than any stack, and not even whole.
            assert_eq!(first_reply(level.repeat(200_000).as_bytes()), Err(Malformed), "{level:?}");
        }
    }

    // The control of the count: what was opened and ended is no level any more, and what a value has
    // inside never was one.
    #[test]
    fn many_aggregates_beside_one_another_are_not_levels() {
        let inside = "*2\r\n%1\r\n+a\r\n:1\r\n$8\r\n*1\r\n*1\r\n\r\n".repeat(1_000);
        let wide = format!("*1000\r\n{inside}").into_bytes();
        let two = [&wide[..], b"*1\r\n".repeat(100).as_slice()].concat();
        let seen = first_reply(&two).unwrap().map(|it| it.length);
        assert_eq!(seen, Some(wide.len()));
    }

    proptest! {
        /// Whatever arrives, nothing panics, nothing is longer than what is there, and more bytes
        /// never change what was whole.
        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'*'), Just(b'$'), Just(b'>'), Just(b'1'), Just(b'\r'),
                    Just(b'\n'), any::<u8>()], 0..200),
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let longer = [bytes.clone(), more].concat();
            if let Ok(Some(command)) = first_command(&bytes) {
                prop_assert!(0 < command.length && command.length <= bytes.len());
                prop_assert_eq!(first_command(&longer), Ok(Some(command)));
            }
            if let Ok(Some(reply)) = first_reply(&bytes) {
                prop_assert!(0 < reply.length && reply.length <= bytes.len());
                prop_assert_eq!(first_reply(&longer), Ok(Some(reply)));
            }
        }
    }
}
