use std::collections::HashMap;
use std::time::Instant;

use aggregate::SourceIndex;
use foldhash::fast::RandomState;
use metric::Spelling;

use crate::terms::{Bucket, Grounds, Rules, SourceTerms};

/// How this worker's sources are treated.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    // By their places in the shard.
    tenants: Vec<Tenant>,
    // What all known spellings of dropped metrics take.
    spelling_bytes: usize,
    spelled: Vec<u8>,
}

#[derive(Debug, Default)]
struct Tenant {
    index: Option<SourceIndex>,
    grounds: Grounds,
    bucket: Option<Bucket>,
    rules: Rules,
    ignored: Vec<String>,
    // Changes with the rules.
    generation: u32,
    // How lines that came through its socket spell metrics that are dropped.
    dropped: HashMap<Box<[u8]>, Dropped, RandomState>,
}

/// Of whom something is dropped, and by which generation of its rules.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    of: SourceIndex,
    generation: u32,
}

/// All known spellings of dropped metrics of one worker take at most so much; lines that are
/// spelled in further ways are read in full each time.
const MOST_SPELLING_BYTES: usize = 16 << 20;
/// And one of them so much.
const LONGEST_SPELLING: usize = 1024;

// What a table takes for an entry beside its text, about.
const ENTRY_BYTES: usize = 48;

impl Tenants {
    /// A source was opened.
    pub(super) fn open(&mut self, index: SourceIndex, grounds: Grounds, terms: SourceTerms) {
        if self.tenants.len() <= index.get() {
            self.tenants.resize_with(index.get() + 1, Tenant::default);
        }
        let SourceTerms { bucket, rules, ignored, limits: _ } = terms;
        let index_of_it = Some(index);
        self.tenants[index.get()] =
            Tenant { index: index_of_it, grounds, bucket, rules, ignored, ..Tenant::default() };
    }

    /// A source was closed.
    pub(super) fn close(&mut self, index: SourceIndex) {
        let tenant = std::mem::take(&mut self.tenants[index.get()]);
        let bytes = tenant.dropped.keys().map(|spelled| spelled.len() + ENTRY_BYTES).sum::<usize>();
        self.spelling_bytes -= bytes;
    }

    /// Whether a source's terms were made on these grounds.
    pub(super) fn is_settled(&self, index: SourceIndex, grounds: &Grounds) -> bool {
        self.tenants[index.get()].grounds.are(grounds)
    }

    /// Whether other settings of a source's task are ignored on these terms than before.
    pub(super) fn ignores_others(&self, index: SourceIndex, terms: &SourceTerms) -> bool {
        self.tenants[index.get()].ignored != terms.ignored
    }

    /// A source has other terms now. Whether other rules are among them.
    pub(super) fn change(
        &mut self,
        index: SourceIndex,
        grounds: Grounds,
        terms: SourceTerms,
    ) -> bool {
        let SourceTerms { bucket, rules, ignored, limits: _ } = terms;
        let tenant = &mut self.tenants[index.get()];
        (tenant.grounds, tenant.ignored) = (grounds, ignored);
        // What was taken out of one that stays as it was is not given back.
        let stays = matches!((&tenant.bucket, &bucket), (Some(had), Some(has)) if had.is_as(has));
        if !stays {
            tenant.bucket = bucket;
        }
        let has_changed = !tenant.rules.are(&rules);
        if has_changed {
            tenant.rules = rules;
            tenant.generation = tenant.generation.wrapping_add(1);
        }
        has_changed
    }

    /// Whether a source may send so many bytes now.
    // Hot path: runs once per datagram.
    pub(super) fn admits(&mut self, index: SourceIndex, bytes: usize, now: Instant) -> bool {
        match &mut self.tenants[index.get()].bucket {
            Some(bucket) => bucket.take(bytes, now),
            None => true,
        }
    }

    pub(super) fn rules(&self, index: SourceIndex) -> &Rules {
        &self.tenants[index.get()].rules
    }

    /// Whose metric it is that is spelled so, if it is known that it is dropped.
    pub(super) fn whose_dropped(
        &mut self,
        via: SourceIndex,
        spelling: &Spelling<'_>,
    ) -> Option<SourceIndex> {
        let dropped = &self.tenants[via.get()].dropped;
        if dropped.is_empty() {
            return None;
        }
        self.spelled.clear();
        spelling.write(&mut self.spelled);
        let Dropped { of, generation } = *dropped.get(&*self.spelled)?;
        let whose = &self.tenants[of.get()];
        // It may have been closed, or have other rules by now.
        (whose.index == Some(of) && whose.generation == generation).then_some(of)
    }

