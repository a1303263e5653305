use std::collections::VecDeque;
use std::iter::Flatten;
use std::vec;

use metric::{SeriesKey, Spelling};

use super::index::Target;
use super::order::Order;
use super::roster::Block;
use super::{Shard, SourceIndex, spellings};
use crate::pile::Pile;
use crate::slot::Slot;

type Flow<T> = Flatten<vec::IntoIter<Vec<T>>>;

/// What a shard has to forget, a little at a time.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    /// What was given up before the last swap, in that order: the flush side hears of it before it
    /// hears of anything that takes its place.
    confirmed: VecDeque<Flow<GivenUp>>,
    /// What was given up since: its place may not be taken yet.
    unconfirmed: Pile<GivenUp>,
    closing: VecDeque<Blocks>,
    /// Blocks of sources whose lines are to be read in full once more.
    relearning: VecDeque<Blocks>,
    /// Series that nobody had touched up to the interval of that number.
    idle: VecDeque<(u32, Flow<Slot>)>,
}

#[derive(Debug)]
enum GivenUp {
    Slot(Slot),
    Block(u32),
    Source(u32),
}

// What a source has, or had, until it is gone through.
#[derive(Debug)]
struct Blocks {
    source: u32,
    blocks: Vec<u32>,
}

/// How much is done at once: some tens of microseconds.
const AT_ONCE: usize = 64;

impl Tidy {
    pub(super) fn next_interval(&mut self, idle: Pile<Slot>, idle_through: u32) {
        if !self.unconfirmed.is_empty() {
            self.confirmed.push_back(std::mem::take(&mut self.unconfirmed).into_iter());
        }
        if !idle.is_empty() {
            self.idle.push_back((idle_through, idle.into_iter()));
        }
    }

    pub(super) fn close(&mut self, source: u32, blocks: Vec<u32>) {
        self.closing.push_back(Blocks { source, blocks });
    }
}

// The next of the first flow that still has one.
fn next<T>(flows: &mut VecDeque<Flow<T>>) -> Option<T> {
    while let Some(flow) = flows.front_mut() {
        if let Some(item) = flow.next() {
            return Some(item);
        }
        flows.pop_front();
    }
    None
}

impl Shard {
    /// Does a little of the work that can wait: forgets series that nobody uses any more and those
    /// of closed sources. Returns whether there is more of it.
    ///
    /// To be called between batches; without it no memory is given back.
    pub fn tidy(&mut self) -> bool {
        for _ in 0..AT_ONCE {
            if let Some(given_up) = next(&mut self.tidy.confirmed) {
                self.reuse(&given_up);
            } else if let Some(closing) = self.tidy.closing.front_mut() {
                let source = closing.source;
                if let Some(block) = closing.blocks.pop() {
                    self.forget_block(block);
                } else {
                    self.tidy.closing.pop_front();
                    self.tidy.unconfirmed.push(GivenUp::Source(source));
                }
            } else if let Some(relearning) = self.tidy.relearning.front_mut() {
                let source = relearning.source;
                match relearning.blocks.pop() {
                    Some(block) => self.forget_spellings_in(block, source),
                    None => drop(self.tidy.relearning.pop_front()),
                }
            } else if let Some((through, slots)) = self.tidy.idle.front_mut() {
                let through = *through;
                match slots.next() {
                    Some(slot) => self.forget_if_idle(slot, through),
                    None => drop(self.tidy.idle.pop_front()),
                }
            } else {
                return false;
            }
        }
        true
    }

    fn reuse(&mut self, given_up: &GivenUp) {
        match *given_up {
            GivenUp::Source(index) => self.vacant_accounts.push(index),
            GivenUp::Block(number) => self.roster.vacate(number),
            GivenUp::Slot(slot) => {
                let number = slot.block() as u32;
                let Some(block) = self.roster.block_mut(number) else { return };
                let account = &mut self.accounts[block.source as usize];
                // A closed source's blocks go whole.
                if account.source.is_none() {
                    return;
                }
                if !block.has_room() {
                    account.spare.push(number);
                }
                block.free(slot.place());
                if !block.is_empty() {
                    return;
                }
                let at = block.at;
                account.blocks.swap_remove(at as usize);
                if let Some(moved) = account.blocks.get(at as usize)
                    && let Some(moved) = self.roster.block_mut(*moved)
                {
                    moved.at = at;
                }
                self.roster.remove_block(number);
                self.roster.vacate(number);
            }
        }
    }

