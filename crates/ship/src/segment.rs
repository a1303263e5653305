//! The form of a disk queue's files: a head, then records that are each checked by themselves.
//!
//! ```text
//! file:   "weirqueu"  version u32  crc32 of these 12 bytes u32
//! record: marker [8]  body length u32  points u32  points before it in the file u64
//!         written, unix ms i64  crc32 of the body u32  crc32 of these 36 bytes u32
//!         state u8 (0xa5: settled)  body
//! ```
//! Numbers are little-endian. The marker is random, each file's own, and stands in the file's name
//! too: after a damaged head the next record is found by it, and nobody who only writes bodies can
//! make one up. The state is outside the checksums, because it is set in place.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use crc32fast::hash;

/// The version that is written.
pub const VERSION: u32 = 1;

/// What each record of a file begins with.
pub type Marker = [u8; 8];

/// The bytes before the first record.
pub const FILE_HEAD: u64 = 16;

/// The bytes of a record before its body.
pub const RECORD_HEAD: u64 = 41;

/// The largest body that is read.
pub const BODY_MOST: u32 = 256 << 20;

const MAGIC: [u8; 8] = *b"weirqueu";

/// A record whose points are settled. Every bit flip of 0 is something else.
const SETTLED: u8 = 0xa5;

/// Where a record's state is, from its beginning.
const STATE: u64 = RECORD_HEAD - 1;

/// What a file begins with.
pub fn file_head() -> [u8; FILE_HEAD as usize] {
    let mut head = [0; FILE_HEAD as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let check = hash(&head[..12]);
    head[12..].copy_from_slice(&check.to_le_bytes());
    head
}

/// The version of a file that begins so; `None` if that is damaged, which costs no record.
pub fn version(head: &[u8]) -> Option<u32> {
    let head = head.get(..FILE_HEAD as usize)?;
    let is_whole = head[..8] == MAGIC && number(&head[12..]) == hash(&head[..12]);
    is_whole.then(|| number(&head[8..]))
}

/// Appends a record, of a body of at most [`BODY_MOST`] bytes. `before` are the points of all
/// records before it in the file.
pub fn write_record(
    to: &mut Vec<u8>,
    marker: &Marker,
    (points, before): (u32, u64),
    written_ms: i64,
    body: &[u8],
) {
    let begun = to.len();
    to.reserve(RECORD_HEAD as usize + body.len());
    to.extend_from_slice(marker);
    to.extend_from_slice(&(body.len() as u32).to_le_bytes());
    to.extend_from_slice(&points.to_le_bytes());
    to.extend_from_slice(&before.to_le_bytes());
    to.extend_from_slice(&written_ms.to_le_bytes());
    to.extend_from_slice(&hash(body).to_le_bytes());
    let check = hash(&to[begun..]);
    to.extend_from_slice(&check.to_le_bytes());
    to.push(0);
    to.extend_from_slice(body);
}

/// Where a record's state stands in its file, and what is written there when it is settled.
pub fn settled_at(record: u64) -> (u64, [u8; 1]) {
    (record + STATE, [SETTLED])
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the record begins.
    pub at: u64,
    /// The bytes of its body.
    pub length: u32,
    /// The points in it.
    pub points: u32,
    /// The points before it in the file.
    pub before: u64,
    /// When it was written, in unix milliseconds.
    pub written_ms: i64,
    /// Whether its points were acknowledged or given up.
    pub is_settled: bool,
    check: u32,
}

impl Head {
    /// Where the next record begins.
    pub fn end(&self) -> u64 {
        self.at + RECORD_HEAD + u64::from(self.length)
    }
}

/// What a file has next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record with a good head, and as many bytes behind it as it says.
    Record(Head),
    /// Bytes that are no record, and the points that were in them as far as the next head tells.
    Damaged {
        /// How many bytes.
        bytes: u64,
        /// How many points.
        points: u64,
    },
}

/// The records of a file, one after the other. What no record follows, a torn tail, is passed over.
#[derive(Debug)]
pub struct Scan<R> {
    input: R,
    marker: Marker,
    at: u64,
    end: u64,
    // The points up to here, if that is known.
    before: Option<u64>,
    // Found behind damage that is told first.
    next: Option<Head>,
}

impl<R: Read + Seek> Scan<R> {
    /// From the first record to the end of the file.
    pub fn new(mut input: R, marker: Marker) -> io::Result<Self> {
        let end = input.seek(SeekFrom::End(0))?;
        Ok(Self { input, marker, at: FILE_HEAD, end, before: Some(0), next: None })
    }

