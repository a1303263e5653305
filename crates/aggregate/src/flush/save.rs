use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::time::Duration;

use metric::Origin;

use super::Flush;
use super::legacy::Legacy;
use crate::state::{Entry, Reader, Saved, Stamp, StateError, Writer};

impl Flush {
    /// Writes what is to outlive the process: gauges' levels and counters' running totals that have
    /// not expired. `at` is now on the monotonic clock, since the start; `stamp` the same moment on
    /// clocks that outlive a process.
    ///
    /// Takes little memory, whatever there is to write, and many small writes: `to` is to be
    /// buffered.
    pub fn save(&self, at: Duration, stamp: &Stamp, to: &mut impl Write) -> io::Result<Saved> {
        let moment = self.expiry.at(at);
        let mut writer = Writer::begin(to, stamp)?;
        for past in self.pasts.values() {
            if writer.source(&past.source.origin)? {
                past.hand_on(&self.rolls, moment, &mut |entry| writer.entry(entry))?;
            }
        }
        // Of sources that this process has not heard of yet either.
        for (origin, legacy) in &self.legacies {
            if writer.source(origin)? {
                legacy.hand_on(moment, &mut |entry| writer.entry(entry))?;
            }
        }
        writer.finish()
    }

    /// Takes up what an earlier process wrote with [`Flush::save`], before the first merge: a
    /// source whose origin is the same goes on where that one stopped. What has expired since is
    /// left out, and all of it if nobody can tell how long ago it was written.
    ///
    /// Of a file that is damaged or of a newer version nothing is taken up; of one that is larger
    /// than can be, [`super::FlushConfig::most_totals`] levels and as many totals.
    pub fn restore(&mut self, now: &Stamp, from: &mut impl Read) -> Result<Saved, StateError> {
        let mut reader = Reader::begin(from)?;
        let since_saved = now.since(reader.stamp());
        let (start, most) = (self.expiry.at(Duration::ZERO), self.most_totals as u64);
        let mut legacies: HashMap<Origin, Legacy> = HashMap::new();
        let mut restored = Saved::default();
        while let Some(mut chunk) = reader.next_chunk()? {
            let legacy = legacies.entry(chunk.origin.clone()).or_default();
            while let Some(entry) = chunk.next_entry()? {
                let Some(since_saved) = since_saved else { continue };
                let last =
                    |age: Duration| self.expiry.before_start(age.saturating_add(since_saved));
                match entry {
                    Entry::Level { key, value, age } => {
                        let last = last(age);
                        if start.has_level(last) && restored.levels < most {
                            legacy.add_level(key, value, last);
                            restored.levels += 1;
                        }
                    }
                    Entry::Total { hash, value, age } => {
                        let last = last(age);
                        if start.has_total(last) && restored.totals < most {
                            legacy.add_total(hash, value, last);
                            restored.totals += 1;
                        }
                    }
                }
            }
        }
        self.legacies = legacies;
        Ok(restored)
    }
}

#[cfg(test)]
mod tests;
