use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn read(statistics: &Json) -> Statistics {
    Statistics::read(&serde_json::value::to_raw_value(statistics).unwrap())
}

// Each as `name`, or `name#tag:value,...`, with its value.
fn told(statistics: &Json) -> Vec<(String, f64)> {
    let spelled = |datapoint: &Datapoint| {
        let spelled = datapoint.key.spelled();
        let text = [spelled.name, spelled.section].concat();
        let Value::Gauge(value) = datapoint.value else { panic!("{datapoint:?} is no gauge") };
        (String::from_utf8(text).unwrap(), value)
    };
    read(statistics).datapoints.iter().map(spelled).collect()
}

fn as_told<const N: usize>(values: [(&str, f64); N]) -> Vec<(String, f64)> {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn what_mesos_tells_has_its_name_at_dcos_and_nothing_else_is_told() {
    let statistics = json!({
        "timestamp": 1_600_000_000.75,
        "processes": 3, "threads": 17,
        "cpus_user_time_secs": 12.5, "cpus_system_time_secs": 0.25, "cpus_limit": 1.1,
        "cpus_soft_limit": 0.5, "cpus_nr_throttled": 0, "cpus_throttled_time_secs": 0.0,
        "mem_limit_bytes": 167_772_160_u64, "mem_low_pressure_counter": 0,
        "disk_used_bytes": 4096,
        "net_rx_bytes": 18_446_744_073_709_551_615_u64, "net_tcp_rtt_microsecs_p99": 7.5,
        "net_tcp_active_connections": 4.0,
        "cpus_of_a_later_version": 1, "mem_rss_bytes": "12", "mem_cache_bytes": null,
        "mem_swap_bytes": [1], "mem_total_bytes": {"value": 1},
    });
    // In the order of the object, and that is by name here.
    let mut expected = as_told([
        ("container.processes", 3.0),
        ("container.threads", 17.0),
        ("cpus.limit", 1.1),
        ("cpus.nr_throttled", 0.0),
        ("cpus.soft_limit", 0.5),
        ("cpus.system_time_secs", 0.25),
        ("cpus.throttled_time_secs", 0.0),
        ("cpus.user_time_secs", 12.5),
        ("disk.used_bytes", 4096.0),
        ("mem.limit_bytes", 167_772_160.0),
        ("mem.low_pressure_counter", 0.0),
        ("net.rx_bytes", 18_446_744_073_709_551_615.0),
        ("net.tcp_active_connections", 4.0),
        ("net.tcp_rtt_microsecs_p99", 7.5),
    ]);
    let mut found = told(&statistics);
    for all in [&mut expected, &mut found] {
        all.sort_by(|a, b| a.0.cmp(&b.0));
    }
    assert_eq!(found, expected);
    let moment = read(&statistics).datapoints[0].timestamp;
    assert_eq!(moment, Some(UnixMillis(1_600_000_000_000)));
}

#[test]
fn every_protocols_counters_have_their_names() {
    let statistics = json!({"net_snmp_statistics": {
        "ip_stats": {"DefaultTTL": 64, "ReasmOKs": 2, "FragOKs": 3, "InHdrErrors": 0},
        "icmp_stats": {"InAddrMaskReps": 5, "OutAddrMaskReps": 6, "InCsumErrors": 7},
        "tcp_stats": {"MaxConn": -1, "RtoMin": 200},
        "udp_stats": {"RcvbufErrors": 8, "IgnoredMulti": 9},
        "udp_lite_stats": {"InErrors": 1},
    }});
    let expected = as_told([
        ("net.icmp_in_addr_mark_reps", 5.0),
        ("net.icmp_in_csum_errors", 7.0),
        ("net.icmp_out_addr_mask_reps", 6.0),
        ("net.ip_default_ttl", 64.0),
        ("net.ip_frag_oks", 3.0),
        ("net.ip_in_hdr_errors", 0.0),
        ("net.ip_reasm_oks", 2.0),
        ("net.tcp_max_conn", -1.0),
        ("net.tcp_rto_min", 200.0),
        ("net.udp_ignored_multi", 9.0),
        ("net.udp_rcvbuf_errors", 8.0),
    ]);
    let mut found = told(&statistics);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
}

#[test]
fn devices_policies_volumes_and_limiters_are_kept_apart() {
    let amount = |op: &str, value: u64| json!({"op": op, "value": value});
    let device = |major: u64, minor: u64, value: u64| {
        json!({
            "device": {"major_number": major, "minor_number": minor},
            "io_serviced": [amount("TOTAL", value), amount("DISCARD", 9)],
        })
    };
    let volume = |id: &str, used: u64| json!({"persistence": {"id": id, "principal": "ops"}, "used_bytes": used});
    let statistics = json!({
        "disk_used_bytes": 1,
        "disk_statistics": [volume("v1", 2), volume("v2", 3), {"used_bytes": 4}],
        "net_traffic_control_statistics": [
            {"id": "tx_bw_cap", "drops": 5, "ratebps": 6}, {"id": "tx_fq", "drops": 7, "bytes": 0},
        ],
        "net_tx_bytes": 8,
        "blkio_statistics": {
            "cfq": [{"io_queued": [{"value": 9}, amount("ASYNC", 10)]}],
            "cfq_recursive": [device(8, 0, 11)],
            "throttling": [device(8, 0, 12), device(8, 16, 13)],
        },
    });
    let expected = as_told([
        ("blkio.io_queued_async#device:default,policy:cfq", 10.0),
        ("blkio.io_queued_unknown#device:default,policy:cfq", 9.0),
        ("blkio.io_serviced_total#device:8.0,policy:cfq_recursive", 11.0),
        ("blkio.io_serviced_total#device:8.0,policy:throttling", 12.0),
        ("blkio.io_serviced_total#device:8.16,policy:throttling", 13.0),
        ("disk.used_bytes", 1.0),
        ("disk.used_bytes#volume_persistence_id:v1,volume_persistence_principal:ops", 2.0),
        ("disk.used_bytes#volume_persistence_id:v2,volume_persistence_principal:ops", 3.0),
        ("net.tx_bytes", 8.0),
        ("net.tx_bytes#id:tx_fq", 0.0),
        ("net.tx_dropped#id:tx_bw_cap", 5.0),
        ("net.tx_dropped#id:tx_fq", 7.0),
        ("net.tx_rate_bps#id:tx_bw_cap", 6.0),
    ]);
    let mut found = told(&statistics);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, expected);
    // The disk without a volume, which is named like the container's own.
    assert_eq!(read(&statistics).left_out, 1);
}

