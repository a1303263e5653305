use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use tokio::time::{Instant, timeout_at};

/// The largest body that is taken, in bytes.
const LARGEST_BODY: usize = 64 << 10;

/// Of a larger one so much is read and thrown away: who is still sending does not see an answer.
const MOST_DISCARDED: usize = 16 << 20;

/// A request that has come in whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
}

/// Why a request did not come in whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    Stalled,
    Broken,
}

impl Request {
    pub(crate) async fn read(
        request: hyper::Request<Incoming>,
        deadline: Instant,
    ) -> Result<Self, Unread> {
        let (head, body) = request.into_parts();
        // It asks before it sends: then it hears the refusal without sending.
        if head.headers.contains_key(EXPECT) && body.size_hint().lower() > LARGEST_BODY as u64 {
            return Err(Unread::TooLarge);
        }
        let body = timeout_at(deadline, read(body)).await.unwrap_or(Err(Unread::Stalled))?;
        Ok(Self { head, body })
    }
}

async fn read(mut body: Incoming) -> Result<Bytes, Unread> {
    let mut kept = BytesMut::new();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        received += piece.len();
        if received <= LARGEST_BODY {
            kept.extend_from_slice(piece);
        } else if received > MOST_DISCARDED {
            break;
        }
    }
    if received > LARGEST_BODY { Err(Unread::TooLarge) } else { Ok(kept.freeze()) }
}
