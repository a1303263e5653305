/// How many series a block holds. Every block belongs to one source.
pub(crate) const BLOCK: usize = 32;

/// Where a series of a shard is kept: the same place in the shard, in each of its intervals and on
/// the flush side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    /// The index packs a slot and two bits more into 32.
    const MOST: usize = 1 << 30;
    /// How many blocks can be numbered.
    pub(crate) const MOST_BLOCKS: usize = Self::MOST / BLOCK;

    /// The place, below 32, in the block of this number.
    pub(crate) fn new(block: usize, place: usize) -> Self {
        debug_assert!(block < Self::MOST_BLOCKS && place < BLOCK);
        Self((block * BLOCK + place) as u32)
    }

    pub(crate) fn block(self) -> usize {
        self.0 as usize / BLOCK
    }

    pub(crate) fn place(self) -> usize {
        self.0 as usize % BLOCK
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }
}
