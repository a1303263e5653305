/// The first few values or members of each series in an interval, in the order in which they came;
/// each entry knows the one before it of the same series.
#[derive(Debug, Default)]
pub(super) struct Log {
    pieces: Vec<Box<Piece>>,
    len: usize,
}

const PIECE: usize = 1024;

#[derive(Debug)]
struct Piece {
    payloads: [u64; PIECE],
    before: [u32; PIECE],
}

impl Log {
    pub(super) const ENTRY_BYTES: usize = size_of::<u64>() + size_of::<u32>();

    /// Appends an entry and gives its number.
    // Hot path: runs once per value.
    pub(super) fn push(&mut self, payload: u64, before: u32) -> u32 {
        let number = self.len;
        if number / PIECE == self.pieces.len() {
            self.pieces.push(Box::new(Piece { payloads: [0; PIECE], before: [0; PIECE] }));
        }
        let piece = &mut self.pieces[number / PIECE];
        piece.payloads[number % PIECE] = payload;
        piece.before[number % PIECE] = before;
        self.len += 1;
        number as u32
    }

    /// The last `count` entries of the series whose last entry has this number, latest first.
    pub(super) fn back_from(&self, last: u32, count: u32) -> impl Iterator<Item = u64> {
        let mut number = last as usize;
        (0..count).map(move |_| {
            let piece = &self.pieces[number / PIECE];
            let place = number % PIECE;
            number = piece.before[place] as usize;
            piece.payloads[place]
        })
    }

    /// Forgets all entries and keeps as much memory as they took.
    pub(super) fn clear(&mut self) {
        self.pieces.truncate(self.len.div_ceil(PIECE));
        self.len = 0;
    }
}
