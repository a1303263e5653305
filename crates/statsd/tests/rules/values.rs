use crate::told::check;

#[test]
fn a_number_is_decimal_and_finite() {
    check(&[
        ("a:+1:-2:3.:.5:1e2:1.5E-1|d", "a distribution 1 -2 3 0.5 100 0.15"),
        ("a:1e-999|c", "a counter 0"),
        ("a:-7|ms", "a timer -7"),
        ("a:0x1|c", "!bad_value=0x1"),
        ("a:1,5|c", "!bad_value=1,5"),
        ("a: 1|c", "!bad_value= 1"),
        ("a:1 |c", "!bad_value=1 "),
        ("a:١|c", "!bad_value=١"),
        ("a:e1|c", "!bad_value=e1"),
        ("a:-|c", "!bad_value=-"),
        ("a:1e|c", "!bad_value=1e"),
        ("a:NaN|g", "!not_finite=NaN"),
        ("a:-infinity|h", "!not_finite=-infinity"),
        ("a:+Inf|c", "!not_finite=+Inf"),
        ("a:infinit|c", "!bad_value=infinit"),
        ("a:-1e309|g", "!not_finite=-1e309"),
    ]);
}

#[test]
fn a_sets_member_is_all_of_its_values() {
    check(&[
        ("a:x:y::z|s", "a set \"x:y::z\""),
        ("a:-1|s", "a set \"-1\""),
        ("a:nan|s", "a set \"nan\""),
        ("a: |s", "a set \" \""),
    ]);
}

#[test]
fn a_rate_is_of_the_sample_before_it_and_the_last_one_counts() {
    check(&[
        ("a:1|c|@0.5", "a counter 1 @0.5"),
        ("a:1:2|ms|@.1", "a timer 1 2 @0.1"),
        ("a:1|h|@+1", "a histogram 1"),
        ("a:1|c|@1e-9", "a counter 1 @0.000000001"),
        ("a:1|c|@0.9e-9", "a counter 1 ~bad_rate"),
        ("a:1|c|@0", "a counter 1 ~bad_rate"),
        ("a:1|c|@-0.5", "a counter 1 ~bad_rate"),
        ("a:1|c|@1.1", "a counter 1 ~bad_rate"),
        ("a:1|c|@1.00000000000000000001", "a counter 1"),
        ("a:1|c|@", "a counter 1 ~bad_rate"),
        ("a:1|c|@nan", "a counter 1 ~bad_rate"),
        ("a:1|c|@x|@0.5", "a counter 1 @0.5"),
        ("a:1|c|@0.5|@x", "a counter 1 ~bad_rate"),
        ("a:1|c|@0.5|#k|@0.25", "a counter 1 @0.25 #k="),
        ("a:1|c:2|c|@0.5", "a counter 1 a counter 2 @0.5"),
        ("a:1|c:2|c|#k|@0.5", "a counter 1 #k= a counter 2 @0.5 #k="),
    ]);
}

#[test]
fn a_rate_of_a_gauge_or_a_set_is_ignored_whatever_it_is() {
    check(&[
        ("a:1|g|@0.5", "a gauge 1 ~rate_ignored"),
        ("a:1|g|@x", "a gauge 1 ~rate_ignored"),
        ("a:1|s|@", "a set \"1\" ~rate_ignored"),
        ("a:1|s|@0.5:2|c", "a set \"1\" a counter 2 ~rate_ignored"),
    ]);
}

#[test]
fn a_note_is_of_something_kept() {
    check(&[
        ("a:x|c|@x|T|#,|y|c:b", "!bad_value=x"),
        ("a:x|m|@x:1|c", "a counter 1 !bad_value=x"),
        ("a:x:1|m|@x", "a counter 1 !bad_value=x ~bad_rate ~meter"),
        ("a:x|g|@1:1|c|y", "a counter 1 !bad_value=x ~unknown_section"),
        ("a:x|ms:1|c|T1700000000", "a counter 1 T1700000000 !bad_value=x"),
    ]);
}
