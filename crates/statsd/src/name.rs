use std::borrow::Cow;

use memchr::memrchr;
use metric::{Note, Notes};

use crate::lossy::{self, Decoder};
use crate::pieces::{cut, pieces};
use crate::scan::find;
use crate::tags::{self, Tags};

/// Reads a line's name, which stands before its first colon, taking out the tags that stand in it if
/// that is wanted. Tells whether any did.
pub(crate) fn read<'a>(
    line: &'a [u8],
    colon: usize,
    name_tags: bool,
    decoder: &Decoder<'a>,
    tags: &mut Tags<'a>,
    notes: &mut Notes,
) -> (Cow<'a, str>, bool) {
    let text = &line[..colon];
    if name_tags && has_equals(line, colon) {
        read_with_tags(text, decoder, tags, notes)
    } else {
        (decoder.text(text, notes), false)
    }
}

/// Whether there is a `=` in a line's name, which stands before its first colon: else there is no tag.
#[inline]
pub(crate) fn has_equals(line: &[u8], colon: usize) -> bool {
    find([b'=', b':'], line, 0) < Some(colon)
}

fn read_with_tags<'a>(
    text: &'a [u8],
    decoder: &Decoder<'a>,
    tags: &mut Tags<'a>,
    notes: &mut Notes,
) -> (Cow<'a, str>, bool) {
    let Some(style) = style(text) else { return (decoder.text(text, notes), false) };
    for piece in pieces(style.tags, style.separator) {
        match pair(piece) {
            Some((key, value)) => tags::add(key, value, decoder, tags, notes),
            None => notes.insert(Note::BadNameTag),
        }
    }
    let name = if style.after.is_empty() {
        decoder.text(style.before, notes)
    } else {
        lossy::owned_text([style.before, style.after].concat(), notes)
    };
    (name, true)
}

/// A name with tags in it: `before`, the tags, `after`.
struct Style<'a> {
    before: &'a [u8],
    tags: &'a [u8],
    separator: u8,
    after: &'a [u8],
}

// Each `,` `#` `[` `;` opens a style; the first that holds a pair is it.
//
// A hostile name has tens of thousands of them, so nothing is looked at twice. What follows an
// opener begins with a piece of its own; all further pieces were seen by the first opener of the
// same separator (and of the same closing bracket), and had no pair.
fn style(name: &[u8]) -> Option<Style<'_>> {
    let last_equals = memrchr(b'=', name)?;
    let (mut commas_seen, mut semicolons_seen) = (false, false);
    // The first `,` or `=`, and the first `]`, behind the opener that was looked at last.
    let (mut stop, mut close) = (0, 0);
    let mut bracket_seen = 0;
    let opens = |byte: &u8| matches!(byte, b',' | b'#' | b'[' | b';');
    for open in (0..last_equals).filter(|place| opens(&name[*place])) {
        let inside = open + 1;
        if stop <= open {
            stop = find_by(name, inside, |byte| matches!(byte, b',' | b'='));
        }
        let pair_first = |end: usize| stop < end && name[stop] == b'=' && stop > inside;
        let is_style = match name[open] {
            b'[' => {
                if close <= open {
                    close = find_by(name, inside, |byte| byte == b']');
                }
                let closed = close < name.len();
                let seen = std::mem::replace(&mut bracket_seen, close) == close;
                closed && (pair_first(close) || (!seen && holds_pair(&name[inside..close], b',')))
            }
            b';' => {
                !std::mem::replace(&mut semicolons_seen, true) && holds_pair(&name[inside..], b';')
            }
            _ => {
                pair_first(name.len())
                    || (!std::mem::replace(&mut commas_seen, true)
                        && holds_pair(&name[inside..], b','))
            }
        };
        if is_style {
            let (end, after) = match name[open] {
                b'[' => (close, &name[close + 1..]),
                _ => (name.len(), &name[name.len()..]),
            };
            let separator = if name[open] == b';' { b';' } else { b',' };
            return Some(Style {
                before: &name[..open],
                tags: &name[inside..end],
                separator,
                after,
            });
        }
    }
    None
}

