/// A list that grows by pieces, so that no push copies what is there.
#[derive(Debug)]
pub(crate) struct Pile<T> {
    pieces: Vec<Vec<T>>,
}

const PIECE: usize = 1024;

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> Pile<T> {
    pub(crate) fn push(&mut self, item: T) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(item),
            // The first piece of a small pile stays small.
            None => self.pieces.push(vec![item]),
            Some(_) => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(item);
                self.pieces.push(piece);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Drops those of which this holds.
    pub(crate) fn drop_if(&mut self, mut holds: impl FnMut(&T) -> bool) {
        self.pieces.iter_mut().for_each(|piece| piece.retain(|item| !holds(item)));
    }
}

impl<T> IntoIterator for Pile<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().flatten()
    }
}
