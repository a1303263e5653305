//! Mesos's names of what a container uses, and DC/OS's.

/// The names of one message's fields, each as Mesos and as DC/OS has it.
pub(super) type Names = [(&'static str, &'static str)];

/// `ResourceStatistics` itself.
pub(super) const CONTAINER: &Names = &[
    ("processes", "container.processes"),
    ("threads", "container.threads"),
    ("cpus_user_time_secs", "cpus.user_time_secs"),
    ("cpus_system_time_secs", "cpus.system_time_secs"),
    ("cpus_limit", "cpus.limit"),
    ("cpus_soft_limit", "cpus.soft_limit"),
    ("cpus_nr_periods", "cpus.nr_periods"),
    ("cpus_nr_throttled", "cpus.nr_throttled"),
    ("cpus_throttled_time_secs", "cpus.throttled_time_secs"),
    ("mem_total_bytes", "mem.total_bytes"),
    ("mem_total_memsw_bytes", "mem.total_memsw_bytes"),
    ("mem_limit_bytes", "mem.limit_bytes"),
    ("mem_soft_limit_bytes", "mem.soft_limit_bytes"),
    ("mem_file_bytes", "mem.file_bytes"),
    ("mem_anon_bytes", "mem.anon_bytes"),
    ("mem_cache_bytes", "mem.cache_bytes"),
    ("mem_rss_bytes", "mem.rss_bytes"),
    ("mem_mapped_file_bytes", "mem.mapped_file_bytes"),
    ("mem_swap_bytes", "mem.swap_bytes"),
    ("mem_unevictable_bytes", "mem.unevictable_bytes"),
    ("mem_low_pressure_counter", "mem.low_pressure_counter"),
    ("mem_medium_pressure_counter", "mem.medium_pressure_counter"),
    ("mem_critical_pressure_counter", "mem.critical_pressure_counter"),
    ("disk_limit_bytes", "disk.limit_bytes"),
    ("disk_used_bytes", "disk.used_bytes"),
    ("net_rx_packets", "net.rx_packets"),
    ("net_rx_bytes", "net.rx_bytes"),
    ("net_rx_errors", "net.rx_errors"),
    ("net_rx_dropped", "net.rx_dropped"),
    ("net_tx_packets", "net.tx_packets"),
    ("net_tx_bytes", "net.tx_bytes"),
    ("net_tx_errors", "net.tx_errors"),
    ("net_tx_dropped", "net.tx_dropped"),
    ("net_tcp_rtt_microsecs_p50", "net.tcp_rtt_microsecs_p50"),
    ("net_tcp_rtt_microsecs_p90", "net.tcp_rtt_microsecs_p90"),
    ("net_tcp_rtt_microsecs_p95", "net.tcp_rtt_microsecs_p95"),
    ("net_tcp_rtt_microsecs_p99", "net.tcp_rtt_microsecs_p99"),
    ("net_tcp_active_connections", "net.tcp_active_connections"),
    ("net_tcp_time_wait_connections", "net.tcp_time_wait_connections"),
];

/// `DiskStatistics`, of one volume.
pub(super) const VOLUME: &Names =
    &[("limit_bytes", "disk.limit_bytes"), ("used_bytes", "disk.used_bytes")];

/// `TrafficControlStatistics`, of one limiter.
pub(super) const LIMITER: &Names = &[
    ("backlog", "net.tx_backlog"),
    ("bytes", "net.tx_bytes"),
    ("drops", "net.tx_dropped"),
    ("overlimits", "net.tx_over_limits"),
    ("packets", "net.tx_packets"),
    ("qlen", "net.tx_qlen"),
    ("ratebps", "net.tx_rate_bps"),
    ("ratepps", "net.tx_rate_pps"),
    ("requeues", "net.tx_requeues"),
];

