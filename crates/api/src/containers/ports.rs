use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Which ports containers are given. Written `ephemeral` (the default) or `31000-31999`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// Whichever the system chooses.
    #[default]
    Ephemeral,
    /// One of these, the one that has been unused the longest.
    Range(RangeInclusive<u16>),
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "ephemeral" {
            return Ok(Self::Ephemeral);
        }
        let read = |text: &str| text.parse().ok().filter(|port| *port != 0);
        match text.split_once('-').map(|(first, last)| (read(first), read(last))) {
            Some((Some(first), Some(last))) if first <= last => Ok(Self::Range(first..=last)),
            _ => Err(format!("`{text}` names no ports: expected ephemeral, or FIRST-LAST")),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ephemeral => f.write_str("ephemeral"),
            Self::Range(range) => write!(f, "{}-{}", range.start(), range.end()),
        }
    }
}

/// The ports of a range that no container has, the longest unused first.
#[derive(Debug)]
pub(super) struct Free {
    range: RangeInclusive<u16>,
    unused: VecDeque<u16>,
}

impl Free {
    pub(super) fn of(ports: &Ports) -> Self {
        #[allow(clippy::reversed_empty_ranges)] // there is no other empty inclusive range
        let range = match ports {
            Ports::Ephemeral => 1..=0,
            Ports::Range(range) => range.clone(),
        };
        Self { unused: range.clone().collect(), range }
    }

    pub(super) fn len(&self) -> usize {
        self.unused.len()
    }

    /// Takes the one that has been unused the longest.
    pub(super) fn next(&mut self) -> Option<u16> {
        self.unused.pop_front()
    }

    /// Takes this one, if it is there.
    pub(super) fn take(&mut self, port: u16) {
        if self.range.contains(&port) {
            self.unused.retain(|unused| *unused != port);
        }
    }

    /// From now on it has been unused; one that is not of the range is none of ours.
    pub(super) fn give_back(&mut self, port: u16) {
        if self.range.contains(&port) && !self.unused.contains(&port) {
            self.unused.push_back(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_they_are_read() {
        assert_eq!("ephemeral".parse(), Ok(Ports::Ephemeral));
        assert_eq!("31000-31999".parse(), Ok(Ports::Range(31000..=31999)));
        assert_eq!("5-5".parse::<Ports>().map(|ports| ports.to_string()), Ok("5-5".into()));
        for text in ["", "any", "31000", "0-5", "7-5", "1-65536", "1-2-3"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_unused_port_is_next() {
        let mut free = Free::of(&Ports::Range(10..=13));
        assert_eq!(free.next(), Some(10));
        free.take(12);
        free.give_back(10);
        free.give_back(10);
        free.give_back(9);
        assert_eq!(free.next(), Some(11));
        assert_eq!(free.next(), Some(13));
        assert_eq!(free.next(), Some(10));
        assert_eq!(free.next(), None);
        assert_eq!(Free::of(&Ports::Ephemeral).next(), None);
    }
}
