use metric::{Kind, SeriesKey};

use super::moment::Tick;
use crate::slot::{BLOCK, Slot};

/// What outlives the intervals of one series in one shard.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) key: SeriesKey,
    /// A counter's running total, a gauge's level; not looked at where the source keeps them apart.
    pub(super) value: f64,
    pub(super) last: Tick,
    pub(super) kind: Kind,
    /// The shard was told that it is idle.
    pub(super) is_told_idle: bool,
}

const _: () = assert!(size_of::<Option<Kept>>() == 24);

/// The series of one source that one block of a shard holds.
#[derive(Debug)]
pub(super) struct KeptBlock {
    pub(super) source: usize,
    // Apart, so that its size is one that allocators have.
    pub(super) series: Box<[Option<Kept>; BLOCK]>,
}

/// A shard's series as the flush side knows them.
#[derive(Debug, Default)]
pub(super) struct Roll {
    blocks: Vec<Option<KeptBlock>>,
    // Which source each of the shard's indices means.
    sources: Vec<Option<usize>>,
}

impl Roll {
    /// The number of the source that this index of the shard means now.
    pub(super) fn source(&self, index: u32) -> Option<usize> {
        *self.sources.get(index as usize)?
    }

    pub(super) fn set_source(&mut self, index: u32, number: Option<usize>) {
        let index = index as usize;
        if index >= self.sources.len() {
            self.sources.resize(index + 1, None);
        }
        self.sources[index] = number;
    }

    pub(super) fn block(&self, number: u32) -> Option<&KeptBlock> {
        self.blocks.get(number as usize)?.as_ref()
    }

    pub(super) fn block_mut(&mut self, number: u32) -> Option<&mut KeptBlock> {
        self.blocks.get_mut(number as usize)?.as_mut()
    }

    /// Adds a series; tells whether it is the first of its block.
    pub(super) fn insert(&mut self, slot: Slot, source: usize, kept: Kept) -> bool {
        let number = slot.block();
        if number >= self.blocks.len() {
            self.blocks.resize_with(number + 1, || None);
        }
        let is_first = self.blocks[number].is_none();
        let block = self.blocks[number]
            .get_or_insert_with(|| KeptBlock { source, series: Box::new([const { None }; BLOCK]) });
        block.series[slot.place()] = Some(kept);
        is_first
    }

    /// Takes a series out, with the number of its source. Its block stays, even if it is empty now.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<(usize, Kept)> {
        let block = self.block_mut(slot.block() as u32)?;
        Some((block.source, block.series[slot.place()].take()?))
    }

    pub(super) fn remove_block(&mut self, number: u32) {
        if let Some(block) = self.blocks.get_mut(number as usize) {
            *block = None;
        }
    }
}
