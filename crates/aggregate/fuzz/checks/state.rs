use std::time::Duration;

use aggregate::{Flush, FlushConfig, Stamp};

/// The bytes of a state file that anybody may have written: refused, or taken up as far as the
/// bounds allow; and what was taken up is written and taken up again as it was.
pub(crate) fn state(input: &[u8]) {
    let stamp = Stamp { wall_ms: 0, since_boot: Duration::from_secs(1), boot: 1 };
    let restore = |bytes: &[u8]| {
        let mut flush = Flush::new(FlushConfig { most_totals: 1_000, ..FlushConfig::default() });
        let restored = flush.restore(&stamp, &mut &*bytes).ok()?;
        assert!(restored.levels <= 1_000 && restored.totals <= 1_000);
        Some((flush, restored))
    };
    let Some((flush, restored)) = restore(input) else { return };
    let mut again = Vec::new();
    let saved = flush.save(Duration::ZERO, &stamp, &mut again).expect("a vector takes all");
    // Two entries of one series are one.
    assert!(saved.levels <= restored.levels && saved.totals <= restored.totals);
    let (_, restored_again) = restore(&again).expect("what was written is whole");
    assert_eq!(restored_again, saved);
}
