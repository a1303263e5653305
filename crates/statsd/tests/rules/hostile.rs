use std::time::Duration;

use metric::ReadAs;
use rustix::time::{ClockId, clock_gettime};

/// Whatever is quadratic in 65,000 bytes takes seconds, even on the fastest machine.
const GENEROUS: Duration = Duration::from_millis(500);

/// What this thread has had of a processor: others may use the machine as well.
fn spent() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time since its start")
}

#[test]
fn no_line_costs_more_than_its_length() {
    let repeated = |unit: &str, tail: &str| unit.repeat(65_000 / unit.len()) + tail;
    for line in [
        repeated("[", "=]:1|c"),
        repeated("[a,", "]=:1|c"),
        repeated("[]", "=:1|c"),
        repeated("[=", "]:1|c"),
        repeated("[=]", ":1|c"),
        repeated(",=", ":1|c"),
        repeated(",", "=:1|c"),
        repeated(";", "=:1|c"),
        repeated("#,;[,=", ":1|c"),
        repeated(",[;]#=", ":1|c"),
        repeated("[,]", "a=:1|c"),
        format!("a:{}|c", repeated("1:", "1")),
        format!("a:{}|c", repeated("x:", "x")),
        format!("a:{}|g", repeated("+1:1:", "1")),
        format!("a:{}", repeated("1|c:", "")),
        format!("a:1|c{}", repeated("|@1", "")),
        format!("a:1|c{}", repeated("|@:", "")),
        format!("a:1|c{}", repeated("|", "")),
        format!("a:1|c{}", repeated("|#b,a", "")),
        format!("a:1|c|#{}", repeated(",", "")),
        format!("a:1|c|#{}", repeated("b,a,", "")),
        format!("a:{}|c", repeated("1", "")),
        format!("a:1|c|T{}", repeated("0", "")),
        format!("_e{{1,65000}}:a|{}", repeated("\\n", "")),
        format!("_e{{1,1}}:a|b{}", repeated("|#,", "")),
        repeated("_sc|", ""),
    ] {
        let before = spent();
        let reading = statsd::read(line.as_bytes(), ReadAs::default(), 0);
        let skim = statsd::skim(line.as_bytes());
        let measured = skim.and_then(|skim| skim.measure(ReadAs::default(), 0));
        let spent = spent().saturating_sub(before);
        assert!(reading.received() > 0);
        assert!(measured.is_none() || reading.samples().count() <= 1);
        assert!(spent < GENEROUS, "{spent:?} for {}...", &line[..20]);
    }
}
