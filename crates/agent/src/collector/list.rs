use metric::{
    Counts, Datapoint, Dimensions, Kind, Note, Notes, Reason, SeriesKey, Tag, UnixMillis, Value,
    check_container_id,
};
use ship::read::{ListDatapoint, ListTag, MetricList};

// The bounds of a sample's.
const NAME_BYTES: usize = 1024;
const TAGS: usize = 64;
const TAG_BYTES: usize = 4096;

/// A number may come from a clock that is a little ahead.
const AHEAD_MS: i64 = 600_000;

/// What a list says, in our words.
#[derive(Debug)]
pub(super) struct Told {
    /// Of which container; `None` if of none that is known, or that can be one.
    pub(super) container: Option<Container>,
    /// All gauges, for a list does not tell what its numbers mean.
    pub(super) datapoints: Vec<Datapoint>,
    /// What became of its numbers.
    pub(super) counts: Counts,
    /// The first number that was refused for each reason.
    pub(super) examples: Examples,
}

/// Numbers that were refused, one for each reason.
#[derive(Debug, Default)]
pub(super) struct Examples(Vec<(Reason, String)>);

impl Examples {
    /// Adds one, if it is the first.
    pub(super) fn add(&mut self, reason: Reason, example: impl FnOnce() -> String) {
        if self.0.iter().all(|(known, _)| *known != reason) {
            self.0.push((reason, example()));
        }
    }

    /// Adds those of other reasons.
    pub(super) fn add_all(&mut self, others: Self) {
        for (reason, example) in others.0 {
            self.add(reason, || example);
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Reason, &str)> {
        self.0.iter().map(|(reason, example)| (*reason, example.as_str()))
    }
}

/// A container by the word of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    /// Empty if not told, as the executor's.
    pub(super) framework_id: String,
    pub(super) executor_id: String,
}

/// Reads a list that came at this moment, in unix milliseconds.
pub(super) fn read(list: MetricList, now_ms: i64) -> Told {
    let (mut counts, mut examples) = (Counts::default(), Examples::default());
    let numbers = list.datapoints.len() as u64;
    let (container, mut tags) = identify(list.tags);
    let mut notes = Notes::NONE;
    let before = tags.len();
    tags.retain(|tag| !tag.key.is_empty());
    if tags.len() < before {
        notes.insert(Note::EmptyTag);
    }
    let bytes: usize = tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
    if tags.len() > TAGS || bytes > TAG_BYTES {
        let reason = if tags.len() > TAGS { Reason::TooManyTags } else { Reason::TooLong };
        counts.reject(reason, numbers);
        if let Some(number) = list.datapoints.first() {
            examples.add(reason, || spell(number, &tags));
        }
        return Told { container, datapoints: Vec::new(), counts, examples };
    }
    if tags.iter().any(|tag| Dimensions::is_identity(&tag.key)) {
        notes.insert(Note::TagClash);
    }
    let mut keyed: Vec<_> = tags.iter().map(|tag| Tag::new(&tag.key, &tag.value)).collect();
    keyed.sort_unstable();
    keyed.dedup();
    let mut datapoints = Vec::with_capacity(list.datapoints.len());
    for number in &list.datapoints {
        let reason = match number.name.len() {
            0 => Some(Reason::EmptyName),
            1..=NAME_BYTES => (!number.value.is_finite()).then_some(Reason::NotFinite),
            _ => Some(Reason::TooLong),
        };
        if let Some(reason) = reason {
            counts.reject(reason, 1);
            examples.add(reason, || spell(number, &tags));
            continue;
        }
        let is_believable = (1..=now_ms + AHEAD_MS).contains(&number.time_ms);
        if !is_believable {
            notes.insert(Note::BadTimestamp);
        }
        datapoints.push(Datapoint {
            key: SeriesKey::new(Kind::Gauge, &number.name, &keyed),
            timestamp: is_believable.then_some(UnixMillis(number.time_ms)),
            value: Value::Gauge(number.value),
        });
    }
    counts.received.samples += datapoints.len() as u64;
    counts.aggregated += datapoints.len() as u64;
    if !datapoints.is_empty() {
        counts.note(notes);
    }
    Told { container, datapoints, counts, examples }
}

