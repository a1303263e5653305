//! The least that reading a line of one form takes, to hold `statsd::read` against.

use metric::Kind;
use smallvec::SmallVec;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// In front of the `:`.
    pub name: &'a str,
    /// Behind it.
    pub value: f64,
    /// A counter's, gauge's or timer's.
    pub kind: Kind,
    /// In their order.
    pub tags: SmallVec<[(&'a str, &'a str); 4]>,
}

/// Reads `name:number|kind` or `name:number|kind|#key:value,key:value`, with what the standard
/// library has for that, and knows nothing else: no packed values, sample rates, signs, times,
/// containers, tags in names or bounds, nothing that is ill-formed, and no word on what was wrong.
pub fn read(line: &[u8]) -> Option<Line<'_>> {
    let line = std::str::from_utf8(line).ok()?;
    let (name, rest) = line.split_once(':')?;
    let (value, rest) = rest.split_once('|')?;
    let (kind, tags) = rest.split_once("|#").map_or((rest, None), |(kind, it)| (kind, Some(it)));
    let kind = match kind {
        "c" => Kind::Counter,
        "g" => Kind::Gauge,
        "ms" => Kind::Timer,
        _ => return None,
    };
    let tags = tags.into_iter().flat_map(|tags| tags.split(','));
    let mut tags: SmallVec<_> = tags.map(|tag| tag.split_once(':').unwrap_or((tag, ""))).collect();
    tags.sort_unstable();
    Some(Line { name, value: value.parse().ok()?, kind, tags })
}
