use crate::told::{check, check_bytes};

#[test]
fn an_event_is_as_long_as_it_says_in_bytes() {
    check(&[
        ("_e{5,4}:title|text", "event \"title\" \"text\""),
        ("_e{1,0}:a|", "event \"a\" \"\""),
        ("_e{2,3}:é|añ", "event \"é\" \"añ\""),
        ("_e{01,0003}:a|b|c", "event \"a\" \"b|c\""),
        ("_e{3,1}:a|b|c", "event \"a|b\" \"c\""),
        ("_e{1,1}:a|bc", "!bad_event=_e{1,1}:a|bc"),
        ("_e{1,3}:a|bc", "!bad_event=_e{1,3}:a|bc"),
        ("_e{2,1}:a|b", "!bad_event=_e{2,1}:a|b"),
        ("_e{0,1}:|a", "!bad_event=_e{0,1}:|a"),
        ("_e{+1,1}:a|b", "!bad_event=_e{+1,1}:a|b"),
        ("_e{1, 1}:a|b", "!bad_event=_e{1, 1}:a|b"),
        ("_e{,1}:|b", "!bad_event=_e{,1}:|b"),
        ("_e{1,1}a|b", "!bad_event=_e{1,1}a|b"),
        ("_e{1,1:a|b", "!bad_event=_e{1,1:a|b"),
        ("_e{1,18446744073709551616}:a|b", "!bad_event=_e{1,18446744073709551616}:a|b"),
        ("_e{18446744073709551615,1}:a|b", "!bad_event=_e{18446744073709551615,1}:a|b"),
        ("_e{", "!bad_event=_e{"),
        ("_e{:1|c", "!bad_event=_e{:1|c"),
        ("_E{1,1}:a|b", "!unknown_kind=a|b"),
        ("_e:1|c", "_e counter 1"),
        ("_x:1|c", "_x counter 1"),
    ]);
}

#[test]
fn only_line_feeds_are_escaped_in_an_events_text() {
    check(&[
        (r"_e{3,4}:a\n|b\nc", r#"event "a\\n" "b\nc""#),
        (r"_e{1,6}:a|\\n\t\", r#"event "a" "\\\n\\t\\""#),
        (r"_e{1,4}:a|\n\n", r#"event "a" "\n\n""#),
    ]);
    check_bytes(&[(b"_e{1,3}:\xff|\xff\\n", "event \"\u{fffd}\" \"\u{fffd}\\n\" ~invalid_utf8")]);
}

#[test]
fn the_fields_of_events_and_checks_are_tags_or_not_examined() {
    check(&[
        ("_e{1,1}:a|b|#k:v,a|#z", "event \"a\" \"b\" #a=,k=v,z="),
        ("_e{1,1}:a|b|d:x|h:|k:y|p:low|s:|t:info|m:|c:ci-x|e:|card:", "event \"a\" \"b\""),
        ("_e{1,1}:a|b|", "event \"a\" \"b\" ~unknown_section"),
        ("_e{1,1}:a|b|#,|T1", "event \"a\" \"b\" ~empty_tag ~unknown_section"),
        ("_e{1,1}:a|b|@0.5", "event \"a\" \"b\" ~unknown_section"),
        ("_e{1,1}:a|b|x:", "event \"a\" \"b\" ~unknown_section"),
        ("_sc|db|0|#k|m:all is well|y", "check \"db\" 0 #k= ~unknown_section"),
        ("_sc|db|0|m:a|b", "check \"db\" 0 ~unknown_section"),
        ("_sc|db|0|card", "check \"db\" 0 ~unknown_section"),
    ]);
    check_bytes(&[(b"_sc|db|0|m:\xff|c:\xff", "check \"db\" 0")]);
}

#[test]
fn a_check_has_a_name_and_a_status() {
    check(&[
        ("_sc|db.up|0", "check \"db.up\" 0"),
        ("_sc|db.up|3", "check \"db.up\" 3"),
        ("_sc|db,k=v|1", "check \"db,k=v\" 1"),
        ("_sc|a:b|2", "check \"a:b\" 2"),
        ("_sc|db|4", "!bad_check=_sc|db|4"),
        ("_sc|db|", "!bad_check=_sc|db|"),
        ("_sc|db|00", "!bad_check=_sc|db|00"),
        ("_sc|db|0 |x", "!bad_check=_sc|db|0 |x"),
        ("_sc|db", "!bad_check=_sc|db"),
        ("_sc||0", "!bad_check=_sc||0"),
        ("_sc|", "!bad_check=_sc|"),
        ("_sc|a:1|c", "!bad_check=_sc|a:1|c"),
        ("_sc:1|c", "_sc counter 1"),
    ]);
    check_bytes(&[(b"_sc|\xff|0", "check \"\u{fffd}\" 0 ~invalid_utf8")]);
}
