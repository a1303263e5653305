use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// About how much of an answer in pieces is written at once, in bytes.
pub(crate) const PIECE: usize = 32 << 10;

/// Gives the next piece of an answer, [`PIECE`] bytes or not much more; an empty one if it has
/// looked for a while and found nothing, and is to be asked again; `None` when all of it was given.
/// Is asked only when the reader has taken what came before.
pub(crate) type Pieces = Box<dyn FnMut() -> Option<Bytes> + Send>;

/// The body of an answer.
pub(crate) enum Body {
    /// All of it, of a known length.
    Whole(Bytes),
    /// Written as it is sent, so that no more of it than a piece is in memory.
    InPieces(Pieces),
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::Whole(whole)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            // What is handed over is copied.
            Self::Whole(whole) => {
                Some(whole.split_to(whole.len().min(PIECE))).filter(|piece| !piece.is_empty())
            }
            Self::InPieces(pieces) => match pieces() {
                Some(nothing) if nothing.is_empty() => {
                    // Others have their turn first.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                piece => piece,
            },
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_empty(),
            Self::InPieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => SizeHint::with_exact(whole.len() as u64),
            Self::InPieces(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => write!(f, "{} bytes", whole.len()),
            Self::InPieces(_) => f.write_str("pieces"),
        }
    }
}
