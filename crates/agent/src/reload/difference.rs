use std::collections::HashMap;

use serde::Serialize;

use crate::config::{Config, ListenUrl, Listener, Log, Output};

/// What becomes of a change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It is taken at once.
    Taken,
    /// It needs a restart.
    Restart,
}

use Rule::{Restart, Taken};

/// What another configuration changes, all of which can be taken.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// The keys that change, for people to read.
    pub(super) keys: Vec<String>,
    pub(super) opened: Vec<Listener>,
    pub(super) closed: Vec<ListenUrl>,
    /// Those that are added, and those that take the place of one of the same name.
    pub(super) outputs: Vec<Output>,
    pub(super) removed: Vec<String>,
}

impl Difference {
    /// Finds it, or says what of it needs a restart.
    pub(super) fn between(running: &Config, new: &Config) -> Result<Self, String> {
        let (taken, mut refused) = keys(running, new)
            .into_iter()
            .filter(|row| !row.changed.is_empty())
            .partition::<Vec<_>, _>(|row| row.rule == Taken);
        let mut difference = Self::default();
        difference.keys.extend(taken.into_iter().flat_map(|row| row.changed));
        let mut troubles: Vec<_> = refused
            .drain(..)
            .flat_map(|row| row.changed)
            .map(|key| format!("{key} needs a restart"))
            .collect();
        troubles.extend(shown_too_short(running, new));
        troubles.extend(difference.find_listeners(running, new));
        if !troubles.is_empty() {
            return Err(troubles.join("; "));
        }
        difference.find_outputs(running, new);
        Ok(difference)
    }

    /// Whether nothing changes.
    pub(super) fn is_none(&self) -> bool {
        self.keys.is_empty()
    }

    fn find_listeners(&mut self, running: &Config, new: &Config) -> Vec<String> {
        let of_url = |config: &Config| -> HashMap<ListenUrl, Listener> {
            config.listeners.iter().map(|it| (it.url.clone(), it.clone())).collect()
        };
        let (before, after) = (of_url(running), of_url(new));
        let mut troubles = Vec::new();
        for listener in &new.listeners {
            match before.get(&listener.url) {
                None => {
                    self.keys.push(format!("+ listener {}", listener.url));
                    self.opened.push(listener.clone());
                }
                Some(before) => {
                    let changed =
                        changed_in(&format!("listener {}:", listener.url), before, listener);
                    troubles
                        .extend(changed.into_iter().map(|key| format!("{key} needs a restart")));
                }
            }
        }
        for Listener { url, .. } in
            running.listeners.iter().filter(|it| !after.contains_key(&it.url))
        {
            self.keys.push(format!("- listener {url}"));
            self.closed.push(url.clone());
        }
        troubles
    }

    fn find_outputs(&mut self, running: &Config, new: &Config) {
        for output in &new.outputs {
            let before = running.outputs.iter().find(|it| it.name == output.name);
            let sign = if before.is_some() { "changed" } else { "+" };
            if before != Some(output) {
                self.keys.push(format!("{sign} output {}", output.name));
                self.outputs.push(output.clone());
            }
        }
        let stays = |name: &str| new.outputs.iter().any(|output| output.name == name);
        for Output { name, .. } in running.outputs.iter().filter(|output| !stays(&output.name)) {
            self.keys.push(format!("- output {name}"));
            self.removed.push(name.clone());
        }
    }
}

/// A key or a section of the configuration.
#[derive(Debug)]
struct Row {
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is held against it"))]
    name: &'static str,
    rule: Rule,
    /// What of it changes.
    changed: Vec<String>,
}