/// `IpStatistics`.
pub(super) const IP: &Names = &[
    ("Forwarding", "net.ip_forwarding"),
    ("DefaultTTL", "net.ip_default_ttl"),
    ("InReceives", "net.ip_in_receives"),
    ("InHdrErrors", "net.ip_in_hdr_errors"),
    ("InAddrErrors", "net.ip_in_addr_errors"),
    ("ForwDatagrams", "net.ip_forw_datagrams"),
    ("InUnknownProtos", "net.ip_in_unknown_protos"),
    ("InDiscards", "net.ip_in_discards"),
    ("InDelivers", "net.ip_in_delivers"),
    ("OutRequests", "net.ip_out_requests"),
    ("OutDiscards", "net.ip_out_discards"),
    ("OutNoRoutes", "net.ip_out_no_routes"),
    ("ReasmTimeout", "net.ip_reasm_timeout"),
    ("ReasmReqds", "net.ip_reasm_reqds"),
    ("ReasmOKs", "net.ip_reasm_oks"),
    ("ReasmFails", "net.ip_reasm_fails"),
    ("FragOKs", "net.ip_frag_oks"),
    ("FragFails", "net.ip_frag_fails"),
    ("FragCreates", "net.ip_frag_creates"),
];

/// `IcmpStatistics`.
pub(super) const ICMP: &Names = &[
    ("InMsgs", "net.icmp_in_msgs"),
    ("InErrors", "net.icmp_in_errors"),
    ("InCsumErrors", "net.icmp_in_csum_errors"),
    ("InDestUnreachs", "net.icmp_in_dest_unreachs"),
    ("InTimeExcds", "net.icmp_in_time_excds"),
    ("InParmProbs", "net.icmp_in_parm_probs"),
    ("InSrcQuenchs", "net.icmp_in_src_quenchs"),
    ("InRedirects", "net.icmp_in_redirects"),
    ("InEchos", "net.icmp_in_echos"),
    ("InEchoReps", "net.icmp_in_echo_reps"),
    ("InTimestamps", "net.icmp_in_timestamps"),
    ("InTimestampReps", "net.icmp_in_timestamp_reps"),
    ("InAddrMasks", "net.icmp_in_addr_masks"),
    // Spelled so by DC/OS, and so by what reads it.
    ("InAddrMaskReps", "net.icmp_in_addr_mark_reps"),
    ("OutMsgs", "net.icmp_out_msgs"),
    ("OutErrors", "net.icmp_out_errors"),
    ("OutDestUnreachs", "net.icmp_out_dest_unreachs"),
    ("OutTimeExcds", "net.icmp_out_time_excds"),
    ("OutParmProbs", "net.icmp_out_parm_probs"),
    ("OutSrcQuenchs", "net.icmp_out_src_quenchs"),
    ("OutRedirects", "net.icmp_out_redirects"),
    ("OutEchos", "net.icmp_out_echos"),
    ("OutEchoReps", "net.icmp_out_echo_reps"),
    ("OutTimestamps", "net.icmp_out_timestamps"),
    ("OutTimestampReps", "net.icmp_out_timestamp_reps"),
    ("OutAddrMasks", "net.icmp_out_addr_masks"),
    ("OutAddrMaskReps", "net.icmp_out_addr_mask_reps"),
];

/// `TcpStatistics`.
pub(super) const TCP: &Names = &[
    ("RtoAlgorithm", "net.tcp_rto_algorithm"),
    ("RtoMin", "net.tcp_rto_min"),
    ("RtoMax", "net.tcp_rto_max"),
    ("MaxConn", "net.tcp_max_conn"),
    ("ActiveOpens", "net.tcp_active_opens"),
    ("PassiveOpens", "net.tcp_passive_opens"),
    ("AttemptFails", "net.tcp_attempt_fails"),
    ("EstabResets", "net.tcp_estab_resets"),
    ("CurrEstab", "net.tcp_curr_estab"),
    ("InSegs", "net.tcp_in_segs"),
    ("OutSegs", "net.tcp_out_segs"),
    ("RetransSegs", "net.tcp_retrans_segs"),
    ("InErrs", "net.tcp_in_errs"),
    ("OutRsts", "net.tcp_out_rsts"),
    ("InCsumErrors", "net.tcp_in_csum_errors"),
];

/// `UdpStatistics`.
pub(super) const UDP: &Names = &[
    ("InDatagrams", "net.udp_in_datagrams"),
    ("NoPorts", "net.udp_no_ports"),
    ("InErrors", "net.udp_in_errors"),
    ("OutDatagrams", "net.udp_out_datagrams"),
    ("RcvbufErrors", "net.udp_rcvbuf_errors"),
    ("SndbufErrors", "net.udp_sndbuf_errors"),
    ("InCsumErrors", "net.udp_in_csum_errors"),
    ("IgnoredMulti", "net.udp_ignored_multi"),
];

