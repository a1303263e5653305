use std::borrow::Cow;
use std::collections::BTreeMap;

use metric::Dimensions;

use super::json;

/// The tags that all series of a source have, whatever they have of their own.
pub(super) type Common = BTreeMap<String, String>;

/// What DC/OS puts on every metric of a node: its labels, host (else the host's address or name, as
/// it is known) and cluster.
pub(super) fn of_node(who: &Dimensions, host: Option<&str>) -> Common {
    let mut tags = who.labels.clone();
    let host = host.unwrap_or(&who.hostname);
    for (key, value) in [("host", host), ("dcos_cluster_id", &who.cluster_id)] {
        if !value.is_empty() {
            // A label goes first, a task's before the operator's: on DC/OS it replaces such a tag.
            tags.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    tags
}

/// Adds the name of a source's executor, if it has one of its own.
pub(super) fn add_executor(tags: &mut Common, who: &Dimensions) {
    let name = who.own_executor_name();
    if !name.is_empty() {
        tags.insert("executor_name".to_owned(), name.to_owned());
    }
}

/// Appends `,"key":` and these tags as an object, sorted; nothing if there are none.
pub(super) fn write_object(to: &mut Vec<u8>, key: &str, tags: &Common) {
    write(to, key, tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
}

/// As [`write_object`] with tags of a series' own. One that has the name of a common one is written
/// as `exported_<name>`, several values of one key are joined by commas.
pub(super) fn write_with_own<'a>(
    to: &mut Vec<u8>,
    common: &'a Common,
    own: impl Iterator<Item = (Cow<'a, str>, &'a str)>,
) {
    let mut own = own.peekable();
    if own.peek().is_none() {
        write_object(to, "tags", common);
        return;
    }
    let borrow = |(key, value): (&'a String, &'a String)| (key.into(), Cow::from(value));
    let mut all: Vec<(Cow<'a, str>, Cow<'a, str>)> = common.iter().map(borrow).collect();
    for (key, value) in own {
        let clashes = common.contains_key(&*key);
        let key = if clashes { Cow::Owned(format!("exported_{key}")) } else { key };
        match all.iter().position(|(taken, _)| *taken == key) {
            // Only a label that is itself named exported_… can be met here, and it stays.
            Some(place) if place < common.len() => {}
            Some(place) => {
                let joined = all[place].1.to_mut();
                joined.push(',');
                joined.push_str(value);
            }
            None => all.push((key, value.into())),
        }
    }
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    write(to, "tags", all.iter().map(|(key, value)| (&**key, &**value)));
}

fn write<'a>(to: &mut Vec<u8>, key: &str, tags: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut tags = tags.peekable();
    if tags.peek().is_none() {
        return;
    }
    to.push(b',');
    json::text(to, key);
    to.push(b':');
    let mut opening = b'{';
    for (key, value) in tags {
        to.push(std::mem::replace(&mut opening, b','));
        json::text(to, key);
        to.push(b':');
        json::text(to, value);
    }
    to.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(common: &[(&str, &str)], own: &[(&str, &str)]) -> String {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let common: Common = common.iter().map(owned).collect();
        let mut to = Vec::new();
        let own = own.iter().map(|(key, value)| (Cow::Borrowed(*key), *value));
        write_with_own(&mut to, &common, own);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn tags_are_sorted_and_no_client_replaces_a_common_one() {
        assert_eq!(written(&[], &[]), "");
        assert_eq!(written(&[("h", "1")], &[]), r#","tags":{"h":"1"}"#);
        assert_eq!(
            written(
                &[("host", "1"), ("exported_team", "x")],
                &[("z", ""), ("host", "2"), ("a", "<")]
            ),
            r#","tags":{"a":"\u003c","exported_host":"2","exported_team":"x","host":"1","z":""}"#
        );
        assert_eq!(
            written(
                &[("team", "1"), ("exported_team", "x")],
                &[("team", "2"), ("a", "1"), ("a", "2")]
            ),
            r#","tags":{"a":"1,2","exported_team":"x","team":"1"}"#
        );
    }

    #[test]
    fn a_label_replaces_a_tag_of_the_node() {
        let labels = [("host", "label"), ("team", "blue")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let (cluster_id, hostname) = ("9a1c".into(), "10.0.0.1".into());
        let who = Dimensions { labels, cluster_id, hostname, ..Dimensions::default() };
        let tags = of_node(&who, Some("node-1"));
        let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(tags, ["dcos_cluster_id=9a1c", "host=label", "team=blue"]);
    }

    #[test]
    fn the_executor_of_a_command_is_not_named() {
        let who = |executor: &str, task: &str| Dimensions {
            executor_id: executor.into(),
            executor_name: "name".into(),
            task_id: task.into(),
            ..Dimensions::default()
        };
        for (executor, task, named) in
            [("e", "t", true), ("t", "t", false), ("e", "", true), ("", "", true)]
        {
            let mut tags = Common::default();
            add_executor(&mut tags, &who(executor, task));
            assert_eq!(!tags.is_empty(), named, "{executor} {task}");
        }
    }
}
