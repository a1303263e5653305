mod path;
mod quote;

use hyper::{Method, StatusCode, Uri};
use metric::Container;

use crate::answer::{self, Answer, Room};
use crate::{Containers, OnFailure, Refusal};
use path::{Path, Place};
use quote::go_quote;

/// What the isolator is answered, and whoever else asks about the containers.
///
/// The routes, types and bodies are those of dcos-telegraf. An id whose percent-encoding is broken
/// is answered 400, one that is no UTF-8 is never known: 404.
pub(crate) async fn answer(
    containers: &Containers,
    method: &Method,
    uri: &Uri,
    body: &[u8],
    room: &Room,
) -> Answer {
    let (place, canonical) = match Path::read(uri.path()) {
        Path::Malformed => return answer::text(StatusCode::BAD_REQUEST, "400 Bad Request"),
        Path::Unclean { clean } => {
            let target = with_query(clean, uri);
            return answer::moved(&target).unwrap_or_else(answer::no_such_path);
        }
        Path::At { place, canonical } => (place, canonical),
    };
    if place == Place::Nowhere {
        return answer::no_such_path();
    }
    if !serves(&place, method) {
        return answer::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    if let Some(canonical) = canonical {
        let target = with_query(canonical, uri);
        let page = method == Method::GET;
        let moved = if page { answer::moved_with_page(&target) } else { answer::moved(&target) };
        return moved.unwrap_or_else(answer::no_such_path);
    }
    match place {
        Place::Root => answer::text(StatusCode::NOT_FOUND, "Not Found"),
        Place::All => {
            let listed = room.json(async { Some(containers.list()) }, json).await;
            listed.unwrap_or_else(|| {
                answer::text(StatusCode::SERVICE_UNAVAILABLE, "Could not list containers")
            })
        }
        Place::Entrance => register(containers, body).await,
        Place::One(id) if method == Method::GET => {
            match std::str::from_utf8(&id).ok().and_then(|id| containers.get(id)) {
                Some(container) => answer::json(StatusCode::OK, json(&container)),
                None => not_found(&id),
            }
        }
        Place::One(id) => match std::str::from_utf8(&id) {
            Ok(known) if containers.remove(known).await => answer::json(StatusCode::ACCEPTED, ""),
            _ => not_found(&id),
        },
        Place::Nowhere => answer::no_such_path(),
    }
}

async fn register(containers: &Containers, body: &[u8]) -> Answer {
    let Ok(asked) = Container::decode(body) else {
        return answer::text(StatusCode::BAD_REQUEST, "Could not decode request");
    };
    let id = asked.container_id.clone();
    match containers.register(asked).await {
        Ok(container) => answer::json(StatusCode::CREATED, json(&container)),
        Err(refusal @ (Refusal::Id(_) | Refusal::Host)) => {
            let why = format!("Could not decode request: {refusal}");
            answer::text(StatusCode::BAD_REQUEST, why)
        }
        Err(Refusal::TooMany | Refusal::NoPort(_)) => match containers.on_failure() {
            OnFailure::NoContent => answer::empty(StatusCode::NO_CONTENT),
            OnFailure::ServerError => {
                let why = format!("Could not add container {id}");
                answer::text(StatusCode::INTERNAL_SERVER_ERROR, why)
            }
        },
    }
}

fn serves(place: &Place, method: &Method) -> bool {
    match place {
        Place::Root | Place::All => method == Method::GET,
        Place::Entrance => method == Method::POST,
        Place::One(_) => method == Method::GET || method == Method::DELETE,
        Place::Nowhere => false,
    }
}

fn not_found(id: &[u8]) -> Answer {
    let why = format!("Container {} not found", go_quote(id));
    answer::text(StatusCode::NOT_FOUND, why)
}

fn with_query(path: String, uri: &Uri) -> String {
    match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

// As Go writes it: these are escaped, for the sake of pages that would show them.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    let written = serde_json::to_string(value).expect("texts and numbers can be written as JSON");
    let mut escaped = String::with_capacity(written.len());
    for c in written.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped.into_bytes()
}
