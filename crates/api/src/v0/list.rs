use std::sync::Arc;

use bytes::Bytes;

use super::json;
use crate::answer::{PIECE, Pieces};

/// These ids as an array.
pub(super) fn pieces(ids: Vec<Arc<str>>) -> Pieces {
    let mut ids = ids.into_iter();
    let (mut opening, mut is_over) = (&b"["[..], false);
    Box::new(move || {
        if is_over {
            return None;
        }
        let mut piece = Vec::new();
        while piece.len() < PIECE {
            let Some(id) = ids.next() else {
                if opening == b"[" {
                    piece.push(b'[');
                }
                piece.extend_from_slice(b"]\n");
                is_over = true;
                break;
            };
            piece.extend_from_slice(std::mem::replace(&mut opening, b","));
            json::text(&mut piece, &id);
        }
        Some(Bytes::from(piece))
    })
}