    /// Remembers that lines which are spelled so are dropped.
    pub(super) fn remember_dropped(
        &mut self,
        via: SourceIndex,
        spelling: &Spelling<'_>,
        of: SourceIndex,
    ) {
        let bytes = spelling.stored_len() + ENTRY_BYTES;
        let has_room = self.spelling_bytes + bytes <= MOST_SPELLING_BYTES;
        if spelling.stored_len() > LONGEST_SPELLING || !has_room {
            return;
        }
        let mut spelled = Vec::with_capacity(spelling.stored_len());
        spelling.write(&mut spelled);
        let dropped = Dropped { of, generation: self.tenants[of.get()].generation };
        if self.tenants[via.get()].dropped.insert(spelled.into(), dropped).is_none() {
            self.spelling_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use aggregate::{Limits, Shard, ShardConfig};
    use enrich::{Contexts, Settings};
    use metric::{Kind, Origin, ReadAs, Source};

    use super::*;
    use crate::config::TagRule;
    use crate::terms::Terms;

    fn spelling(name: &str) -> Spelling<'_> {
        Spelling { name: name.as_bytes(), kind: Kind::Counter, meter: false, sections: [b"", b""] }
    }

    #[test]
    fn what_is_known_to_be_dropped_is_forgotten_with_its_source_and_with_its_rules() {
        let (contexts, _poller, _retired) = Contexts::new(enrich::Config::default()).unwrap();
        let rule = TagRule { task_name: "t".into(), drop: true, ..TagRule::default() };
        let terms = Terms::new(&crate::config::Limits::default(), &[rule], contexts);
        let source = Source::new(Origin::Listener { listener: "l".into() }, ReadAs::default());
        let mut shard = Shard::new(ShardConfig::default());
        let mut tenants = Tenants::default();
        let open = |tenants: &mut Tenants, shard: &mut Shard| {
            let index = shard.open_source(source.clone(), Limits::NONE);
            tenants.open(index, Grounds::default(), terms.of(&source, &Grounds::default()));
            index
        };
        let [via, claimed] = [0; 2].map(|_| open(&mut tenants, &mut shard));
        assert_eq!(tenants.whose_dropped(via, &spelling("a")), None);
        tenants.remember_dropped(via, &spelling("a"), claimed);
        tenants.remember_dropped(via, &spelling("b"), via);
        tenants.remember_dropped(via, &spelling(&"x".repeat(2_000)), via);
        assert_eq!(tenants.whose_dropped(via, &spelling("a")), Some(claimed));
        assert_eq!(tenants.whose_dropped(via, &spelling("b")), Some(via));
        assert_eq!(tenants.whose_dropped(via, &spelling("c")), None);
        assert_eq!(tenants.whose_dropped(claimed, &spelling("a")), None);

        let settings = Settings { task_name: "t".into(), ..Settings::default() };
        let grounds = Grounds::of(Some(settings));
        assert!(tenants.change(claimed, grounds.clone(), terms.of(&source, &grounds)));
        assert_eq!(tenants.whose_dropped(via, &spelling("a")), None);
        assert!(!tenants.change(claimed, grounds.clone(), terms.of(&source, &grounds)));
        assert!(tenants.is_settled(claimed, &grounds));
        assert!(!tenants.is_settled(claimed, &Grounds::default()));
        tenants.remember_dropped(via, &spelling("a"), claimed);
        assert_eq!(tenants.whose_dropped(via, &spelling("a")), Some(claimed));

        // Another source in the place of one that was closed is not taken for it.
        tenants.close(claimed);
        assert_eq!(tenants.whose_dropped(via, &spelling("a")), None);
        shard.close_source(claimed).unwrap();
        shard.swap(aggregate::Interval::default());
        while shard.tidy() {}
        shard.swap(aggregate::Interval::default());
        while shard.tidy() {}
        let later = open(&mut tenants, &mut shard);
        assert_eq!(later.get(), claimed.get());
        assert_eq!(tenants.whose_dropped(via, &spelling("a")), None);
        tenants.close(via);
        assert_eq!(tenants.spelling_bytes, 0);
    }

    #[test]
    fn no_more_is_remembered_of_what_is_dropped_than_the_bound() {
        let mut tenants = Tenants::default();
        let mut shard = Shard::new(ShardConfig::default());
        let source = Source::new(Origin::Listener { listener: "l".into() }, ReadAs::default());
        let (contexts, _poller, _retired) = Contexts::new(enrich::Config::default()).unwrap();
        let terms = Terms::new(&crate::config::Limits::default(), &[], contexts);
        let via = shard.open_source(source.clone(), Limits::NONE);
        tenants.open(via, Grounds::default(), terms.of(&source, &Grounds::default()));
        let long = "x".repeat(1_000);
        for n in 0..20_000 {
            tenants.remember_dropped(via, &spelling(&format!("{long}{n:05}")), via);
        }
        assert!(tenants.spelling_bytes <= MOST_SPELLING_BYTES);
        assert!((15_000..16_500).contains(&tenants.tenants[via.get()].dropped.len()));
    }
}