/// `PerfStatistics`.
pub(super) const PERF: &Names = &[
    ("timestamp", "perf.timestamp"),
    ("duration", "perf.duration"),
    ("cycles", "perf.cycles"),
    ("stalled_cycles_frontend", "perf.stalled_cycles_frontend"),
    ("stalled_cycles_backend", "perf.stalled_cycles_backend"),
    ("instructions", "perf.instructions"),
    ("cache_references", "perf.cache_references"),
    ("cache_misses", "perf.cache_misses"),
    ("branches", "perf.branches"),
    ("branch_misses", "perf.branch_misses"),
    ("bus_cycles", "perf.bus_cycles"),
    ("ref_cycles", "perf.ref_cycles"),
    ("cpu_clock", "perf.cpu_clock"),
    ("task_clock", "perf.task_clock"),
    ("page_faults", "perf.page_faults"),
    ("minor_faults", "perf.minor_faults"),
    ("major_faults", "perf.major_faults"),
    ("context_switches", "perf.context_switches"),
    ("cpu_migrations", "perf.cpu_migrations"),
    ("alignment_faults", "perf.alignment_faults"),
    ("emulation_faults", "perf.emulation_faults"),
    ("l1_dcache_loads", "perf.l1_dcache_loads"),
    ("l1_dcache_load_misses", "perf.l1_dcache_load_misses"),
    ("l1_dcache_stores", "perf.l1_dcache_stores"),
    ("l1_dcache_store_misses", "perf.l1_dcache_store_misses"),
    ("l1_dcache_prefetches", "perf.l1_dcache_prefetches"),
    ("l1_dcache_prefetch_misses", "perf.l1_dcache_prefetch_misses"),
    ("l1_icache_loads", "perf.l1_icache_loads"),
    ("l1_icache_load_misses", "perf.l1_icache_load_misses"),
    ("l1_icache_prefetches", "perf.l1_icache_prefetches"),
    ("l1_icache_prefetch_misses", "perf.l1_icache_prefetch_misses"),
    ("llc_loads", "perf.llc_loads"),
    ("llc_load_misses", "perf.llc_load_misses"),
    ("llc_stores", "perf.llc_stores"),
    ("llc_store_misses", "perf.llc_store_misses"),
    ("llc_prefetches", "perf.llc_prefetches"),
    ("llc_prefetch_misses", "perf.llc_prefetch_misses"),
    ("dtlb_loads", "perf.dtlb_loads"),
    ("dtlb_load_misses", "perf.dtlb_load_misses"),
    ("dtlb_stores", "perf.dtlb_stores"),
    ("dtlb_store_misses", "perf.dtlb_store_misses"),
    ("dtlb_prefetches", "perf.dtlb_prefetches"),
    ("dtlb_prefetch_misses", "perf.dtlb_prefetch_misses"),
    ("itlb_loads", "perf.itlb_loads"),
    ("itlb_load_misses", "perf.itlb_load_misses"),
    ("branch_loads", "perf.branch_loads"),
    ("branch_load_misses", "perf.branch_load_misses"),
    ("node_loads", "perf.node_loads"),
    ("node_load_misses", "perf.node_load_misses"),
    ("node_stores", "perf.node_stores"),
    ("node_store_misses", "perf.node_store_misses"),
    ("node_prefetches", "perf.node_prefetches"),
    ("node_prefetch_misses", "perf.node_prefetch_misses"),
];

/// The policies of block I/O, as Mesos's fields and DC/OS's tag name them.
pub(super) const POLICIES: [&str; 3] = ["cfq", "cfq_recursive", "throttling"];

/// What is told of a device under a policy.
pub(super) const BLOCK_IO: [&str; 6] = [
    "io_serviced",
    "io_service_bytes",
    "io_service_time",
    "io_wait_time",
    "io_merged",
    "io_queued",
];

/// The operations that block I/O is told apart by, each as Mesos and as DC/OS has it.
pub(super) const OPERATIONS: &Names = &[
    ("UNKNOWN", "unknown"),
    ("TOTAL", "total"),
    ("READ", "read"),
    ("WRITE", "write"),
    ("SYNC", "sync"),
    ("ASYNC", "async"),
];

/// DC/OS's name of one of Mesos's fields.
pub(super) fn find(names: &Names, field: &str) -> Option<&'static str> {
    names.iter().find(|(mesos, _)| *mesos == field).map(|(_, dcos)| *dcos)
}
