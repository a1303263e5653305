use std::borrow::Cow;

use memchr::memmem;
use metric::{Note, Notes, Reason};
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_till1};
use nom::character::complete::{digit1, one_of};
use nom::combinator::{eof, map_opt, peek, verify};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Parser};

use crate::lossy::{self, Decoder};
use crate::pieces::pieces;
use crate::reading::{Check, Event, Other, Reading};
use crate::tags::{self, Tags};

const LONGEST_CHECK_NAME: usize = 1_024;

/// Reads a line that begins with `_e{`.
pub(crate) fn read_event<'a>(line: &'a [u8], reading: &mut Reading<'a>) -> Result<(), Reason> {
    let (fields, (title, text)) = event(line).map_err(|_| Reason::BadEvent)?;
    let decoder = Decoder::of(line);
    let title = decoder.text(title, &mut reading.notes);
    let text = event_text(text, &decoder, &mut reading.notes);
    let tags = read_fields(fields, &decoder, &mut reading.notes)?;
    reading.other = Some(Box::new(Other::Event(Event { title, text, tags })));
    Ok(())
}

/// Reads a line that begins with `_sc|`.
pub(crate) fn read_check<'a>(line: &'a [u8], reading: &mut Reading<'a>) -> Result<(), Reason> {
    let (fields, (name, status)) = check(line).map_err(|_| Reason::BadCheck)?;
    let decoder = Decoder::of(line);
    let name = decoder.text(name, &mut reading.notes);
    if name.len() > LONGEST_CHECK_NAME {
        return Err(Reason::TooLong);
    }
    let tags = read_fields(fields, &decoder, &mut reading.notes)?;
    reading.other = Some(Box::new(Other::Check(Check { name, status, tags })));
    Ok(())
}

// `_e{` title bytes `,` text bytes `}:` title `|` text; what follows the text is left.
fn event(line: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let lengths = separated_pair(length, tag(","), length);
    let (rest, (title, text)) = delimited(tag("_e{"), lengths, tag("}:")).parse(line)?;
    let title = verify(take(title), |title: &[u8]| !title.is_empty());
    terminated(separated_pair(title, tag("|"), take(text)), before_fields).parse(rest)
}

fn length(text: &[u8]) -> IResult<&[u8], usize> {
    map_opt(digit1, |digits| std::str::from_utf8(digits).ok()?.parse().ok()).parse(text)
}

// `_sc|` name `|` status; what follows the status is left.
fn check(line: &[u8]) -> IResult<&[u8], (&[u8], u8)> {
    let name = preceded(tag("_sc|"), take_till1(|byte| byte == b'|'));
    let status = one_of("0123".as_bytes()).map(|status| status as u8 - b'0');
    terminated(separated_pair(name, tag("|"), status), before_fields).parse(line)
}

// Fields may follow, each behind a `|`, and nothing else.
fn before_fields(rest: &[u8]) -> IResult<&[u8], &[u8]> {
    peek(alt((eof, tag("|")))).parse(rest)
}

fn event_text<'a>(text: &'a [u8], decoder: &Decoder<'a>, notes: &mut Notes) -> Cow<'a, str> {
    if memmem::find(text, b"\\n").is_none() {
        return decoder.text(text, notes);
    }
    let mut unescaped = Vec::with_capacity(text.len());
    let mut start = 0;
    for escape in memmem::find_iter(text, b"\\n") {
        unescaped.extend_from_slice(&text[start..escape]);
        unescaped.push(b'\n');
        start = escape + 2;
    }
    unescaped.extend_from_slice(&text[start..]);
    lossy::owned_text(unescaped, notes)
}

fn read_fields<'a>(
    fields: &'a [u8],
    decoder: &Decoder<'a>,
    notes: &mut Notes,
) -> Result<Tags<'a>, Reason> {
    let mut tags = Tags::new();
    // What stands before the first `|` is nothing.
    for field in pieces(fields, b'|').skip(1) {
        match field {
            [b'#', text @ ..] => tags::add_section(text, decoder, &mut tags, notes),
            [b'd' | b'h' | b'k' | b'p' | b's' | b't' | b'm' | b'c' | b'e', b':', ..]
            | [b'c', b'a', b'r', b'd', b':', ..] => {}
            _ => notes.insert(Note::UnknownSection),
        }
    }
    tags::finish(&mut tags, fields.len())?;
    Ok(tags)
}
