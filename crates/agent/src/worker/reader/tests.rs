use std::sync::mpsc::{Receiver, channel, sync_channel};

use aggregate::{Flush, FlushConfig, ShardConfig};
use enrich::Contexts;
use metric::Origin;

use super::*;
use crate::config::{Limits, TagRule};

fn reader(claims: usize, rules: &[TagRule]) -> (Reader, Receiver<flush::Message>) {
    let (contexts, _poller, _retired) = Contexts::new(enrich::Config::default()).unwrap();
    let terms = Terms::new(&Limits::default(), rules, contexts);
    let (flush, ended) = channel();
    let complaints = Complaints::new(sync_channel(1).0);
    let shard = Shard::new(ShardConfig::default());
    (Reader::new(shard, (Claims::new(claims), terms), complaints, flush), ended)
}

fn trusted() -> Arc<Source> {
    let read_as = ReadAs { trust_container: true, ..ReadAs::default() };
    Source::new(Origin::Listener { listener: "udp://l:1".into() }, read_as)
}

fn read(reader: &mut Reader, listener: &Arc<Source>, lines: &str) {
    let index = reader.index_of(listener);
    let (now, at, read_as) = (1_700_000_000, Instant::now(), listener.read_as);
    let batch = Batch { listener, read_as, now, at };
    read_lines(reader, lines.as_bytes(), Via { batch: &batch, index });
}

// Ahead of their series, as when those outgrow the cache.
fn read_lines(reader: &mut Reader, bytes: &[u8], via: Via<'_>) {
    let mut ahead = Ahead { lines: SmallVec::new(), pays: true };
    reader.read_lines(bytes, via, &mut ahead);
    reader.read_ahead(&mut ahead);
}

/// How many samples were aggregated by container, `-` being the listener.
fn aggregated(reader: &mut Reader) -> Vec<(String, u64)> {
    let line = |account: SourceAccount| {
        let id = account.source.container_id().map_or("-".to_owned(), ToString::to_string);
        (id + if account.ended { " ended" } else { "" }, account.counts.aggregated)
    };
    let mut lines: Vec<_> = reader.accounts().sources.into_iter().map(line).collect();
    lines.sort_unstable();
    lines
}

fn lines<const N: usize>(lines: [(&str, u64); N]) -> Vec<(String, u64)> {
    lines.map(|(id, count)| (id.to_owned(), count)).to_vec()
}

#[test]
fn a_container_that_clients_name_no_more_makes_room_for_another() {
    let (mut reader, ended) = reader(1, &[]);
    let listener = trusted();
    read(&mut reader, &listener, "a:1|c|c:one\na:1|c|c:two\na:1|c|c:one");
    assert_eq!(aggregated(&mut reader), lines([("-", 1), ("one", 2)]));

    // It has a series as long as that does not expire.
    let later = Instant::now() + CLAIM_LIFE;
    reader.close_idle_claims(later);
    assert_eq!(aggregated(&mut reader), lines([("-", 1), ("one", 2)]));
    let series_expiry = Duration::from_secs(1);
    let mut flush = Flush::new(FlushConfig { series_expiry, ..FlushConfig::default() });
    let mut spare = Interval::default();
    for second in 0..4 {
        let full = reader.swap(spare);
        let merged = flush.merge(vec![full], Duration::from_secs(second), &mut |_, _| ());
        spare = merged.intervals.into_iter().next().unwrap();
        while reader.tidy() {}
    }
    assert!(ended.try_recv().is_err(), "it is not idle for long enough");
    read(&mut reader, &listener, "bad|c:one\na:x|c|c:one");
    reader.close_idle_claims(later + CLAIM_LIFE);
    assert!(ended.try_recv().is_err(), "it was named meanwhile");
    reader.close_idle_claims(later + 2 * CLAIM_LIFE);
    assert!(matches!(ended.try_recv(), Ok(flush::Message::Ended(_))));
    assert_eq!(aggregated(&mut reader), lines([("-", 1), ("one ended", 2)]));

    read(&mut reader, &listener, "a:1|c|c:two\na:1|c|c:one");
    assert_eq!(aggregated(&mut reader), lines([("-", 2), ("one ended", 2), ("two", 1)]));
}

#[test]
fn what_a_rule_drops_is_counted_for_whom_the_line_names() {
    let rule = TagRule { metric: "a".into(), drop: true, ..TagRule::default() };
    let (mut reader, _ended) = reader(10, &[rule]);
    let listener = trusted();
    for _ in 0..3 {
        read(&mut reader, &listener, "a:1|c|c:one\na:1|c\nb:1|c|c:one\na:1:2|ms|c:one");
    }
    let counts: Vec<_> = reader.accounts().sources;
    for account in &counts {
        let dropped = account.counts.rejected.get(Reason::DroppedByRule);
        let is_listener = account.source.container_id().is_none();
        assert_eq!((dropped, account.counts.aggregated), if is_listener { (3, 0) } else { (9, 3) });
        assert!(account.counts.adds_up());
    }
    assert_eq!(counts.len(), 2);
}

#[test]
fn a_throttled_datagram_has_as_many_samples_as_one_that_is_read() {
    let (mut reader, _ended) = reader(10, &[]);
    let container = Source::new(Origin::Container { container_id: "c".into() }, ReadAs::default());
    let index = reader.index_of(&container);
    let at = Instant::now();
    let batch = Batch { listener: &container, read_as: container.read_as, now: 1, at };
    let via = Via { batch: &batch, index };
    for bytes in [&b"a:1|c\nb:1:2:x|ms\nc\n\n_sc|a|0\n_e{1,1}:a|b\nd:u:v|s|@1"[..], b"", b"cut:1|c"]
    {
        for truncated in [false, true] {
            let before = *reader.shard.counts_mut(index);
            reader.throttle(&Packet { bytes, truncated, sender: None }, via);
            let throttled = *reader.shard.counts_mut(index);
            let samples = throttled.throttled.samples - before.throttled.samples;
            assert_eq!(throttled.received.samples - before.received.samples, samples);
            assert_eq!(throttled.truncated - before.truncated, u64::from(truncated));

            let whole = if truncated { statsd::split_cut(bytes).0 } else { bytes };
            read_lines(&mut reader, whole, via);
            let read = reader.shard.counts_mut(index).received.samples;
            assert_eq!(read - throttled.received.samples + u64::from(truncated), samples);
        }
    }
    assert!(reader.shard.counts_mut(index).adds_up());
}
