use std::sync::Arc;

use bytes::Bytes;
use metric::Batch;

mod list;
mod point;
mod unit;

use crate::avro::Object;
use crate::inbox::{Inbox, Item};
use crate::ledger::{Account, DropReason};
use crate::ocf::{self, STREAM_MARKER};
use crate::outlet::Outlet;
use crate::priority::Backlog;
use crate::queue::{Next, Payload, Queue};
use crate::{Codec, Counters, Destination, OutputConfig, OutputLedger, Schema, Tags};

/// A block is complete when its objects have this many bytes, or at the end of a flush.
const BLOCK_BYTES: usize = 1 << 20;

/// The same in a stream: what a live block waits for behind one of the backlog, and the least that
/// is sent again. Nothing is compressed there, so small blocks cost nothing.
const STREAM_BLOCK_BYTES: usize = 64 << 10;

/// A file that is posted takes no further block when it has this many bytes.
const FILE_BYTES: usize = 4 << 20;

/// Turns an output's batches into payloads of its destination's form.
pub(crate) struct Encoder {
    records: Records,
    schema: Schema,
    codec: Codec,
    framing: Framing,
    block_bytes: usize,
    file_bytes: usize,
    block: Block,
    file: File,
    account: Arc<Account>,
    outlet: Outlet,
}

#[derive(Clone)]
enum Records {
    Points { boot_id: Arc<str> },
    Lists { tags: Tags, counters: Counters },
}

/// What one payload is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// A block without its marker: the file that it will stand in has its own.
    Block,
    /// A block with the stream's marker.
    StreamBlock,
    /// A whole file.
    File,
}

/// The block that is being filled.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    objects: u64,
    points: u64,
}

/// The file that is being filled, where a payload is a file.
#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    marker: ocf::Marker,
    points: u64,
}

impl Encoder {
    pub(crate) fn new(
        config: &OutputConfig,
        boot_id: &str,
        account: Arc<Account>,
        outlet: Outlet,
    ) -> Self {
        let records = match config.schema {
            Schema::Points => Records::Points { boot_id: boot_id.into() },
            Schema::MetricList => Records::Lists { tags: config.tags, counters: config.counters },
        };
        let (framing, block_bytes) = match config.destination {
            // Lines are not encoded.
            Destination::File(_) | Destination::StatsdUdp { .. } => (Framing::Block, BLOCK_BYTES),
            Destination::AvroTcp { .. } => (Framing::StreamBlock, STREAM_BLOCK_BYTES),
            Destination::Http(_) => (Framing::File, BLOCK_BYTES),
        };
        // A payload must fit the queue, and the queue should hold several.
        let share = outlet.bound() / 4;
        Self {
            records,
            schema: config.schema,
            codec: config.codec,
            framing,
            block_bytes: share.min(block_bytes),
            file_bytes: share.min(FILE_BYTES),
            block: Block::default(),
            file: File::default(),
            account,
            outlet,
        }
    }

    /// Encodes what comes until the inbox is closed and empty, then closes the outlet. It pauses
    /// between two batches while workers are behind, unless the flush is in a hurry.
    pub(crate) fn run(mut self, inbox: &Inbox, backlog: &Backlog) {
        while let Some(item) = inbox.take() {
            if !inbox.is_hurried() {
                backlog.give_way();
            }
            match item {
                Item::Batch(batch) => self.add(&batch),
                Item::EndOfFlush => self.end_flush(),
            }
        }
        self.end_flush();
        self.outlet.close();
    }

    fn add(&mut self, batch: &Batch) {
        match self.records.clone() {
            Records::Points { boot_id } => {
                point::each(batch, &boot_id, |record| self.put(record, 1));
            }
            Records::Lists { tags, counters } => {
                list::each(batch, tags, counters, |record, points| self.put(record, points));
            }
        }
    }

    // Hot path: runs once per point.
    fn put(&mut self, object: Option<&impl Object>, points: u64) {
        match object {
            Some(object) => {
                object.write(&mut self.block.bytes);
                self.block.objects += 1;
                self.block.points += points;
            }
            None => self.account.lose(points, DropReason::Unencodable),
        }
        if self.block.bytes.len() >= self.block_bytes {
            self.end_block();
        }
    }

    fn end_flush(&mut self) {
        self.end_block();
        self.end_file();
        self.outlet.end_flush();
    }

    fn end_block(&mut self) {
        let Block { objects, points, .. } = self.block;
        if objects == 0 {
            return;
        }
        let body = &mut self.block.bytes;
        if let Err(error) = self.codec.compress(body) {
            self.account.error(format!("cannot compress a block: {error}"));
            self.account.lose(points, DropReason::Unencodable);
        } else if self.framing == Framing::File {
            let file = &mut self.file;
            if file.bytes.is_empty() {
                file.marker = ocf::new_marker();
                file.bytes = ocf::header(self.schema, self.codec, &file.marker);
            }
            ocf::write_block(&mut file.bytes, objects, body);
            file.bytes.extend_from_slice(&file.marker);
            file.points += points;
        } else {
            let mut bytes = Vec::with_capacity(body.len() + ocf::BLOCK_HEAD + STREAM_MARKER.len());
            ocf::write_block(&mut bytes, objects, body);
            if self.framing == Framing::StreamBlock {
                bytes.extend_from_slice(&STREAM_MARKER);
            }
            self.outlet.push(Payload { bytes: bytes.into(), points });
        }
        self.block.bytes.clear();
        self.block.objects = 0;
        self.block.points = 0;
        if self.file.bytes.len() >= self.file_bytes {
            self.end_file();
        }
    }

    fn end_file(&mut self) {
        if self.file.points > 0 {
            let bytes = Bytes::from(std::mem::take(&mut self.file.bytes));
            self.outlet.push(Payload { bytes, points: std::mem::take(&mut self.file.points) });
        }
    }
}

/// What an output of these settings makes of one flush, without sending it: its payloads, blocks or
/// whole files as its destination takes them, however many, and the account of them.
pub fn encode(
    config: &OutputConfig,
    boot_id: &str,
    batches: &[Batch],
) -> (Vec<Bytes>, OutputLedger) {
    let (payloads, account) = encode_within(usize::MAX, config, boot_id, batches);
    (payloads.into_iter().map(|payload| payload.bytes).collect(), account.ledger())
}

/// The same with a queue of so many bytes.
fn encode_within(
    queue_bytes: usize,
    config: &OutputConfig,
    boot_id: &str,
    batches: &[Batch],
) -> (Vec<Payload>, Arc<Account>) {
    let account = Arc::new(Account::new(config.name(), true));
    let queue = Arc::new(Queue::new(queue_bytes, Arc::clone(&account)));
    let outlet = Outlet::Files(Arc::clone(&queue));
    let mut encoder = Encoder::new(config, boot_id, Arc::clone(&account), outlet);
    for batch in batches {
        account.offer(batch.len() as u64);
        encoder.add(batch);
    }
    encoder.end_flush();
    let mut payloads = Vec::new();
    while let Next::Payload(payload) = queue.try_take() {
        payloads.push(payload);
    }
    (payloads, account)
}

/// The container that a batch is of; empty for a shared listener's own points.
fn container_id(batch: &Batch) -> &str {
    let known = batch.dimensions.container_id.as_str();
    if known.is_empty() { batch.source.container_id().map_or("", AsRef::as_ref) } else { known }
}

#[cfg(test)]
pub(crate) mod tests;
