use std::fmt;

/// What a metric's samples mean. The same name with two kinds is two series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// `c` (and `m`): amounts that add up.
    Counter,
    /// `g`: a level that stays until it is set anew.
    Gauge,
    /// `ms`: durations, summarised.
    Timer,
    /// `h`: values, summarised.
    Histogram,
    /// `d`: values, summarised.
    Distribution,
    /// `s`: members, of which the distinct ones are counted.
    Set,
}

impl Kind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 6] =
        [Self::Counter, Self::Gauge, Self::Timer, Self::Histogram, Self::Distribution, Self::Set];

    /// The kind whose code (`kind as u8`) this is.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The word for it in everything that weir writes: `counter`, `gauge`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Timer => "timer",
            Self::Histogram => "histogram",
            Self::Distribution => "distribution",
            Self::Set => "set",
        }
    }

    /// The letters for it in a StatsD line: `c`, `g`, ...
    pub fn code(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Gauge => "g",
            Self::Timer => "ms",
            Self::Histogram => "h",
            Self::Distribution => "d",
            Self::Set => "s",
        }
    }

    /// Whether its samples are summarised by count, sum, extremes and quantiles.
    pub fn is_summarised(self) -> bool {
        matches!(self, Self::Timer | Self::Histogram | Self::Distribution)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
