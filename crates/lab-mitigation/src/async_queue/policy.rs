//! Whether an item finds room: pure, and knows no item.

use lab_core::settings::AsyncQueueSettings;

use super::{QueueError, QueueFull};

/// How much waits, and how much may.
#[derive(Debug, Clone)]
pub struct Room {
    items_max: u64,
    size_bytes_max: u64,
    item_bytes_max: u64,
    n_items: u64,
    size_bytes: u64,
}

impl Room {
    /// Takes the bounds from `settings`. Nothing waits.
    pub fn new(settings: &AsyncQueueSettings) -> Self {
        Self {
            items_max: settings.items_max.get().into(),
            size_bytes_max: settings.bytes_max,
            item_bytes_max: settings.item_bytes_max.get().into(),
            n_items: 0,
            size_bytes: 0,
        }
    }

    /// Takes room for an item of `item_bytes`. **Errors**: there is none, or not for any item of
    /// that size; nothing was taken.
    pub fn try_reserve(&mut self, item_bytes: u64) -> Result<(), QueueError> {
        let size_bytes_max = self.item_bytes_max;
        if size_bytes_max < item_bytes {
            return Err(QueueError::ItemTooLarge { size_bytes: item_bytes, size_bytes_max });
        }
        let fits = self.n_items < self.items_max
            && self.size_bytes.saturating_add(item_bytes) <= self.size_bytes_max;
        if !fits {
            let Self { n_items, items_max, size_bytes, size_bytes_max, .. } = *self;
            return Err(QueueFull { n_items, items_max, size_bytes, size_bytes_max }.into());
        }
        self.occupy(item_bytes);
        Ok(())
    }

    /// Takes room for an item that is there already, even beyond the bounds: an acknowledged item
    /// is not dropped because the bounds are smaller now.
    pub fn occupy(&mut self, item_bytes: u64) {
        self.n_items = self.n_items.saturating_add(1);
        self.size_bytes = self.size_bytes.saturating_add(item_bytes);
    }

    /// Gives the room of one item back.
    pub fn release(&mut self, item_bytes: u64) {
        self.n_items = self.n_items.saturating_sub(1);
        self.size_bytes = self.size_bytes.saturating_sub(item_bytes);
    }

    /// Items with room, durable or not.
    pub fn n_items(&self) -> u64 {
        self.n_items
    }

    /// Bytes of those items.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn room() -> Room {
        let count = |n| NonZeroU32::new(n).unwrap();
        Room::new(&AsyncQueueSettings {
            items_max: count(3),
            bytes_max: 100,
            item_bytes_max: count(60),
            ..AsyncQueueSettings::default()
        })
    }

    /// Plays reservations (positive) and releases (negative), and says what came of each.
    #[track_caller]
    fn check(script: &[i64], want: &[&str]) {
        let mut room = room();
        let got: Vec<_> = script
            .iter()
            .map(|bytes| match u64::try_from(*bytes) {
                Err(_) => {
                    room.release(bytes.unsigned_abs());
                    "released"
                }
                Ok(bytes) => match room.try_reserve(bytes) {
                    Ok(()) => "reserved",
                    Err(QueueError::Full(_)) => "full",
                    Err(_) => "too large",
                },
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn items_and_bytes_are_bounded_and_room_comes_back() {
        check(
            &[1, 1, 0, 1, -1, 1],
            &["reserved", "reserved", "reserved", "full", "released", "reserved"],
        );
        check(&[60, 40, 1, 0], &["reserved", "reserved", "full", "reserved"]);
        check(&[61, 60], &["too large", "reserved"]);
    }

    #[test]
    fn what_is_there_already_keeps_its_place_beyond_the_bounds() {
        let mut room = room();
        (0..5).for_each(|_| room.occupy(50));
        let error = room.try_reserve(1).unwrap_err();
        assert_eq!(error.to_string(), "queue full: 5 of 3 items, 250 of 100 bytes");
        (0..3).for_each(|_| room.release(50));
        assert!(room.try_reserve(1).is_err(), "100 of 100 bytes");
        room.release(50);
        assert!(room.try_reserve(1).is_ok());
    }
}
