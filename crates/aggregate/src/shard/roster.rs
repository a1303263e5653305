use metric::{SeriesKey, Spelling};

use super::order::{self, Order};
use crate::slot::{BLOCK, Slot};

/// A series as the worker knows it.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) key: SeriesKey,
    /// The order of tags in which it has been spelled beside its plain one.
    pub(super) order: Option<Order>,
    /// The last interval that touched it.
    pub(super) touched: u32,
    /// The first of its stored spellings.
    pub(super) spellings: u32,
}

const _: () = assert!(size_of::<Option<Series>>() == 24);

impl Series {
    // Hot path: runs once per line.
    #[inline]
    pub(super) fn is_plain(&self, spelling: &Spelling<'_>) -> bool {
        order::is_plain(&self.key, spelling)
    }

    // Hot path: runs once per line.
    #[inline]
    pub(super) fn is_ordered(&self, spelling: &Spelling<'_>) -> bool {
        self.order.is_some_and(|order| order.is_of(&self.key, spelling))
    }
}

/// Series of one source.
#[derive(Debug)]
pub(super) struct Block {
    /// The index of that source.
    pub(super) source: u32,
    /// Where its number is in that source's list of blocks.
    pub(super) at: u32,
    /// A bit for each place that can be taken.
    free: u32,
    // Apart, so that its size is one that allocators have.
    series: Box<[Option<Series>; BLOCK]>,
}

/// The series of a shard, in blocks.
#[derive(Debug, Default)]
pub(super) struct Roster {
    blocks: Vec<Option<Block>>,
    vacant: Vec<u32>,
}

impl Block {
    /// Takes a place.
    pub(super) fn take(&mut self, series: Series) -> Option<usize> {
        let place = self.free.trailing_zeros() as usize;
        *self.series.get_mut(place)? = Some(series);
        self.free &= self.free - 1;
        Some(place)
    }

    /// Lets a place be taken anew.
    pub(super) fn free(&mut self, place: usize) {
        debug_assert!(self.series[place].is_none());
        self.free |= 1 << place;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free == u32::MAX
    }

    pub(super) fn has_room(&self) -> bool {
        self.free != 0
    }

    pub(super) fn series(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate().filter_map(|(place, series)| Some((place, series.as_ref()?)))
    }
}

impl Roster {
    /// Adds an empty block and gives its number, unless no number is left.
    pub(super) fn add_block(&mut self, source: u32, at: u32) -> Option<u32> {
        let number = match self.vacant.pop() {
            Some(number) => number,
            None if self.blocks.len() < Slot::MOST_BLOCKS => {
                self.blocks.push(None);
                self.blocks.len() as u32 - 1
            }
            None => return None,
        };
        let block = Block { source, at, free: u32::MAX, series: Box::new([const { None }; BLOCK]) };
        self.blocks[number as usize] = Some(block);
        Some(number)
    }

    /// How many series there are, or a few more.
    #[inline]
    pub(super) fn places(&self) -> usize {
        (self.blocks.len() - self.vacant.len()) * BLOCK
    }

    pub(super) fn block(&self, number: u32) -> Option<&Block> {
        self.blocks.get(number as usize)?.as_ref()
    }

    pub(super) fn block_mut(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.get_mut(number as usize)?.as_mut()
    }

    /// Removes a block; its number is not given again before [`Roster::vacate`].
    pub(super) fn remove_block(&mut self, number: u32) {
        self.blocks[number as usize] = None;
    }

    pub(super) fn vacate(&mut self, number: u32) {
        self.vacant.push(number);
    }

    /// The index of the source of a series, and the series.
    // Hot path: runs once per line.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<(u32, &Series)> {
        let block = self.blocks.get(slot.block())?.as_ref()?;
        Some((block.source, block.series[slot.place()].as_ref()?))
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Series> {
        self.blocks.get_mut(slot.block())?.as_mut()?.series[slot.place()].as_mut()
    }

    /// The slots of all series, each with the index of its source.
    pub(super) fn slots(&self) -> impl Iterator<Item = (Slot, u32)> {
        let blocks = self.blocks.iter().enumerate();
        blocks.filter_map(|(number, block)| Some((number, block.as_ref()?))).flat_map(
            |(number, block)| {
                block.series().map(move |(place, _)| (Slot::new(number, place), block.source))
            },
        )
    }

    /// Takes a series out of its place, which stays taken.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Series> {
        self.blocks.get_mut(slot.block())?.as_mut()?.series[slot.place()].take()
    }
}
