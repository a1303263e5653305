use memchr::memchr;
use memchr::memmem;
use metric::{Note, Notes, Reason};
use nom::bytes::complete::{tag, take};
use nom::character::complete::digit1;
use nom::combinator::map_opt;
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser};

use crate::lossy;
use crate::reading::{Check, Event, Other, Reading};
use crate::tags::{self, Tags, pieces};

const LONGEST_CHECK_NAME: usize = 1_024;

/// Reads a line that begins with `_e{`.
pub(crate) fn read_event(line: &[u8]) -> Reading<'_> {
    let Ok((rest, (title, text))) = event_head(line) else {
        return Reading::refused(Reason::BadEvent, line);
    };
    let Some(fields) = fields(rest) else {
        return Reading::refused(Reason::BadEvent, line);
    };
    if title.is_empty() {
        return Reading::refused(Reason::BadEvent, line);
    }
    let mut notes = Notes::NONE;
    let mut ill_formed = false;
    let title = lossy::text(title, &mut ill_formed);
    let text = match memmem::find(text, b"\\n") {
        None => lossy::text(text, &mut ill_formed),
        Some(_) => lossy::owned_text(with_line_feeds(text), &mut ill_formed),
    };
    if ill_formed {
        notes.insert(Note::InvalidUtf8);
    }
    match read_fields(fields, &mut notes) {
        Ok(tags) => other(Other::Event(Event { title, text, tags }), notes),
        Err(reason) => Reading::refused(reason, line),
    }
}

// `_e{` title bytes `,` text bytes `}:` title `|` text; leaves what follows the text.
fn event_head(line: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let lengths = (terminated(length, tag(",")), length);
    let (rest, (title, text)) = delimited(tag("_e{"), lengths, tag("}:")).parse(line)?;
    (terminated(take(title), tag("|")), take(text)).parse(rest)
}

fn length(text: &[u8]) -> IResult<&[u8], usize> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    map_opt(digit1, number).parse(text)
}

fn with_line_feeds(text: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(text.len());
    let mut start = 0;
    for escape in memmem::find_iter(text, b"\\n") {
        unescaped.extend_from_slice(&text[start..escape]);
        unescaped.push(b'\n');
        start = escape + 2;
    }
    unescaped.extend_from_slice(&text[start..]);
    unescaped
}

/// Reads a line that begins with `_sc|`.
pub(crate) fn read_check(line: &[u8]) -> Reading<'_> {
    let rest = &line["_sc|".len()..];
    let head = memchr(b'|', rest).filter(|bar| *bar > 0).and_then(|bar| {
        let (name, rest) = (&rest[..bar], &rest[bar + 1..]);
        let (status, rest) = rest.split_first()?;
        let status = status.wrapping_sub(b'0');
        (status <= 3).then_some((name, status, fields(rest)?))
    });
    let Some((name, status, fields)) = head else {
        return Reading::refused(Reason::BadCheck, line);
    };
    let mut notes = Notes::NONE;
    let mut ill_formed = false;
    let name = lossy::text(name, &mut ill_formed);
    if name.len() > LONGEST_CHECK_NAME {
        return Reading::refused(Reason::TooLong, line);
    }
    if ill_formed {
        notes.insert(Note::InvalidUtf8);
    }
    match read_fields(fields, &mut notes) {
        Ok(tags) => other(Other::Check(Check { name, status, tags }), notes),
        Err(reason) => Reading::refused(reason, line),
    }
}

fn other<'a>(other: Other<'a>, notes: Notes) -> Reading<'a> {
    Reading { other: Some(Box::new(other)), notes, ..Reading::default() }
}

/// The fields behind an event's text or a check's status: nothing, or `|` and some; `None` if
/// something else follows.
fn fields(rest: &[u8]) -> Option<Option<&[u8]>> {
    match rest {
        [] => Some(None),
        [b'|', fields @ ..] => Some(Some(fields)),
        _ => None,
    }
}

fn read_fields<'a>(fields: Option<&'a [u8]>, notes: &mut Notes) -> Result<Tags<'a>, Reason> {
    let mut tags = Tags::new();
    for field in fields.into_iter().flat_map(|fields| pieces(fields, b'|')) {
        match field {
            [b'#', text @ ..] => tags::add_section(text, &mut tags, notes),
            [b'd' | b'h' | b'k' | b'p' | b's' | b't' | b'm' | b'c' | b'e', b':', ..]
            | [b'c', b'a', b'r', b'd', b':', ..] => {}
            _ => notes.insert(Note::UnknownSection),
        }
    }
    tags::finish(&mut tags)?;
    Ok(tags)
}
