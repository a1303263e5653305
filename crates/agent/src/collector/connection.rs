use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use enrich::Measured;
use metric::{Counts, Datapoint, Reason, Source};
use ship::read::{Block, ReadError, Reader};
use tokio::runtime::Handle as Runtime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::list::Examples;
use super::pace::{Pace, Paced};
use super::throttle::{Throttle, Verdict};
use super::{BLOCK_BYTES, Streams, list, lock};
use crate::ends::Now;
use crate::flush::Message;
use crate::worker::Trouble;

/// One sender.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) peer: SocketAddr,
    pub(super) streams: Streams,
    pub(super) runtime: Runtime,
    pub(super) stop: CancellationToken,
}

/// Why a connection is ended by us.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("its header: {0}")]
    Header(ReadError),
    #[error("{0}")]
    Block(#[from] ReadError),
    #[error("its records are {0:?}, not dcos.metrics.MetricList")]
    Schema(String),
}

impl Connection {
    /// Takes what it sends, until it ends or has to be ended.
    pub(super) fn serve(self, stream: TcpStream) {
        let ended = self.read(stream);
        self.streams.open().remove(&self.number);
        let Err(fault) = ended else { return };
        if let Fault::Block(ReadError::Torn { .. }) = fault {
            // Of the block that was cut something may have been lost.
            self.streams.count(|counts| {
                counts.truncated += 1;
                counts.reject(Reason::Truncated, 1);
            });
            self.streams.complain((Trouble::Rejected(Reason::Truncated), 1), "");
        }
        if self.streams.failed(fault.to_string()) {
            warn!(peer = %self.peer, error = %fault, "an Avro stream was ended");
        }
    }

    fn read(&self, stream: TcpStream) -> Result<(), Fault> {
        let start = Instant::now();
        let pace = Pace::new(start);
        let input = Paced { stream, pace: pace.clone() };
        let mut reader = Reader::open_within(BLOCK_BYTES, input).map_err(Fault::Header)?;
        if !reader.holds_metric_lists() {
            return Err(Fault::Schema(reader.record_name()));
        }
        let mut throttle = Throttle::new(start);
        let mut read = 0;
        loop {
            pace.wait(Instant::now());
            let Some(block) = reader.next_block()? else { return Ok(()) };
            let size = pace.read() - read;
            read = pace.read();
            let verdict = throttle.judge(read, size, Instant::now());
            self.take(block, size, verdict == Verdict::Take)?;
            if let Verdict::DiscardAndRest(rest) = verdict {
                // The sender's own buffer fills, and it counts what it drops.
                let rest = async { self.stop.run_until_cancelled(sleep(rest)).await };
                self.runtime.block_on(rest);
            }
        }
    }

    // Passes on what a block holds, and waits until it is with the outputs; or only counts it.
    fn take(&self, mut block: Block<'_>, size: u64, is_wanted: bool) -> Result<(), ReadError> {
        let one_at_a_time = lock(&self.streams.0.unpacking);
        let now = Now::read();
        let (mut counts, mut examples, mut discarded) =
            (Counts::default(), Examples::default(), String::new());
        counts.received.datagrams += 1;
        counts.received.bytes += size;
        let mut all: HashMap<Arc<Source>, Vec<Datapoint>> = HashMap::new();
        let mut read = Ok(());
        while let Some(list) = block.next_metric_list() {
            match list {
                Ok(list) if is_wanted => {
                    let told = list::read(list, now.wall_ms);
                    counts += told.counts;
                    examples.add_all(told.examples);
                    if !told.datapoints.is_empty() {
                        let source = self.source(told.container.as_ref(), now.at);
                        all.entry(source).or_default().extend(told.datapoints);
                    }
                }
                Ok(list) => {
                    let numbers = list.datapoints.len() as u64;
                    counts.received.samples += numbers;
                    counts.throttled.samples += numbers;
                    if let Some(number) = list.datapoints.first()
                        && discarded.is_empty()
                    {
                        discarded = list::spell(number, &list.tags);
                    }
                }
                Err(error) => {
                    read = Err(error);
                    break;
                }
            }
        }
        if !is_wanted {
            counts.throttled.datagrams += 1;
            counts.throttled.bytes += size;
        }
        self.streams.count(|all| *all += counts);
        drop(one_at_a_time);
        for (reason, example) in examples.iter() {
            let count = counts.rejected.get(reason);
            self.streams.complain((Trouble::Rejected(reason), count), example);
        }
        if counts.throttled.samples > 0 {
            self.streams.complain((Trouble::Discarded, counts.throttled.samples), &discarded);
        }
        self.pass_on(all);
        read
    }

    fn source(&self, container: Option<&list::Container>, now: Instant) -> Arc<Source> {
        let shared = &self.streams.0;
        let claimed = container.and_then(|container| {
            let source = lock(&shared.containers).source(&container.id, now)?;
            let list::Container { id, framework_id, executor_id } = container;
            shared.way_in.contexts.told(id, framework_id, executor_id);
            Some(source)
        });
        claimed.unwrap_or_else(|| shared.source.clone())
    }

    // It waits until they are with the outputs, so that no sender can outrun them.
    fn pass_on(&self, all: HashMap<Arc<Source>, Vec<Datapoint>>) {
        if all.is_empty() {
            return;
        }
        let measured = |(source, datapoints)| Measured { source, datapoints };
        let (done, taken) = mpsc::sync_channel(0);
        let all = all.into_iter().map(measured).collect();
        // At the very end there is no flush thread any more, and the message is gone at once.
        let _ = self.streams.0.way_in.flush.send(Message::Measured { all, done: Some(done) });
        let _ = taken.recv();
    }
}