#[test]
fn a_performance_sample_keeps_mesoss_names() {
    let statistics =
        json!({"perf": {"timestamp": 5.0, "duration": 0, "l1_dcache_loads": 3, "x": 1}});
    let expected =
        as_told([("perf.duration", 0.0), ("perf.l1_dcache_loads", 3.0), ("perf.timestamp", 5.0)]);
    assert_eq!(told(&statistics), expected);
    assert_eq!(read(&statistics).datapoints[0].timestamp, None);
}

#[test]
fn no_moment_is_told_that_cannot_be_one() {
    for odd in [json!(0), json!(-5.0), json!(1e300), json!("now"), json!(null)] {
        let statistics = json!({"threads": 1, "timestamp": odd});
        assert_eq!(read(&statistics).datapoints[0].timestamp, None, "{odd}");
    }
}

#[test]
fn an_answer_without_end_is_read_to_its_bound() {
    let devices = 0..DATAPOINTS + 10;
    let device = |minor| json!({"device": {"minor_number": minor}, "io_serviced": [{"op": "READ", "value": 1}]});
    let devices: Vec<_> = devices.map(device).collect();
    let statistics = read(&json!({"blkio_statistics": {"cfq": devices}}));
    assert_eq!((statistics.datapoints.len(), statistics.left_out), (DATAPOINTS, 10));
    let id = "ü".repeat(TAG_BYTES);
    let cut = read(&json!({"disk_statistics": [{"persistence": {"id": id}, "used_bytes": 1}]}));
    assert_eq!(cut.datapoints[0].key.tags().next().unwrap().1.len(), TAG_BYTES);
}

// Shapes like Mesos's, with something odd at any place.
fn odd() -> impl Strategy<Value = Json> {
    let name = prop_oneof![
        4 => prop::sample::select(vec![
            "timestamp", "cpus_limit", "disk_statistics", "persistence", "id", "used_bytes",
            "blkio_statistics", "cfq", "throttling", "device", "major_number", "io_serviced", "op",
            "value", "net_snmp_statistics", "ip_stats", "Forwarding", "perf", "cycles",
            "net_traffic_control_statistics",
        ]).prop_map(str::to_owned),
        1 => ".{0,3}",
    ];
    let leaf = prop_oneof![
        any::<f64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        Just(json!("TOTAL")),
        Just(Json::Null),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_stands_there_is_read_or_left_out(statistics in odd()) {
        for datapoint in read(&statistics).datapoints {
            prop_assert!(matches!(datapoint.value, Value::Gauge(value) if value.is_finite()));
            prop_assert!(datapoint.key.name().contains('.'));
        }
    }
}