    /// From a record to where the file's good part ends.
    pub fn between(input: R, marker: Marker, at: u64, end: u64) -> Self {
        Self { input, marker, at, end, before: None, next: None }
    }

    /// What comes next; `None` at the end.
    #[allow(clippy::should_implement_trait)] // an iterator could not say it with `?`
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        if let Some(head) = self.next.take() {
            return Ok(Some(self.pass(head)));
        }
        if let Some(head) = self.head(self.at)? {
            return Ok(Some(self.pass(head)));
        }
        let Some(head) = self.search(self.at + 1)? else {
            self.at = self.at.max(self.end);
            return Ok(None);
        };
        let bytes = head.at - self.at;
        let missing = self.before.and_then(|before| head.before.checked_sub(before));
        self.next = Some(head);
        // A point takes at least a byte.
        Ok(Some(Found::Damaged { bytes, points: missing.unwrap_or(0).min(bytes) }))
    }

    /// The body of a record; `None` if it is damaged.
    pub fn body(&mut self, head: &Head) -> io::Result<Option<Bytes>> {
        let mut body = vec![0; head.length as usize];
        let is_there = self.read(head.at + RECORD_HEAD, &mut body)?;
        Ok((is_there && hash(&body) == head.check).then(|| body.into()))
    }

    /// The end of the last record that was found, and at the end that of the file.
    pub fn at(&self) -> u64 {
        self.at
    }

    fn pass(&mut self, head: Head) -> Found {
        self.at = head.end();
        self.before = head.before.checked_add(u64::from(head.points));
        Found::Record(head)
    }

    /// The head at this place, if there is a good one.
    fn head(&mut self, at: u64) -> io::Result<Option<Head>> {
        if at + RECORD_HEAD > self.end {
            return Ok(None);
        }
        let mut bytes = [0; RECORD_HEAD as usize];
        let is_there = self.read(at, &mut bytes)?;
        if !is_there || bytes[..8] != self.marker || number(&bytes[36..]) != hash(&bytes[..36]) {
            return Ok(None);
        }
        let long = |from: usize| {
            u64::from(number(&bytes[from..])) | u64::from(number(&bytes[from + 4..])) << 32
        };
        let head = Head {
            at,
            length: number(&bytes[8..]),
            points: number(&bytes[12..]),
            before: long(16),
            written_ms: long(24).cast_signed(),
            check: number(&bytes[32..]),
            is_settled: bytes[40] == SETTLED,
        };
        let fits = head.length <= BODY_MOST && head.end() <= self.end;
        Ok(fits.then_some(head))
    }

    /// The first good head from here on.
    fn search(&mut self, mut from: u64) -> io::Result<Option<Head>> {
        let mut part = vec![0; SEARCH_BYTES];
        while from + RECORD_HEAD <= self.end {
            let wanted = part.len().min((self.end - from) as usize);
            if !self.read(from, &mut part[..wanted])? {
                break;
            }
            let windows = part[..wanted].windows(self.marker.len());
            let places = windows.enumerate().filter(|(_, window)| *window == self.marker);
            for place in places.map(|(place, _)| place as u64).collect::<Vec<_>>() {
                if let Some(head) = self.head(from + place)? {
                    return Ok(Some(head));
                }
            }
            // A marker may lie across the edge.
            from += (wanted - self.marker.len() + 1) as u64;
        }
        Ok(None)
    }

    /// Fills the bytes from this place on; `false` if the file has become shorter than that.
    fn read(&mut self, from: u64, bytes: &mut [u8]) -> io::Result<bool> {
        self.input.seek(SeekFrom::Start(from))?;
        match self.input.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }
}

/// How much is searched at once.
const SEARCH_BYTES: usize = 64 << 10;

