use metric::{Notes, Spelling};

use crate::slot::Slot;

/// Spellings that have to be kept to be recognised, each in a list with the others of its series.
#[derive(Debug)]
pub(super) struct Spellings {
    pieces: Vec<Box<[Option<Stored>; PIECE]>>,
    free: Vec<u32>,
    used: usize,
    bytes: usize,
}

const PIECE: usize = 128;

/// No spelling.
pub(super) const NONE: u32 = u32::MAX;

/// Longer spellings are not kept: such lines are read in full each time.
const MOST_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) hash: u64,
    text: Box<[u8]>,
    /// The serial number of the source whose socket such lines come through.
    via: u32,
    pub(super) slot: Slot,
    /// The next of the same series, or `NONE`.
    pub(super) next: u32,
    pub(super) notes: Notes,
}

impl Stored {
    // Hot path: runs once per line.
    pub(super) fn is(&self, via: u32, spelling: &Spelling<'_>) -> bool {
        self.via == via && spelling.is_stored_as(&self.text)
    }
}

impl Spellings {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), free: Vec::new(), used: 0, bytes: 0 }
    }

    /// Whether a spelling can be kept without their texts taking more than `most_bytes`.
    pub(super) fn have_room_for(&self, spelling: &Spelling<'_>, most_bytes: usize) -> bool {
        let len = spelling.stored_len();
        len <= MOST_BYTES && self.bytes + len + size_of::<Stored>() <= most_bytes
    }

    pub(super) fn get(&self, number: u32) -> Option<&Stored> {
        self.pieces.get(number as usize / PIECE)?[number as usize % PIECE].as_ref()
    }

    /// Keeps one and gives its number.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        (via, spelling, notes): (u32, &Spelling<'_>, Notes),
        slot: Slot,
        next: u32,
    ) -> u32 {
        if self.free.is_empty() {
            let first = (self.pieces.len() * PIECE) as u32;
            self.free.extend((first..first + PIECE as u32).rev());
            self.pieces.push(Box::new([const { None }; PIECE]));
        }
        let number = self.free.pop().expect("a piece was just added");
        let mut text = Vec::with_capacity(spelling.stored_len());
        spelling.write(&mut text);
        self.used += 1;
        self.bytes += text.len() + size_of::<Stored>();
        self.pieces[number as usize / PIECE][number as usize % PIECE] =
            Some(Stored { hash, text: text.into(), via, slot, next, notes });
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Stored> {
        let stored =
            self.pieces.get_mut(number as usize / PIECE)?[number as usize % PIECE].take()?;
        self.used -= 1;
        self.bytes -= stored.text.len() + size_of::<Stored>();
        self.free.push(number);
        if self.used == 0 {
            *self = Self::new();
        }
        Some(stored)
    }
}
