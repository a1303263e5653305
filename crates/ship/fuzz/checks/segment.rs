//! Whatever the bytes of a queue's file are, they are read within their bounds; and a record that
//! is whole is found, whatever is wrong beside it.

use std::io::Cursor;

use ship::segment::{
    FILE_HEAD, Found, Marker, RECORD_HEAD, Scan, file_head, version, write_record,
};

/// The marker of all files here.
const MARKER: Marker = *b"\x01marker\x02";

/// The first byte chooses: 0 reads the others as a file; else they are bodies, and the file of them
/// is damaged (odd) or cut off (even).
pub(crate) fn segment(input: &[u8]) {
    match input {
        [0, file @ ..] => read_anything(file),
        [choice, high, low, change, bodies @ ..] => {
            let at = usize::from(u16::from_be_bytes([*high, *low]));
            let bodies: Vec<_> = bodies.split(|byte| *byte == 0).take(64).collect();
            // No body that a client can bring about has the marker, which is random.
            if bodies.iter().all(|body| !body.windows(8).any(|part| part == MARKER)) {
                let change = if choice % 2 == 1 { Some(*change) } else { None };
                read_the_rest(&bodies, at, change);
            }
        }
        [..] => {}
    }
}

fn read_anything(file: &[u8]) {
    let _ = version(file);
    let mut scan = Scan::new(Cursor::new(file), MARKER).expect("a slice can be read");
    let mut at = FILE_HEAD;
    while let Some(found) = scan.next().expect("a slice can be read") {
        match found {
            Found::Record(head) => {
                assert_eq!(head.at, at, "nothing is passed over in silence");
                assert_eq!(head.end(), at + RECORD_HEAD + u64::from(head.length));
                at = head.end();
                assert!(at <= file.len() as u64);
                if let Some(body) = scan.body(&head).expect("a slice can be read") {
                    let begin = (head.at + RECORD_HEAD) as usize;
                    assert_eq!(body, file[begin..head.end() as usize]);
                }
            }
            Found::Damaged { bytes, points } => {
                assert!(bytes > 0 && points <= bytes);
                at += bytes;
            }
        }
    }
    assert!(scan.next().expect("a slice can be read").is_none(), "the end stays the end");
}

/// The n-th of these bodies has n points.
fn read_the_rest(bodies: &[&[u8]], at: usize, change: Option<u8>) {
    let mut file = file_head().to_vec();
    let (mut before, mut starts) = (0, Vec::new());
    for (body, points) in bodies.iter().zip(1..) {
        starts.push(file.len());
        write_record(&mut file, &MARKER, (points, before), 0, body);
        before += u64::from(points);
    }
    let at = at % file.len();
    match change {
        Some(change) => file[at] ^= change,
        None => file.truncate(at),
    }

    let mut scan = Scan::new(Cursor::new(&file), MARKER).expect("a slice can be read");
    let (mut whole, mut lost) = (Vec::new(), 0);
    while let Some(found) = scan.next().expect("a slice can be read") {
        match found {
            Found::Record(head) => match scan.body(&head).expect("a slice can be read") {
                Some(body) => whole.push((u64::from(head.points), body)),
                None => lost += u64::from(head.points),
            },
            Found::Damaged { points, .. } => lost += points,
        }
    }
    let hit = starts.iter().rposition(|start| *start <= at);
    let is_costly = match change {
        Some(0) => false,
        // The state of a record costs nothing.
        Some(_) => hit.is_some_and(|hit| at - starts[hit] != RECORD_HEAD as usize - 1),
        None => true,
    };
    let expected: Vec<_> = bodies
        .iter()
        .zip(1..)
        .filter(|(_, points)| {
            let place = *points as usize - 1;
            match (is_costly, change, hit) {
                (false, ..) => true,
                (true, Some(_), hit) => Some(place) != hit,
                (true, None, hit) => hit.is_some_and(|hit| place < hit),
            }
        })
        .map(|(body, points)| (points, (*body).to_vec().into()))
        .collect();
    assert_eq!(whole, expected);
    if let (true, Some(_), Some(hit)) = (is_costly, change, hit)
        && hit + 1 < bodies.len()
    {
        // Of a damaged head no more points are believed than it had bytes.
        let points = hit as u64 + 1;
        assert!(lost <= points && lost >= points.min(RECORD_HEAD), "{lost} of {points}");
    }
}
