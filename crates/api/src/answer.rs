mod body;
mod room;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use tokio::time::Instant;

pub(crate) use body::{Body, PIECE, Pieces};
pub(crate) use room::Room;

pub(crate) type Answer = Response<Body>;

/// An extension of an answer that takes up much room: who has not read it by then is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

const JSON: &str = "application/json; charset=UTF-8";
const TEXT: &str = "text/plain; charset=UTF-8";

/// An answer without a body or its type.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::default());
    *answer.status_mut() = status;
    answer
}

/// JSON that is already written; an empty one keeps its type.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    of_type(status, JSON, body.into().into())
}

/// JSON that is written as it is sent.
pub(crate) fn json_in_pieces(pieces: Pieces) -> Answer {
    of_type(StatusCode::OK, JSON, Body::InPieces(pieces))
}

/// A text, without a line feed at its end.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    of_type(status, TEXT, body.into().into())
}

/// The way Go's library says that there is no such path.
pub(crate) fn no_such_path() -> Answer {
    let body = Bytes::from_static(b"404 page not found\n");
    let mut answer = of_type(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body.into());
    let sniff = HeaderName::from_static("x-content-type-options");
    answer.headers_mut().insert(sniff, HeaderValue::from_static("nosniff"));
    answer
}

/// The request lives at `location` for good; `None` if that cannot be a header's value.
pub(crate) fn moved(location: &str) -> Option<Answer> {
    let mut answer = empty(StatusCode::MOVED_PERMANENTLY);
    answer.headers_mut().insert(LOCATION, HeaderValue::from_str(location).ok()?);
    Some(answer)
}

/// The same with the little page that Go adds for a GET.
pub(crate) fn moved_with_page(location: &str) -> Option<Answer> {
    let mut answer = moved(location)?;
    let link = location
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;");
    let page = format!("<a href=\"{link}\">Moved Permanently</a>.\n\n");
    *answer.body_mut() = Bytes::from(page).into();
    set_type(&mut answer, "text/html; charset=utf-8");
    Some(answer)
}

fn of_type(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = empty(status);
    *answer.body_mut() = body;
    set_type(&mut answer, content_type);
    answer
}

fn set_type(answer: &mut Answer, content_type: &'static str) {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
}
