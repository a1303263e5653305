use hashbrown::HashTable;

use crate::slot::Slot;

/// What is found under a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A series whose plain spelling hashes to this; nobody has spelled it so yet.
    Series(Slot),
    /// The same, and it has been spelled so.
    Plain(Slot),
    /// A series of which another spelling, an order of its tags, hashes to this.
    Ordered(Slot),
    /// A stored spelling.
    Stored(u32),
}

/// Finds series and spellings by their hashes: index and memo in one.
///
/// It is cut into many tables, so that none of them is long in growing or shrinking: the worker
/// reads no socket meanwhile.
#[derive(Debug)]
pub(super) struct Index {
    tables: Box<[HashTable<Entry>]>,
}

/// So many tables that a million entries fill them well.
const TABLES: u64 = 80;

/// Below so many entries a table is not worth shrinking.
const SMALL: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Entry {
    check: u32,
    // Two bits for which target, 30 for its number.
    target: u32,
}

const NUMBER_BITS: u32 = 30;

impl Entry {
    fn new(hash: u64, target: Target) -> Self {
        let (which, number) = match target {
            Target::Series(slot) => (0, slot.number()),
            Target::Plain(slot) => (1, slot.number()),
            Target::Ordered(slot) => (2, slot.number()),
            Target::Stored(number) => (3, number),
        };
        debug_assert!(number >> NUMBER_BITS == 0);
        Self { check: check(hash), target: which << NUMBER_BITS | number }
    }

    fn target(self) -> Target {
        let number = self.target & ((1 << NUMBER_BITS) - 1);
        match self.target >> NUMBER_BITS {
            0 => Target::Series(Slot::from_number(number)),
            1 => Target::Plain(Slot::from_number(number)),
            2 => Target::Ordered(Slot::from_number(number)),
            _ => Target::Stored(number),
        }
    }

    // A table takes its places from the lower bits and tells neighbours apart by the highest.
    fn hash(check: u32) -> u64 {
        u64::from(check) << 32 | u64::from(check)
    }
}

fn check(hash: u64) -> u32 {
    hash as u32
}

impl Index {
    pub(super) fn new() -> Self {
        Self { tables: (0..TABLES).map(|_| HashTable::new()).collect() }
    }

    fn table(hash: u64) -> usize {
        (((hash >> 32) * TABLES) >> 32) as usize
    }

    /// The first target under this hash.
    // Hot path: runs once per line.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<Target> {
        let check = check(hash);
        let table = &self.tables[Self::table(hash)];
        table.find(Entry::hash(check), |entry| entry.check == check).map(|entry| entry.target())
    }

    /// What is made of the first target under this hash of which something can be made.
    pub(super) fn find<T>(
        &self,
        hash: u64,
        mut make: impl FnMut(Target) -> Option<T>,
    ) -> Option<T> {
        let check = check(hash);
        let mut found = None;
        self.tables[Self::table(hash)].find(Entry::hash(check), |entry| {
            if entry.check == check {
                found = make(entry.target());
            }
            found.is_some()
        });
        found
    }

    pub(super) fn insert(&mut self, hash: u64, target: Target) {
        let entry = Entry::new(hash, target);
        self.tables[Self::table(hash)]
            .insert_unique(Entry::hash(entry.check), entry, |entry| Entry::hash(entry.check));
    }

    /// Puts one target in the place of another, if that is there.
    pub(super) fn replace(&mut self, hash: u64, old: Target, new: Target) {
        let old = Entry::new(hash, old);
        let table = &mut self.tables[Self::table(hash)];
        if let Some(entry) =
            table.find_mut(Entry::hash(old.check), |entry| entry.target == old.target)
        {
            *entry = Entry::new(hash, new);
        }
    }

    /// Removes a target, if it is there. Gives back memory after a peak.
    pub(super) fn remove(&mut self, hash: u64, target: Target) {
        let old = Entry::new(hash, target);
        let table = &mut self.tables[Self::table(hash)];
        if let Ok(entry) =
            table.find_entry(Entry::hash(old.check), |entry| entry.target == old.target)
        {
            entry.remove();
        }
        if table.capacity() > SMALL && table.len() < table.capacity() / 4 {
            table.shrink_to(table.len() * 2, |entry| Entry::hash(entry.check));
        }
    }
}