// Plain loops: hostile pieces are so short that a call of memchr for each would cost more.
fn find_by(name: &[u8], from: usize, is_it: impl Fn(u8) -> bool) -> usize {
    name[from..].iter().position(|byte| is_it(*byte)).map_or(name.len(), |at| from + at)
}

fn holds_pair(text: &[u8], separator: u8) -> bool {
    text.split(|byte| *byte == separator).any(|piece| pair(piece).is_some())
}

fn pair(piece: &[u8]) -> Option<(&[u8], &[u8])> {
    match cut(piece, b'=') {
        ([], _) | (_, None) => None,
        (key, Some(value)) => Some((key, value)),
    }
}

#[cfg(test)]
mod tests {
    use memchr::memchr;
    use metric::Tag;

    use super::*;

    fn read(text: &str) -> (String, String, bool) {
        let (mut tags, mut notes) = (Tags::new(), Notes::NONE);
        let decoder = Decoder::of(text.as_bytes());
        let (name, _) = read_with_tags(text.as_bytes(), &decoder, &mut tags, &mut notes);
        let tags: Vec<_> = tags.iter().map(|Tag { key, value }| format!("{key}={value}")).collect();
        (name.into_owned(), tags.join(" "), notes.contains(Note::BadNameTag))
    }

    #[test]
    fn the_first_style_that_holds_a_pair_is_read() {
        for (text, name, tags, bad) in [
            ("n,k=v,k2=v2", "n", "k=v k2=v2", false),
            ("n#k=v,k2=v2", "n", "k=v k2=v2", false),
            ("pre[k=v,k2=v2]post", "prepost", "k=v k2=v2", false),
            ("n;k=v;k2=v2", "n", "k=v k2=v2", false),
            ("n,k=v,", "n", "k=v", true),
            ("n,k=", "n", "k=", false),
            ("n,k=v=w", "n", "k=v=w", false),
            ("n,=v,k=v", "n", "k=v", true),
            ("n,=v", "n,=v", "", false),
            ("users#show", "users#show", "", false),
            ("cpu[0]", "cpu[0]", "", false),
            ("f(a,b)", "f(a,b)", "", false),
            ("n[k=v", "n[k=v", "", false),
            ("n[0]#k=v", "n[0]", "k=v", false),
            ("n[0][k=v]x", "n[0]x", "k=v", false),
            ("n[[k=v]x", "nx", "[k=v", false),
            ("n[=,[k=v]x", "nx", "[k=v", true),
            ("n[=[k=v]x", "n[=x", "k=v", false),
            ("n,=b#k=v", "n,=b", "k=v", false),
            ("n,b#k=v", "n", "b#k=v", false),
            ("n,=#=;k=v", "n,=#=", "k=v", false),
            ("n;a,k=v", "n", "a,k=v", false),
            ("n;=;,k=v", "n", ",k=v", true),
            ("n=1,k", "n=1,k", "", false),
            (",k=v", "", "k=v", false),
            ("n]#k=v", "n]", "k=v", false),
            ("n[a]b=c]", "n[a]b=c]", "", false),
        ] {
            assert_eq!(read(text), (name.to_owned(), tags.to_owned(), bad), "{text}");
        }
    }

    // The rule as it stands, without a thought for its cost.
    fn plain_style(name: &[u8]) -> Option<(usize, u8)> {
        (0..name.len()).find_map(|open| {
            let rest = &name[open + 1..];
            let (inside, separator) = match name[open] {
                b',' | b'#' => (rest, b','),
                b';' => (rest, b';'),
                b'[' => (&rest[..memchr(b']', rest)?], b','),
                _ => return None,
            };
            holds_pair(inside, separator).then_some((open, separator))
        })
    }

    #[test]
    fn looking_at_nothing_twice_finds_the_same_style() {
        let alphabet = b",#[];=a";
        let mut name = Vec::new();
        for mut number in 0..7_u32.pow(7) {
            name.clear();
            while number > 0 {
                name.push(alphabet[(number % 7) as usize]);
                number /= 7;
            }
            let found = style(&name).map(|style| (style.before.len(), style.separator));
            assert_eq!(found, plain_style(&name), "{}", name.escape_ascii());
        }
    }
}