/// What changes of the keys, but for listeners and outputs, which are looked at one by one. A new
/// key has to be judged here: the compiler asks for it.
fn keys(running: &Config, new: &Config) -> Vec<Row> {
    let Config {
        data_dir,
        flush_interval,
        workers,
        max_rest,
        receive_buffer,
        shutdown_grace,
        gauge_expiry,
        series_expiry,
        total_expiry,
        quantiles,
        listeners: _,
        containers,
        identity,
        mesos,
        node,
        outputs: _,
        limits,
        tag_rules,
        http,
        api,
        prometheus,
        log,
    } = new;
    let Log { format, level } = log;
    let key = |name: &'static str, rule, is_same: bool| {
        let changed = if is_same { Vec::new() } else { vec![name.to_owned()] };
        Row { name, rule, changed }
    };
    let section = |name, rule, changed| Row { name, rule, changed };
    vec![
        key("data_dir", Restart, *data_dir == running.data_dir),
        key("flush_interval", Taken, *flush_interval == running.flush_interval),
        key("workers", Restart, *workers == running.workers),
        key("max_rest", Restart, *max_rest == running.max_rest),
        key("receive_buffer", Restart, *receive_buffer == running.receive_buffer),
        key("shutdown_grace", Taken, *shutdown_grace == running.shutdown_grace),
        key("gauge_expiry", Taken, *gauge_expiry == running.gauge_expiry),
        key("series_expiry", Taken, *series_expiry == running.series_expiry),
        key("total_expiry", Taken, *total_expiry == running.total_expiry),
        key("quantiles", Restart, *quantiles == running.quantiles),
        section("containers", Restart, changed_in("containers.", &running.containers, containers)),
        section("identity", Restart, changed_in("identity.", &running.identity, identity)),
        section("mesos", Restart, changed_in("mesos.", &running.mesos, mesos)),
        section("node", Restart, changed_in("node.", &running.node, node)),
        section("limits", Taken, changed_in("limits.", &running.limits, limits)),
        key("tag_rule", Taken, *tag_rules == running.tag_rules),
        section("http", Restart, changed_in("http.", &running.http, http)),
        section("api", Restart, changed_in("api.", &running.api, api)),
        section("prometheus", Restart, changed_in("prometheus.", &running.prometheus, prometheus)),
        key("log.format", Restart, *format == running.log.format),
        key("log.level", Taken, *level == running.log.level),
    ]
}

// For how long a series is shown follows from the interval, if that is long, and those who show it
// know it from the start.
fn shown_too_short(running: &Config, new: &Config) -> Option<String> {
    let v0 = |config: &Config| config.api.enabled.then(|| config.to_v0().expiry);
    let prometheus =
        |config: &Config| config.prometheus.enabled.then(|| config.to_prometheus().expiry);
    let is_same = v0(running) == v0(new) && prometheus(running) == prometheus(new);
    let same_keys = running.api == new.api && running.prometheus == new.prometheus;
    (!is_same && same_keys).then(|| {
        "flush_interval needs a restart: it is, or was, longer than half of api.expiry or \
         prometheus.expiry"
            .to_owned()
    })
}

