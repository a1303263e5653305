use crate::told::check;

#[test]
fn the_second_part_is_the_kind_whatever_it_looks_like() {
    check(&[
        ("hits:1|c", "hits counter 1"),
        ("hits:1|g", "hits gauge 1"),
        ("hits:1|ms", "hits timer 1"),
        ("hits:1|h", "hits histogram 1"),
        ("hits:1|d", "hits distribution 1"),
        ("hits:1|s", "hits set \"1\""),
        ("hits:1|m", "hits counter 1 ~meter"),
        ("hits:1|#k:v", "!unknown_kind=1|#k !no_kind=v"),
        ("hits:1|@0.5", "!unknown_kind=1|@0.5"),
        ("hits:1|@0.5:2|c", "hits counter 2 !unknown_kind=1|@0.5"),
        ("hits:1|T1|c", "!unknown_kind=1|T1"),
        ("hits:1|MS", "!unknown_kind=1|MS"),
        ("hits:1|c ", "!unknown_kind=1|c "),
        ("hits:1|", "!no_kind=1|"),
        ("hits:1||c", "!no_kind=1|"),
        ("hits:1", "!no_kind=1"),
    ]);
}

#[test]
fn a_line_without_a_colon_before_its_first_bar_has_no_value() {
    check(&[
        ("hits", "!no_value=hits"),
        ("hits|c", "!no_value=hits|c"),
        ("hits|1:c", "!no_value=hits|1:c"),
        ("|", "!no_value=|"),
        (":1|c", "!empty_name=:1|c"),
        (":", "!empty_name=:"),
        ("::1|c", "!empty_name=::1|c"),
        (" :1|c", "  counter 1"),
    ]);
}

#[test]
fn a_colon_in_a_kind_part_begins_the_next_sample() {
    check(&[
        ("a:1|c:2|g:x|s", "a counter 1 a gauge 2 a set \"x\""),
        ("a:1|c:2:3|ms", "a counter 1 a timer 2 3"),
        ("a:1|c:", "a counter 1 !no_value="),
        ("a:1|c:|", "a counter 1 !no_value=|"),
        ("a:1|c:2", "a counter 1 !no_kind=2"),
        ("a:1|c::2|c", "a counter 1 a counter 2"),
        ("a:1|x:2|c", "a counter 2 !unknown_kind=1|x"),
        ("a:1|:2|c", "a counter 2 !no_kind=1|"),
        ("a:|c:2|c", "a counter 2 !no_value=|c"),
        ("a:1|c|#k:v:2|c", "a counter 1 #k=v:2 ~unknown_section"),
        ("a:1|c|x:2|c", "a counter 1 ~unknown_section"),
    ]);
}

#[test]
fn a_colon_in_a_rate_begins_a_sample_only_if_nothing_but_rates_stands_before_it() {
    check(&[
        ("a:1|c|@0.5:2|c|@0.25", "a counter 1 @0.5 a counter 2 @0.25"),
        ("a:1|c|@0.1|@0.5:2|ms", "a counter 1 @0.5 a timer 2"),
        ("a:1|c|@0.5:2", "a counter 1 @0.5 !no_kind=2"),
        ("a:1|c|@0.5:", "a counter 1 @0.5 !no_value="),
        ("a:1|x|@0.5:2|c", "a counter 2 !unknown_kind=1|x"),
        ("a:1||@0.5:2|c", "a counter 2 !no_kind=1|"),
        ("a:1|c|#k|@0.5:2|c", "a counter 1 #k= ~bad_rate ~unknown_section"),
        ("a:1|c||@0.5:2|c", "a counter 1 ~bad_rate ~unknown_section"),
    ]);
}

#[test]
fn values_are_missing_where_nothing_but_colons_stands() {
    check(&[
        ("a:|c", "!no_value=|c"),
        ("a:::|c", "!no_value=::|c"),
        ("a:|", "!no_value=|"),
        ("a:", "!no_value="),
        ("a::", "!no_value=:"),
        ("a:|x", "!no_value=|x"),
        ("a:::|x", "!no_value=::|x"),
        ("a:|s", "!no_value=|s"),
        ("a::|s", "a set \":\""),
        ("a:::|s|@1", "a set \"::\" ~rate_ignored"),
    ]);
}

#[test]
fn an_error_never_reaches_beyond_its_sample() {
    check(&[
        ("a:1|c:x|c:2|c", "a counter 1 a counter 2 !bad_value=x"),
        ("a:x:1::y:2|ms:nan|g", "a timer 1 2 !bad_value=x !bad_value=y !not_finite=nan"),
        ("a:x:y|c", "!bad_value=x !bad_value=y"),
    ]);
}

#[test]
fn the_bytes_of_a_refused_sample_end_with_its_kind() {
    check(&[
        ("a:1|x|@0.5|#k:v", "!unknown_kind=1|x"),
        ("a:1:2|x|@0.5:3|y|T1", "!unknown_kind=1:2|x !unknown_kind=3|y"),
        ("a:1||@0.5", "!no_kind=1|"),
    ]);
}
