use crate::members::Members;
use crate::sketch::Sketch;
use crate::slot::{BLOCK, Slot};

/// What a series has in the running interval.
#[derive(Debug, Default)]
pub(super) enum Cell {
    #[default]
    Untouched,
    Counter(f64),
    /// A gauge that was set.
    Level(f64),
    /// A gauge that was changed and not set.
    Change(f64),
    /// Entries of the log: values of weight 1, or members of a set by their hashes.
    Few {
        last: u32,
        count: u32,
    },
    /// Empty where it was only kept for its memory.
    Sketch(Box<Sketch>),
    /// Empty where it was only kept for its memory.
    Members(Box<Members>),
}

// What a million series cost twice over.
const _: () = assert!(size_of::<Cell>() == 16);

type Block = [Cell; BLOCK];

/// The cells of a shard's slots; a block that nobody touched takes no memory.
#[derive(Debug, Default)]
pub(super) struct Cells {
    blocks: Vec<Option<Box<Block>>>,
    // Those of which something was taken.
    were_touched: Vec<bool>,
}

impl Cell {
    #[inline]
    pub(super) fn is_touched(&self) -> bool {
        match self {
            Self::Untouched => false,
            Self::Sketch(sketch) => !sketch.is_empty(),
            Self::Members(members) => !members.is_empty(),
            Self::Counter(_) | Self::Level(_) | Self::Change(_) | Self::Few { .. } => true,
        }
    }
}

impl Cell {
    /// The number of the last of its entries in the log and how many they are.
    pub(super) fn few(&self) -> (u32, u32) {
        if let Self::Few { last, count } = self { (*last, *count) } else { (0, 0) }
    }
}

impl Cells {
    // Hot path: runs once per value.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Cell {
        let number = slot.block();
        if number >= self.blocks.len() {
            self.blocks.resize_with(number + 1, || None);
        }
        let block = self.blocks[number].get_or_insert_with(Box::default);
        &mut block[slot.place()]
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Cell> {
        Some(&self.blocks.get(slot.block())?.as_ref()?[slot.place()])
    }

    /// Takes what a slot has, if it was touched.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Cell> {
        let number = slot.block();
        let block = self.blocks.get_mut(number)?.as_mut()?;
        let cell = std::mem::take(&mut block[slot.place()]);
        if !cell.is_touched() {
            return None;
        }
        if number >= self.were_touched.len() {
            self.were_touched.resize(self.blocks.len(), false);
        }
        self.were_touched[number] = true;
        Some(cell)
    }

    /// Puts something back that was only kept for its memory.
    pub(super) fn put_back(&mut self, slot: Slot, cell: Cell) {
        if let Some(Some(block)) = self.blocks.get_mut(slot.block()) {
            block[slot.place()] = cell;
        }
    }

    /// Gives back the memory of blocks of which nothing was taken.
    pub(super) fn clear(&mut self) {
        let were_touched = std::mem::take(&mut self.were_touched);
        self.blocks.truncate(were_touched.len());
        for (block, was_touched) in self.blocks.iter_mut().zip(were_touched) {
            if !was_touched {
                *block = None;
            }
        }
    }
}
