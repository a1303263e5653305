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
    // Hot path: runs once per line.
    pub fn recall(&self, via: SourceIndex, spelling: &Spelling<'_>) -> Option<Recalled> {
        self.recall_by_hash(self.hash(via.serial, spelling), via, spelling)
    }

    fn recall_by_hash(
        &self,
        hash: u64,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<Recalled> {
        let kind = spelling.kind;
        let own = |slot, is: fn(&Series, &Spelling<'_>) -> bool| {
            let (source, series) = self.roster.get(slot)?;
            (source == via.index && is(series, spelling)).then_some(Recalled {
                slot,
                source: via,
                kind,
                notes: Notes::NONE,
            })
        };
        self.index.find(hash, |target| match target {
            Target::Plain(slot) => own(slot, Series::is_plain),
            Target::Ordered(slot) => own(slot, Series::is_ordered),
            Target::Stored(number) => self.recall_stored(number, via, spelling),
            Target::Series(_) => None,
        })
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
