use aggregate::{Shard, SourceIndex};
use ship::Inlet;

/// Where a copy of each line goes of which a sample was kept: to every relay, mostly none.
#[derive(Default)]
pub(super) struct Relays(Vec<Inlet>);

impl Relays {
    /// From now on those of these outputs are left out, and the others are there too. What was put
    /// before is handed over.
    pub(super) fn change(&mut self, without: &[String], inlets: Vec<Inlet>) {
        self.end_batch();
        self.0.retain(|inlet| !without.iter().any(|output| output == inlet.output()));
        self.0.extend(inlets);
    }

    // Hot path: runs once per line.
    pub(super) fn put(&mut self, shard: &Shard, index: SourceIndex, line: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        if let Some(source) = shard.source(index) {
            self.0.iter_mut().for_each(|inlet| inlet.put(source, line));
        }
    }

    /// Hands over what was put.
    // Hot path: runs once per batch.
    pub(super) fn end_batch(&mut self) {
        if !self.0.is_empty() {
            self.0.iter_mut().for_each(Inlet::end_batch);
            self.0.retain(Inlet::is_open);
        }
    }
}
