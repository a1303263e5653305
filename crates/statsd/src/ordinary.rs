use metric::{Note, ReadAs};
use smallvec::SmallVec;

use crate::lossy::Decoder;
use crate::pieces::pieces;
use crate::reading::{Part, PartValue, Reading};
use crate::sections::Sections;
use crate::skim::{Measure, skim};
use crate::tags::{self, Tags};
use crate::{line, name};

/// Reads a line of one sample with one good value and no tags in its name, as nearly all are, in a
/// shorter way than [`line::read_any`], which says the same of it. `None` if it is not one, or not
/// well-formed.
// Hot path where the memo does not know a line. What is read is put together at once, in its place.
#[inline]
pub(crate) fn read(line: &[u8], read_as: ReadAs, now: i64) -> Option<Reading<'_>> {
    let skim = skim(line)?;
    let measured = skim.measure(read_as, now)?;
    let decoder = Decoder::of(line).if_well_formed()?;
    let spelling = &skim.spelling;
    if read_as.name_tags && name::has_equals(line, spelling.name.len()) {
        return None;
    }
    let mut notes = measured.notes;
    if spelling.meter {
        notes.insert(Note::Meter);
    }
    let name = decoder.text(spelling.name, &mut notes);
    let mut tags = Tags::new();
    let mut said = Sections::default();
    let [first, second] = spelling.sections;
    for sections in [first, second] {
        if !sections.is_empty() {
            for section in pieces(sections, b'|') {
                said.add(section, &decoder, &mut tags, &mut notes);
            }
        }
    }
    let container_id = said.container_id(&decoder, &mut notes);
    if !line::is_a_name(&name) || tags::finish(&mut tags, line.len()).is_err() {
        return None;
    }
    let (value, numbers) = match measured.value {
        Measure::Number(number) => {
            let numbers = SmallVec::from_buf_and_len([number, 0.0], 1);
            (PartValue::Numbers { from: 0, to: 1 }, numbers)
        }
        Measure::Member(member) => (PartValue::Member(member.into()), SmallVec::new()),
    };
    let (kind, relative, rate) = (spelling.kind, measured.relative, measured.rate);
    let timestamp = measured.timestamp;
    let parts = SmallVec::from_buf([Part { kind, value, relative, rate, timestamp }]);
    let rejects = SmallVec::new();
    Some(Reading { name, tags, container_id, parts, numbers, rejects, notes, other: None })
}

#[cfg(test)]
mod tests {
    use metric::GaugeSign;

    use super::*;

    #[test]
    fn the_shorter_way_says_what_the_longer_one_says() {
        let heads =
            ["a:1|c", "a:-2|g", "a,k=v:.5|ms", "a:b|s", "a:x|m", "a:1:2|c", ":1|h", "a,=:1|d"];
        let tails = [
            "|@0.5",
            "|@",
            "|#k:v,b",
            "|#b:1,a:2",
            "|#a:2,,a:2",
            "|#",
            "|T1700000000",
            "|T1",
            "|c:ci-x",
            "|e:f",
            "|x",
            "|",
            ":3|c",
            "|é",
            "\u{1}",
        ];
        let settings = [
            ReadAs::default(),
            ReadAs { gauge_sign: GaugeSign::Absolute, name_tags: false, trust_container: true },
        ];
        let (mut lines, mut from) = (heads.map(str::to_owned).to_vec(), 0);
        for _ in 0..3 {
            let shorter = from..lines.len();
            from = lines.len();
            for at in shorter {
                lines.extend(tails.map(|tail| format!("{}{tail}", lines[at])));
            }
        }
        let ill_formed = lines.iter().take(from).map(|line| [line.as_bytes(), b"\xff"].concat());
        let lines = ill_formed.chain(lines.iter().map(|line| line.clone().into_bytes()));
        let mut ordinary = 0;
        for (line, read_as) in lines.flat_map(|line| settings.map(|it| (line.clone(), it))) {
            if let Some(short) = read(&line, read_as, 1_700_000_000) {
                let long = line::read_any(&line, read_as, 1_700_000_000);
                assert_eq!(format!("{short:?}"), format!("{long:?}"), "{}", line.escape_ascii());
                ordinary += 1;
            }
        }
        assert!(ordinary > 5_000, "{ordinary}");
    }
}
