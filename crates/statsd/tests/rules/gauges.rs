use metric::GaugeSign;

use crate::told::{check, signed, told};

#[test]
fn the_setting_decides_what_a_sign_means() {
    use GaugeSign::{Absolute, Auto, Delta};
    for (line, expected) in [
        ("a:5|g", ["a gauge 5", "a gauge 5", "a gauge 5"]),
        ("a:+5|g", ["a gauge +5", "a gauge +5", "a gauge 5"]),
        ("a:-5|g", ["a gauge -5", "a gauge -5", "a gauge -5"]),
        ("a:+5|g|#k", ["a gauge +5 #k=", "a gauge +5 #k=", "a gauge 5 #k="]),
    ] {
        let seen = [Auto, Delta, Absolute].map(|sign| told(line.as_bytes(), signed(sign)));
        assert_eq!(seen, expected, "{line}");
    }
    // A negative value and a change downwards look alike in words.
    for (line, expected) in [
        ("a:-5|g", [true, true, false]),
        ("a:-5|g|#k", [false, true, false]),
        ("a:-5|g|#", [false, true, false]),
        ("a:-5|g|T", [false, true, false]),
        ("a:-5|g|c:", [false, true, false]),
        ("a:-5|g|e:", [false, true, false]),
        ("a:-5|g|card:", [false, true, false]),
        ("a:-5|g|card", [true, true, false]),
        ("a:-5|g|@0.5", [true, true, false]),
        ("a:-0|g|x:", [true, true, false]),
        ("a:-5|g:1|c|#k", [false, true, false]),
        ("a,k=v:-5|g", [true, true, false]),
    ] {
        let seen = [Auto, Delta, Absolute].map(|sign| {
            let reading = statsd::read(line.as_bytes(), signed(sign), 0);
            reading.samples().next().expect("a gauge").relative
        });
        assert_eq!(seen, expected, "{line}");
    }
}

#[test]
fn a_sign_means_a_change_of_gauges_only() {
    check(&[("a:+5|c", "a counter 5"), ("a:-5|ms", "a timer -5"), ("a:+5|d", "a distribution 5")]);
}

#[test]
fn a_packed_gauge_splits_into_runs_that_nothing_refused_breaks() {
    check(&[
        ("a:+1:2|g", "a gauge +1 a gauge 2"),
        ("a:1:2:+3:-4:5|g", "a gauge 1 2 a gauge +3 -4 a gauge 5"),
        ("a:+1::x:+2|g", "a gauge +1 +2 !bad_value=x"),
        ("a:1:+nan:2|g", "a gauge 1 2 !not_finite=+nan"),
        ("a:+1|g:+2|g", "a gauge +1 a gauge +2"),
        ("a:1:-2|g|#k", "a gauge 1 -2 #k="),
    ]);
}