/// A number as a line would have it, about as far as an example goes.
pub(super) fn spell(number: &ListDatapoint, tags: &[ListTag]) -> String {
    let mut spelled = format!("{}:{}|g", cut(&number.name), number.value);
    for (place, tag) in tags.iter().enumerate().take(8) {
        let mark = if place == 0 { "|#" } else { "," };
        spelled.extend([mark, cut(&tag.key), ":", cut(&tag.value)]);
    }
    spelled
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

// The container that the tags name, and the other tags.
fn identify(tags: Vec<ListTag>) -> (Option<Container>, Vec<ListTag>) {
    let is_id = |tag: &ListTag| tag.key == "container_id" && check_container_id(&tag.value).is_ok();
    let Some(place) = tags.iter().position(is_id) else { return (None, tags) };
    let mut container = Container {
        id: tags[place].value.clone(),
        framework_id: String::new(),
        executor_id: String::new(),
    };
    let mut others = Vec::with_capacity(tags.len());
    for (at, tag) in tags.into_iter().enumerate() {
        let known = match tag.key.as_str() {
            "framework_id" => &mut container.framework_id,
            "executor_id" => &mut container.executor_id,
            _ => {
                if at != place {
                    others.push(tag);
                }
                continue;
            }
        };
        // The module's own come first: one that a task sent itself is one of its tags.
        if at < place && known.is_empty() {
            *known = tag.value;
        } else {
            others.push(tag);
        }
    }
    (Some(container), others)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn list(tags: &[(&str, &str)], datapoints: &[(&str, i64, f64)]) -> MetricList {
        let tag = |(key, value): &(&str, &str)| ListTag {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let datapoint = |(name, time_ms, value): &(&str, i64, f64)| ListDatapoint {
            name: (*name).to_owned(),
            time_ms: *time_ms,
            value: *value,
        };
        MetricList {
            topic: "f".to_owned(),
            tags: tags.iter().map(tag).collect(),
            datapoints: datapoints.iter().map(datapoint).collect(),
        }
    }

    fn spelled(told: &Told) -> Vec<String> {
        told.datapoints.iter().map(|datapoint| format!("{:?}", datapoint.key)).collect()
    }

    #[test]
    fn the_modules_three_tags_are_the_container_and_a_tasks_own_are_tags() {
        let told = read(
            list(
                &[
                    ("framework_id", "F"),
                    ("executor_id", "E"),
                    ("container_id", "c"),
                    ("shard", "6"),
                    ("container_id", "forged"),
                    ("executor_id", "forged"),
                    ("", "v"),
                    ("a", ""),
                    ("shard", "6"),
                ],
                &[("n", NOW - 123, 1.5), ("n", NOW - 123, 2.0)],
            ),
            NOW,
        );
        let container =
            Container { id: "c".into(), framework_id: "F".into(), executor_id: "E".into() };
        assert_eq!(told.container, Some(container));
        let key = "n|g|#a:,container_id:forged,executor_id:forged,shard:6";
        assert_eq!(spelled(&told), [key, key]);
        assert_eq!(told.datapoints[0].timestamp, Some(UnixMillis(NOW - 123)));
        assert_eq!((told.counts.received.samples, told.counts.aggregated), (2, 2));
        let noted = [Note::EmptyTag, Note::TagClash].map(|note| told.counts.notes.get(note));
        assert_eq!(noted, [1, 1]);
    }

    #[test]
    fn a_list_of_no_container_is_kept_with_none() {
        let told = read(list(&[], &[("n", 1, 1.0)]), NOW);
        assert_eq!((told.container.is_none(), told.datapoints.len()), (true, 1));
        // What cannot be an id names no container either.
        let told =
            read(list(&[("executor_id", "E"), ("container_id", "../x")], &[("n", 1, 1.0)]), NOW);
        assert_eq!(told.container, None);
        assert_eq!(spelled(&told), ["n|g|#container_id:../x,executor_id:E"]);
    }

    #[test]
    fn a_number_that_cannot_be_kept_is_refused_with_its_reason() {
        let long = "x".repeat(NAME_BYTES + 1);
        let numbers = [
            ("", 1, 1.0),
            ("nan", 1, f64::NAN),
            ("inf", 1, f64::INFINITY),
            (long.as_str(), 1, 1.0),
            ("good", 1, 1.0),
        ];
        let told = read(list(&[], &numbers), NOW);
        assert_eq!(spelled(&told), ["good|g"]);
        let counts = told.counts;
        assert!(counts.adds_up());
        let reasons = [Reason::EmptyName, Reason::NotFinite, Reason::TooLong];
        assert_eq!(reasons.map(|reason| counts.rejected.get(reason)), [1, 2, 1]);
        assert_eq!(counts.received.samples, 5);
        let examples: Vec<_> = told.examples.iter().collect();
        let cut = format!("{}:1|g", &long[..200]);
        let expected =
            [(reasons[0], ":1|g"), (reasons[1], "nan:NaN|g"), (reasons[2], cut.as_str())];
        assert_eq!(examples, expected);
    }

    #[test]
    fn tags_over_their_bounds_cost_the_list() {
        let keys: Vec<_> = (0..=TAGS).map(|key| key.to_string()).collect();
        let many: Vec<_> = keys.iter().map(|key| (key.as_str(), "")).collect();
        let long = "x".repeat(TAG_BYTES);
        for (tags, reason) in [(many, Reason::TooManyTags), (vec![("k", &*long)], Reason::TooLong)]
        {
            let told = read(list(&tags, &[("a", 1, 1.0), ("b", 1, 1.0)]), NOW);
            assert!(told.datapoints.is_empty() && told.counts.adds_up());
            assert_eq!(told.counts.rejected.get(reason), 2);
            let (of, example) = told.examples.iter().next().unwrap();
            assert!(of == reason && example.starts_with("a:1|g|#") && example.len() < 500);
        }
    }

    #[test]
    fn a_time_that_cannot_be_is_ignored() {
        for odd in [0, -1, i64::MIN, i64::MAX, NOW + AHEAD_MS + 1] {
            let told = read(list(&[], &[("n", odd, 1.0)]), NOW);
            assert_eq!(told.datapoints[0].timestamp, None, "{odd}");
            assert_eq!(told.counts.notes.get(Note::BadTimestamp), 1);
        }
        // A stream may have waited for days.
        let told = read(list(&[], &[("n", NOW - 86_400_000 * 9, 1.0)]), NOW);
        assert_eq!(told.datapoints[0].timestamp, Some(UnixMillis(NOW - 86_400_000 * 9)));
    }

    proptest! {
        #[test]
        fn every_number_is_accounted_for(
            tags in prop::collection::vec(("(|container_id|executor_id|[ab])", ".{0,2}"), 0..70),
            numbers in prop::collection::vec((".{0,2}", any::<i64>(), any::<f64>()), 0..5),
        ) {
            let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let datapoints: Vec<_> = numbers.iter().map(|(n, t, v)| (n.as_str(), *t, *v)).collect();
            let told = read(list(&tags, &datapoints), NOW);
            prop_assert!(told.counts.adds_up());
            prop_assert_eq!(told.counts.received.samples, numbers.len() as u64);
            prop_assert_eq!(told.counts.aggregated, told.datapoints.len() as u64);
        }
    }
}
