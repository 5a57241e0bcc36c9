//! Whose reply is next: Redis answers commands in their order, and so must the proxy where it
//! answers some of them itself.

use std::collections::VecDeque;

/// A command whose reply has not been passed on yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    /// It went to Redis.
    Redis,
    /// The proxy answers it.
    Proxy(Vec<u8>),
}

/// The commands of one connection that wait for their replies, in order.
#[derive(Debug, Default)]
pub(super) struct Slots(VecDeque<Slot>);

impl Slots {
    /// A command goes to Redis.
    pub(super) fn forwarded(&mut self) {
        self.0.push_back(Slot::Redis);
    }

    /// A command is answered with `reply` and does not go to Redis. Returns the replies that can be
    /// passed on now: this one, when no other waits.
    pub(super) fn answered(&mut self, reply: Vec<u8>) -> Vec<Vec<u8>> {
        self.0.push_back(Slot::Proxy(reply));
        self.ready()
    }

    /// Redis replied. Returns what can be passed on now: this reply and those of the proxy that
    /// waited behind it.
    pub(super) fn replied(&mut self, reply: Vec<u8>) -> Vec<Vec<u8>> {
        if self.0.front() == Some(&Slot::Redis) {
            self.0.pop_front();
        }
        let mut all = vec![reply];
        all.extend(self.ready());
        all
    }

    fn ready(&mut self) -> Vec<Vec<u8>> {
        let mut ready = Vec::new();
        while let Some(Slot::Proxy(reply)) = self.0.front_mut() {
            ready.push(std::mem::take(reply));
            self.0.pop_front();
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_of_the_proxy_waits_for_those_before_it() {
        let mut slots = Slots::default();
        let none: Vec<Vec<u8>> = vec![];
        slots.forwarded();
        assert_eq!(slots.answered(b"2".to_vec()), none);
        slots.forwarded();
        assert_eq!(slots.answered(b"4".to_vec()), none);
        assert_eq!(slots.replied(b"1".to_vec()), [b"1".to_vec(), b"2".to_vec()]);
        assert_eq!(slots.replied(b"3".to_vec()), [b"3".to_vec(), b"4".to_vec()]);
        assert_eq!(slots.answered(b"5".to_vec()), [b"5".to_vec()], "nothing waits");
    }

    proptest! {
        /// Any mix of commands and any delay of Redis: replies come in the order of the commands.
        #[test]
        fn replies_keep_the_order_of_the_commands(
            steps in prop::collection::vec(0..3_u8, 0..60)
        ) {
            let mut slots = Slots::default();
            let (mut sent, mut at_redis, mut got) = (0_u8, VecDeque::new(), Vec::new());
            for step in steps {
                match step {
                    0 => {
                        slots.forwarded();
                        at_redis.push_back(sent);
                        sent += 1;
                    }
                    1 => {
                        got.extend(slots.answered(vec![sent]));
                        sent += 1;
                    }
                    _ => if let Some(reply) = at_redis.pop_front() {
                        got.extend(slots.replied(vec![reply]));
                    },
                }
            }
            for reply in at_redis {
                got.extend(slots.replied(vec![reply]));
            }
            let want: Vec<Vec<u8>> = (0..sent).map(|it| vec![it]).collect();
            prop_assert_eq!(got, want);
        }
    }
}
