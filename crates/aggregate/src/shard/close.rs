use super::account::Account;
use super::roster::Block;
use super::{Shard, SourceIndex};
use crate::part::Part;
use crate::slot::Slot;

impl Shard {
    /// Ends a source: takes its counts, and its part of the running interval. Takes a time that
    /// depends on the number of its series.
    pub fn close_source(&mut self, source: SourceIndex) -> Option<Part> {
        let number = self.running.number;
        let account = self.accounts.get_mut(source.get())?;
        if account.serial != source.serial {
            return None;
        }
        let ended = account.source.take()?;
        let account =
            std::mem::replace(account, Account { serial: account.serial, ..Account::default() });
        let mut shares = Vec::new();
        for block in &account.blocks {
            let series = self.roster.block(*block).into_iter().flat_map(Block::series);
            for (place, series) in series {
                let slot = Slot::new(*block as usize, place);
                if let Some(share) = self.running.take(slot, series.key.kind()) {
                    shares.push((series.key.clone(), share));
                }
            }
        }
        let timed = self.running.timed.take_of(source.index);
        self.config.total_series.give_back(account.series + timed.len());
        // What the flush side has not heard of it need not hear.
        self.running.born.drop_if(|born| born.source == source.index);
        let is_announced = account.opened < number;
        if is_announced {
            self.running.closed.push(source.index);
        } else {
            self.running.opened.retain(|opened| opened.index != source.index);
        }
        self.tidy.close(source.index, account.blocks);
        Some(Part {
            shard: self.config.number,
            interval: number,
            is_announced,
            most_totals: account.limits.most_totals(),
            source: ended,
            counts: account.counts,
            shares,
            timed,
        })
    }
}