/// The number that these bytes begin with.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes are four bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const MARKER: Marker = *b"a marker";

    /// A file with a record of each of these bodies, the n-th of n points.
    fn file(bodies: &[&[u8]]) -> Vec<u8> {
        let mut file = file_head().to_vec();
        let mut before = 0;
        for (body, points) in bodies.iter().zip(1..) {
            write_record(&mut file, &MARKER, (points, before), 7, body);
            before += u64::from(points);
        }
        file
    }

    /// The bodies that can be read, `None` where one is damaged, and the points of damaged heads.
    fn read(file: &[u8]) -> (Vec<Option<Bytes>>, Vec<u64>) {
        let mut scan = Scan::new(Cursor::new(file), MARKER).unwrap();
        let (mut bodies, mut lost) = (Vec::new(), Vec::new());
        while let Some(found) = scan.next().unwrap() {
            match found {
                Found::Record(head) => bodies.push(scan.body(&head).unwrap()),
                Found::Damaged { points, .. } => lost.push(points),
            }
        }
        (bodies, lost)
    }

    fn whole(bodies: &[&[u8]]) -> Vec<Option<Bytes>> {
        bodies.iter().map(|body| Some(Bytes::copy_from_slice(body))).collect()
    }

    #[test]
    fn a_record_is_these_bytes() {
        let mut record = Vec::new();
        write_record(&mut record, &MARKER, (3, 4), 5, b"body");
        let expected = [
            &b"a marker"[..],
            &[4, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
            &hash(b"body").to_le_bytes(),
            &hash(&record[..36]).to_le_bytes(),
            b"\0body",
        ];
        assert_eq!(record, expected.concat());
        assert_eq!(record.len() as u64, RECORD_HEAD + 4);
    }

    #[test]
    fn a_damaged_byte_costs_its_record_and_no_other() {
        let bodies: [&[u8]; 4] = [b"first", b"second", b"third", b"fourth"];
        let good = file(&bodies);
        let length = |body: &[u8]| RECORD_HEAD as usize + body.len();
        let starts: Vec<_> = bodies
            .iter()
            .scan(FILE_HEAD as usize, |at, body| {
                *at += length(body);
                Some(*at - length(body))
            })
            .collect();
        for place in 0..good.len() {
            let mut file = good.clone();
            file[place] ^= 0x10;
            let hit = starts.iter().rposition(|start| *start <= place);
            let Some(hit) = hit else {
                assert_eq!(read(&file), (whole(&bodies), vec![]), "the file's head costs none");
                continue;
            };
            let in_record = place - starts[hit];
            let (read, lost) = read(&file);
            let mut expected = whole(&bodies);
            if in_record as u64 == STATE {
                assert_eq!((read, lost), (expected, vec![]), "no single flip settles a record");
            } else if in_record as u64 >= RECORD_HEAD {
                expected[hit] = None;
                assert_eq!((read, lost), (expected, vec![]), "{place}");
            } else {
                expected.remove(hit);
                // Behind the last one nothing tells what it was.
                let points = if hit == 3 { vec![] } else { vec![hit as u64 + 1] };
                assert_eq!((read, lost), (expected, points), "{place}");
            }
        }
    }

    #[test]
    fn a_torn_tail_is_passed_over_wherever_it_is_torn() {
        let bodies: [&[u8]; 2] = [b"first", b"second"];
        let good = file(&bodies);
        let first = FILE_HEAD as usize + RECORD_HEAD as usize + 5;
        for length in first..good.len() {
            assert_eq!(read(&good[..length]), (whole(&bodies[..1]), vec![]), "{length}");
        }
        // As a file system leaves what it never wrote.
        let mut zeroed = good.clone();
        zeroed[first..].fill(0);
        assert_eq!(read(&zeroed), (whole(&bodies[..1]), vec![]));
    }

    #[test]
    fn a_marker_in_the_gap_and_across_the_edge_of_the_search_is_found() {
        for gap in [8, SEARCH_BYTES - 4, SEARCH_BYTES, 3 * SEARCH_BYTES - 3] {
            let mut file = file(&[b"first"]);
            file.extend(MARKER.iter().cycle().take(gap));
            write_record(&mut file, &MARKER, (1, 9), 7, b"second");
            assert_eq!(read(&file), (whole(&[b"first", b"second"]), vec![8]), "{gap}");
        }
    }

    #[test]
    fn a_settled_record_says_so() {
        let mut file = file(&[b"first", b"second"]);
        let (at, byte) = settled_at(FILE_HEAD);
        file[at as usize] = byte[0];
        let mut scan = Scan::new(Cursor::new(&file), MARKER).unwrap();
        let mut settled = Vec::new();
        while let Some(Found::Record(head)) = scan.next().unwrap() {
            settled.push(head.is_settled);
        }
        assert_eq!(settled, [true, false]);
        assert_eq!(scan.at(), file.len() as u64);
    }

    #[test]
    fn a_files_version_is_known_if_its_head_is_whole() {
        assert_eq!(version(&file_head()), Some(VERSION));
        let mut newer = file_head();
        newer[8] = 2;
        assert_eq!(version(&newer), None, "damaged, not newer");
        let check = hash(&newer[..12]);
        newer[12..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(version(&newer), Some(2));
        assert_eq!(version(b"weirqueu"), None);
    }
}
