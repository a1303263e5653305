use std::collections::BTreeSet;
use std::io::Write;

use super::*;

const DOCUMENTED: &str = include_str!("../../../../deploy/weir.toml");

fn load(text: &str) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(Some(file.path()), Flags::default())
        .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
}

fn keys(of: &toml::Value, under: &str, into: &mut BTreeSet<String>) {
    match of {
        toml::Value::Table(table) => {
            for (key, value) in table {
                keys(value, &format!("{under}.{key}"), into);
                into.insert(format!("{under}.{key}"));
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| keys(value, under, into)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

#[test]
fn the_documented_file_has_every_key_with_its_default() {
    let default = Config::load(None, Flags::default()).unwrap();
    assert_eq!(load(DOCUMENTED).unwrap(), default);

    let (mut documented, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys(&toml::from_str(DOCUMENTED).unwrap(), "", &mut documented);
    keys(&toml::Value::try_from(&default).unwrap(), "", &mut known);
    assert_eq!(documented, known);
}

#[test]
fn the_effective_configuration_is_accepted_again_and_is_the_same() {
    let config = load(
        r#"
        flush_interval = "1500ms"
        [[listener]]
        url = "udp://[::1]:9125"
        [[listener]]
        url = "unixgram:/run/weir/statsd.sock"
        [containers]
        api = ["unix:/run/dcos/telegraf/dcos_statsd.sock", "tcp:127.0.0.1:8888"]
        ports = "31000-31999"
        on_failure = "500"
        [identity]
        labels = { rack = "b7" }
        [[output]]
        url = "avro+tcp://127.0.0.1:8124"
        counters = "cumulative"
        [[output]]
        url = "https://collector.example/points"
        codec = "zstd"
        [limits]
        series = 7
        [[tag_rule]]
        metric = "http.*"
        drop_tags = ["user_id"]
        [http]
        listen = "none"
        [api]
        v0 = ["unix:/run/dcos/telegraf-dcos-metrics.sock", "tcp:127.0.0.1:9000"]
        role = "master"
        names = "dcos-1.11"
        nan = "string"
        expiry = "1m"
        enabled = false
        [prometheus]
        enabled = false
        listen = "[::]:61091"
        expiry = "90s"
        counter_suffix = "_total"
        container_self_metrics = false
        "#,
    )
    .unwrap();
    let text = toml::to_string_pretty(&config).unwrap();
    assert_eq!(load(&text), Ok(config));
}

#[test]
fn what_follows_from_other_keys_is_filled_in() {
    let config =
        load("receive_buffer = 1000\ndata_dir = \"/d\"\n[[listener]]\nurl = \"unixgram:/s\"")
            .unwrap();
    assert_eq!(config.listeners[0].receive_buffer, Some(1000));
    assert_eq!(config.listeners[0].gauge_sign, Some(Sign::Absolute));
    assert_eq!(config.containers.dir, Path::new("/d/containers"));
    assert_eq!(config.outputs[0].url.to_string(), "file:/d/points");
}

#[test]
fn the_newest_values_are_told_how_often_each_kind_of_measurement_comes() {
    let config = load("[mesos]\npoll = \"3m\"\nsnapshot = \"4m\"\n[node]\npoll = \"5m\"").unwrap();
    let polls = config.to_latest().unwrap().polls;
    let minutes = [polls.resources, polls.mesos_agent, polls.node].map(|it| it.as_secs() / 60);
    assert_eq!(minutes, [3, 4, 5]);
}

#[test]
fn tags_have_the_systems_name_of_this_host_unless_another_is_configured() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (text, host) in [("", name.trim()), ("[identity]\nhost = \"web-1\"", "web-1")] {
        let config = load(text).unwrap();
        assert_eq!(config.to_v0().host.as_deref(), Some(host));
        assert_eq!(config.to_prometheus().host.as_deref(), Some(host));
    }
}

#[test]
fn flags_beat_the_file() {
    let flags = Flags {
        listen: vec!["udp://127.0.0.1:1".parse().unwrap()],
        output: vec!["file:/o".parse().unwrap()],
        flush_interval: Some(Duration::from_secs(1)),
        http: Some(HttpListen::None),
        data_dir: Some("/d".into()),
        role: Some(Role::Master),
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "data_dir = \"/x\"\nflush_interval = \"5s\"\n[[listener]]\nurl = \"udp://[::]:2\""
    )
    .unwrap();
    let config = Config::load(Some(file.path()), flags).unwrap();
    assert_eq!(config.data_dir, Path::new("/d"));
    assert_eq!(config.flush_interval, Duration::from_secs(1));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].url.to_string(), "udp://127.0.0.1:1");
    assert_eq!(config.outputs.len(), 1);
    assert_eq!(config.http.listen, HttpListen::None);
    assert_eq!(config.api.role, Role::Master);
}

#[test]
fn an_error_says_where_and_what_was_expected() {
    for (text, parts) in [
        ("workers = 1\nflush_intervall = \"1s\"", ["line 2", "flush_intervall", "flush_interval"]),
        ("flush_interval = 10", ["line 1", "invalid type", "string"]),
        ("flush_interval = \"10 parsecs\"", ["line 1", "10 parsecs", "10s"]),
        ("shutdown_grace = \"36501d\"", ["line 1", "36501d", "36500d"]),
        ("[[listener]]\nurl = \"tcp://x:1\"", ["line 2", "tcp://x:1", "unixgram:PATH"]),
        ("[containers]\nports = \"9-1\"", ["line 2", "9-1", "FIRST-LAST"]),
        ("[containers]\non_failure = \"404\"", ["line 2", "404", "500"]),
        ("[[output]]\nurl = \"kafka://x\"", ["line 2", "kafka://x", "avro+tcp://"]),
        ("[http]\nlisten = \"here\"", ["line 2", "here", "127.0.0.1:8126"]),
        ("[api]\nnan = \"null\"", ["line 2", "null", "omit"]),
        ("[api]\nnames = \"dcos-2.0\"", ["line 2", "dcos-2.0", "dcos-1.12"]),
        ("[prometheus]\nlisten = \"61091\"", ["line 2", "61091", "0.0.0.0:61091"]),
        ("[prometheus]\ncounter_suffix = \".x\"", ["FILE", "counter_suffix", "_total"]),
        ("flush_interval = \"1ms\"", ["FILE", "flush_interval", "100ms"]),
        ("shutdown_grace = \"0s\"", ["FILE", "shutdown_grace", "100ms"]),
        ("quantiles = [1.0]", ["FILE", "quantiles", "below 1"]),
        ("[[listener]]\n[[listener]]", ["FILE", "udp://127.0.0.1:8125", "twice"]),
        ("[limits]\nburst_bytes = 0", ["FILE", "limits.burst_bytes", "1 to"]),
        ("[limits]\nseries = -1", ["line 2", "-1", "series"]),
        ("[limits]\ntotal_series = 0", ["FILE", "limits.total_series", "1 or more"]),
        ("[[tag_rule]]\nmetric = \"\"", ["FILE", "tag_rule", "glob"]),
        ("[[tag_rule]]\ndrop_tag = []", ["line 2", "drop_tag", "drop_tags"]),
        ("[log]\nlevel = \"ship=loud\"", ["FILE", "log.level", "debug"]),
        ("[mesos]\nurl = \"10.0.0.1:5051\"", ["FILE", "mesos.url", "http://"]),
        ("[mesos]\nurl = \"http://:5051\"", ["FILE", "mesos.url", "http://HOST"]),
    ] {
        let error = load(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{text:?} gives {error:?}, which lacks {part:?}");
        }
    }
}

#[test]
fn what_cannot_run_together_is_refused() {
    let long = "x".repeat(300);
    let unix = "unix:/run/weir/api.sock";
    for (text, parts) in [
        (
            "output = [{ url = \"file:/o\" }, { url = \"file:/o/\" }]".to_owned(),
            ["two outputs", "/o"],
        ),
        (format!("[[output]]\nurl = \"http://h/\"\nname = \"{long}\""), ["output", "too long"]),
        (format!("[containers]\napi = [\"unix:/{long}\"]"), ["containers.api", "107 bytes"]),
        (format!("[[listener]]\nurl = \"unixgram:/{long}\""), ["listener", "107 bytes"]),
        (
            format!("containers.api = [\"{unix}\"]\napi.v0 = [\"{unix}\"]"),
            ["api.v0", "containers.api"],
        ),
        (format!("[containers]\napi = [\"{unix}\", \"{unix}\"]"), ["containers.api", "api.sock"]),
        ("prometheus.listen = \"0.0.0.0:8126\"".to_owned(), ["http.listen", "prometheus.listen"]),
        ("api.v0 = [\"tcp:localhost:8126\"]".to_owned(), ["http.listen", "api.v0"]),
        (
            "[[listener]]\nurl = \"avro+tcp://127.0.0.1:8126\"".to_owned(),
            ["http.listen", "avro+tcp"],
        ),
        (
            "listener = [{ url = \"udp://0.0.0.0:1\" }, { url = \"udp://10.0.0.1:1\" }]".to_owned(),
            ["udp://0.0.0.0:1", "udp://10.0.0.1:1"],
        ),
    ] {
        let error = load(&text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{text:?} gives {error:?}, which lacks {part:?}");
        }
    }
}

#[test]
fn what_may_share_a_port_is_accepted() {
    for text in [
        "listener = [{ url = \"udp://127.0.0.1:1\" }, { url = \"udp://127.0.0.2:1\" }]",
        "listener = [{ url = \"udp://0.0.0.0:1\" }, { url = \"avro+tcp://0.0.0.0:1\" }]",
        "api.v0 = [\"tcp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]",
        "api.enabled = false\napi.v0 = [\"tcp:127.0.0.1:8126\"]",
        "prometheus.enabled = false\nprometheus.listen = \"127.0.0.1:8126\"",
    ] {
        load(text).unwrap();
    }
}