    fn forget_if_idle(&mut self, slot: Slot, through: u32) {
        let Some((source, series)) = self.roster.get(slot) else { return };
        // Touched since: the flush side will see that for itself.
        if series.touched > through {
            return;
        }
        let account = &mut self.accounts[source as usize];
        if account.source.is_some() {
            account.series -= 1;
            self.config.total_series.give_back(1);
            self.forget(slot, source);
            self.running.forgotten.push(slot);
            self.tidy.unconfirmed.push(GivenUp::Slot(slot));
        }
    }

    fn forget_block(&mut self, number: u32) {
        if let Some(block) = self.roster.block(number) {
            let source = block.source;
            let places: Vec<_> = block.series().map(|(place, _)| place).collect();
            for place in places {
                self.forget(Slot::new(number as usize, place), source);
            }
            self.roster.remove_block(number);
            self.tidy.unconfirmed.push(GivenUp::Block(number));
        }
    }

    fn forget(&mut self, slot: Slot, source: u32) {
        self.forget_spellings_of(slot, source);
        if let Some(series) = self.roster.remove(slot) {
            let serial = self.accounts[source as usize].serial;
            let plain = self.hash_plain(serial, series.key.kind(), series.key.as_bytes());
            self.index.remove(plain, Target::Series(slot));
        }
    }

    /// Empties the memo: from now on every line is read in full once more.
    ///
    /// For when lines are to be read in another way. Takes a time that depends on the number of
    /// series.
    pub fn forget_spellings(&mut self) {
        let slots: Vec<_> = self.roster.slots().collect();
        for (slot, source) in slots {
            self.forget_spellings_of(slot, source);
        }
    }

    /// Has every line of a source read in full once more, soon: for when its lines are to be
    /// recorded in another way. Series that it has stay.
    pub fn relearn(&mut self, source: SourceIndex) {
        let blocks = self.accounts[source.get()].blocks.clone();
        self.tidy.relearning.push_back(Blocks { source: source.index, blocks });
    }

    fn forget_spellings_in(&mut self, block: u32, source: u32) {
        // Given back meanwhile, and perhaps another source's by now.
        let block_of_it = self.roster.block(block).filter(|it| it.source == source);
        let series = block_of_it.into_iter().flat_map(Block::series);
        let slots: Vec<_> = series.map(|(place, _)| Slot::new(block as usize, place)).collect();
        for slot in slots {
            self.forget_spellings_of(slot, source);
        }
    }

    fn forget_spellings_of(&mut self, slot: Slot, source: u32) {
        let Some(series) = self.roster.get_mut(slot) else { return };
        let key = series.key.clone();
        let order = series.order.take();
        let mut next = std::mem::replace(&mut series.spellings, spellings::NONE);
        while let Some(stored) = self.spellings.remove(next) {
            self.index.remove(stored.hash, Target::Stored(next));
            let account = &mut self.accounts[source as usize];
            account.spellings = account.spellings.saturating_sub(1);
            next = stored.next;
        }
        let serial = self.accounts[source as usize].serial;
        if let Some(order) = order {
            let ordered = self.hash_ordered(serial, &key, order);
            self.index.remove(ordered, Target::Ordered(slot));
        }
        let plain = self.hash_plain(serial, key.kind(), key.as_bytes());
        self.index.replace(plain, Target::Plain(slot), Target::Series(slot));
    }

    fn hash_ordered(&mut self, serial: u32, key: &SeriesKey, order: Order) -> u64 {
        let mut section = std::mem::take(&mut self.scratch.section);
        section.clear();
        order.write(key, &mut section);
        let name = key.spelled().name;
        let sections = [&*section, b""];
        let hash = self.hash(serial, &Spelling { name, kind: key.kind(), meter: false, sections });
        self.scratch.section = section;
        hash
    }
}
