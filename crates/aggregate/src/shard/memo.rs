use std::hint::black_box;

use metric::{Kind, Notes, Spelling};

use super::index::Target;
use super::order::Order;
use super::roster::Series;
use super::{Shard, SourceIndex};
use crate::interval::Measure;
use crate::slot::Slot;

/// The series that a spelling is of: what [`Shard::add`] needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Recalled {
    slot: Slot,
    source: SourceIndex,
    kind: Kind,
    notes: Notes,
}

/// With fewer series it does not pay to fetch what they need in advance.
const FIT_THE_CACHE: usize = 16_384;

/// A search for a line's series that was begun: see [`Shard::seek`].
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    hash: u64,
    /// What the index has under that hash first, if it was looked at: nearly always it.
    guess: Option<Target>,
}

/// A spelling that a shard is to remember.
#[derive(Clone, Copy, Debug)]
pub struct Remember<'a> {
    /// The source whose socket the line came through.
    pub via: SourceIndex,
    /// How the line spells its series.
    pub spelling: Spelling<'a>,
    /// What there is to note about every line that is spelled so.
    pub notes: Notes,
}

impl Recalled {
    /// The source of the series: that of the socket, or a container that a client of it named.
    pub fn source(&self) -> SourceIndex {
        self.source
    }

    /// What the series' samples mean.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What there is to note about every line that is spelled so.
    pub fn notes(&self) -> Notes {
        self.notes
    }
}

impl Shard {
    /// The series that a line is of, if it came through the socket of `via` and one that is spelled
    /// so was remembered.
    #[inline]
    pub fn recall(&self, via: SourceIndex, spelling: &Spelling<'_>) -> Option<Recalled> {
        self.recall_sought(self.seek(via, spelling), via, spelling)
    }

    /// Begins to recall, as far as no memory is needed but the line's.
    // Hot path: runs once per line.
    #[inline]
    pub fn seek(&self, via: SourceIndex, spelling: &Spelling<'_>) -> Sought {
        Sought { hash: self.hash(via.serial, spelling), guess: None }
    }

    /// Whether its series are so many that it pays to [`Shard::fetch`].
    #[inline]
    pub fn outgrows_the_cache(&self) -> bool {
        self.roster.places() > FIT_THE_CACHE
    }

    /// Fetches what recalling the series of these lines will need, for all of them at once: with
    /// many series each is a miss of the cache, and so they are waited for together.
    // Hot path: runs once per group of lines.
    pub fn fetch<L>(&self, lines: &mut [L], sought: impl Fn(&mut L) -> &mut Sought) {
        for it in lines.iter_mut().map(&sought) {
            it.guess = self.index.first(it.hash);
        }
        let slots = lines.iter_mut().filter_map(|line| match sought(line).guess? {
            Target::Series(slot) | Target::Plain(slot) | Target::Ordered(slot) => Some(slot),
            Target::Stored(number) => Some(self.spellings.get(number)?.slot),
        });
        let loaded = slots.fold(0, |loaded, slot| {
            let cell = self.running.is_touched(slot);
            let key = self.roster.get(slot).map(|(_, series)| series.key.kind());
            loaded ^ u32::from(cell) ^ key.map_or(0, |kind| kind as u32)
        });
        black_box(loaded);
    }

    /// The series that a line is of, as [`Shard::recall`].
    // Hot path: runs once per line.
    #[inline]
    pub fn recall_sought(
        &self,
        sought: Sought,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<Recalled> {
        let guess = sought.guess.or_else(|| self.index.first(sought.hash))?;
        self.recall_target(guess, via, spelling)
            .or_else(|| self.recall_by_hash(sought.hash, via, spelling))
    }

    // Two spellings with one hash, or a series that nobody has spelled plainly yet.
    #[cold]
    fn recall_by_hash(
        &self,
        hash: u64,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<Recalled> {
        self.index.find(hash, |target| self.recall_target(target, via, spelling))
    }

    // Hot path: runs once per line.
    #[inline]
    fn recall_target(
        &self,
        target: Target,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<Recalled> {
        let (slot, is_it) = match target {
            Target::Plain(slot) => (slot, self.is(slot, via, |series| series.is_plain(spelling))),
            Target::Ordered(slot) => {
                (slot, self.is(slot, via, |series| series.is_ordered(spelling)))
            }
            Target::Stored(number) => return self.recall_stored(number, via, spelling),
            Target::Series(_) => return None,
        };
        let (source, kind) = (via, spelling.kind);
        is_it.then_some(Recalled { slot, source, kind, notes: Notes::NONE })
    }

    #[inline]
    fn is(&self, slot: Slot, via: SourceIndex, is_it: impl FnOnce(&Series) -> bool) -> bool {
        let series = self.roster.get(slot).filter(|(source, _)| *source == via.index);
        series.is_some_and(|(_, series)| is_it(series))
    }

    fn recall_stored(
        &self,
        number: u32,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<Recalled> {
        let stored = self.spellings.get(number).filter(|it| it.is(via.serial, spelling))?;
        let (index, _) = self.roster.get(stored.slot)?;
        let account = &self.accounts[index as usize];
        // A container that a client named may have been closed before its socket.
        account.source.as_ref()?;
        let source = SourceIndex { index, serial: account.serial };
        Some(Recalled { slot: stored.slot, source, kind: spelling.kind, notes: stored.notes })
    }

    /// Adds one measure to a recalled series. The notes are to be counted with those of its line.
    // Hot path: runs once per value.
    #[inline]
    pub fn add(&mut self, recalled: Recalled, measure: Measure<'_>) -> Notes {
        self.accounts[recalled.source.get()].counts.aggregated += 1;
        self.put(recalled.slot, recalled.source.index, recalled.kind, measure)
    }

    pub(super) fn remember(&mut self, slot: Slot, source: SourceIndex, remember: &Remember<'_>) {
        let &Remember { via, spelling, notes } = remember;
        let hash = self.hash(via.serial, &spelling);
        if self.recall_by_hash(hash, via, &spelling).is_some() {
            return;
        }
        let Some(series) = self.roster.get_mut(slot) else { return };
        if via == source && notes.is_empty() {
            if series.is_plain(&spelling) {
                return self.index.replace(hash, Target::Series(slot), Target::Plain(slot));
            }
            if series.order.is_none() {
                series.order = Order::of(&series.key, &spelling);
                if series.order.is_some() {
                    return self.index.insert(hash, Target::Ordered(slot));
                }
            }
        }
        let account = &mut self.accounts[source.get()];
        let room = self.spellings.have_room_for(&spelling, self.config.spelling_bytes);
        if room && account.spellings < account.limits.spellings {
            let kept = (via.serial, &spelling, notes);
            series.spellings = self.spellings.insert(hash, kept, slot, series.spellings);
            account.spellings += 1;
            self.index.insert(hash, Target::Stored(series.spellings));
        }
    }
}