// The keys of a section that differ, with what stands before them.
fn changed_in<T: Serialize + PartialEq>(before: &str, running: &T, new: &T) -> Vec<String> {
    if running == new {
        return Vec::new();
    }
    let table = |of: &T| toml::Table::try_from(of).unwrap_or_default();
    let (running, new) = (table(running), table(new));
    let key =
        |key: &String| format!("{before}{}{key}", if before.ends_with(':') { " " } else { "" });
    let mut changed: Vec<_> = new
        .iter()
        .filter(|(key, value)| running.get(*key) != Some(*value))
        .map(|it| key(it.0))
        .collect();
    changed.extend(running.keys().filter(|key| !new.contains_key(*key)).map(key));
    if changed.is_empty() {
        // What cannot be written as TOML differs.
        changed.push(before.trim_end_matches(['.', ':']).to_owned());
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Flags, HttpListen};

    fn config(listen: &[&str], output: &[&str]) -> Config {
        let flags = Flags {
            listen: listen.iter().map(|url| url.parse().unwrap()).collect(),
            output: output.iter().map(|url| url.parse().unwrap()).collect(),
            ..Flags::default()
        };
        Config::load(None, flags).unwrap()
    }

    #[test]
    fn listeners_are_the_same_by_their_urls_and_outputs_by_their_names() {
        let running = config(&["udp://127.0.0.1:1", "unixgram:/a"], &["file:/a", "http://h:1/"]);
        let mut new = config(&["unixgram:/b", "unixgram:/a"], &["avro+tcp://h:2", "http://h:2/"]);
        new.outputs[0].name = "tcp".into();
        let difference = Difference::between(&running, &new).unwrap();
        assert_eq!(
            difference.keys,
            [
                "+ listener unixgram:/b",
                "- listener udp://127.0.0.1:1",
                "+ output tcp",
                "changed output h",
                "- output file",
            ]
        );
        assert_eq!(difference.opened, new.listeners[..1]);
        assert_eq!(difference.closed, [running.listeners[0].url.clone()]);
        assert_eq!(
            (difference.outputs, difference.removed),
            (new.outputs.clone(), vec!["file".into()])
        );
        assert!(Difference::between(&new, &new).unwrap().is_none());
    }

    #[test]
    fn all_that_needs_a_restart_is_named() {
        let running = config(&[], &[]);
        let mut new = running.clone();
        new.workers = 3;
        new.data_dir = "/elsewhere".into();
        new.containers.bind = "0.0.0.0".parse().unwrap();
        new.containers.max_containers = 1;
        new.http.listen = HttpListen::None;
        new.log.format = crate::config::Format::Json;
        new.limits.series = 1;
        new.listeners[0].readers = 2;
        assert_eq!(
            Difference::between(&running, &new).unwrap_err(),
            "data_dir needs a restart; workers needs a restart; \
             containers.bind needs a restart; containers.max_containers needs a restart; \
             http.listen needs a restart; log.format needs a restart; \
             listener udp://127.0.0.1:8125: readers needs a restart"
        );
    }

    #[test]
    fn what_is_taken_is_named() {
        let running = config(&[], &[]);
        let mut new = running.clone();
        new.flush_interval = Duration::from_mins(1);
        new.limits.series = 1;
        new.limits.total_series = 2;
        new.tag_rules[0].drop = true;
        new.log.level = "debug".into();
        new.shutdown_grace = Duration::from_secs(1);
        let keys = Difference::between(&running, &new).unwrap().keys;
        assert_eq!(
            keys,
            [
                "flush_interval",
                "shutdown_grace",
                "limits.series",
                "limits.total_series",
                "tag_rule",
                "log.level"
            ]
        );
    }

    #[test]
    fn an_interval_that_is_too_long_for_what_is_shown_needs_a_restart() {
        let running = config(&[], &[]);
        let mut new = running.clone();
        new.flush_interval = Duration::from_secs(61);
        let refused = Difference::between(&running, &new).unwrap_err();
        assert!(refused.starts_with("flush_interval needs a restart"), "{refused}");
        assert!(Difference::between(&new, &running).is_err());
        let mut unseen = running.clone();
        (unseen.api.enabled, unseen.prometheus.enabled) = (false, false);
        new = unseen.clone();
        new.flush_interval = Duration::from_hours(1);
        assert!(Difference::between(&unseen, &new).is_ok());
    }

    #[test]
    fn the_readme_says_of_every_key_what_becomes_of_its_change() {
        let readme = include_str!("../../../../README.md");
        let running = config(&[], &[]);
        for (rule, row) in [(Taken, "| taken at once |"), (Restart, "| refused: needs a restart |")]
        {
            let row = readme.lines().find(|line| line.starts_with(row)).expect("the table has it");
            let told = row.split('`').skip(1).step_by(2).map(|key| key.trim_matches(['[', ']']));
            let mut told: Vec<_> = told.collect();
            let rows = keys(&running, &running);
            let mut known: Vec<_> =
                rows.iter().filter(|row| row.rule == rule).map(|row| row.name).collect();
            if rule == Taken {
                known.extend(["listener", "output"]);
            }
            told.sort_unstable();
            known.sort_unstable();
            assert_eq!(told, known, "{row}");
        }
        // And the rows are all there is.
        let names = keys(&running, &running);
        for key in toml::Table::try_from(&running).unwrap().keys() {
            let is_judged = names.iter().any(|row| row.name.split('.').next() == Some(key));
            assert!(is_judged || ["listener", "output"].contains(&key.as_str()), "{key}");
        }
    }
}
