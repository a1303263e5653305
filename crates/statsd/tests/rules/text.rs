use crate::told::check_bytes;

#[test]
fn ill_formed_text_is_replaced_and_noted_where_it_is_kept() {
    check_bytes(&[
        (b"n\xff:1|c", "n\u{fffd} counter 1 ~invalid_utf8"),
        (b"n\xe2\x82x\xf0\x9f:1|c", "n\u{fffd}x\u{fffd} counter 1 ~invalid_utf8"),
        (b"a:1|c|#\xc3:\xa9", "a counter 1 #\u{fffd}=\u{fffd} ~invalid_utf8"),
        (b"a:1|c|#:\xff", "a counter 1 ~empty_tag"),
        (b"a,k=\xff:1|c", "a counter 1 #k=\u{fffd} ~invalid_utf8"),
        (b"a,k=v,\xff:1|c", "a counter 1 #k=v ~bad_name_tag"),
        (b"a:1|c|c:\xff", "a counter 1 c:\u{fffd} ~invalid_utf8"),
        (b"a:1|c|c:\xff|c:x", "a counter 1 c:x"),
        (b"a:\xff|s", "a set \"\u{fffd}\" ~invalid_utf8"),
        (b"a:1|c|e:\xff|\xff", "a counter 1 ~unknown_section"),
        (b"a:1:\xff|c", "a counter 1 !bad_value=\u{fffd}"),
        (b"n\xff:x|c", "!bad_value=x"),
        (b"n\xff:\xff|s|#\xff:k", "n\u{fffd} set \"\u{fffd}\" #\u{fffd}=k ~invalid_utf8"),
    ]);
}

#[test]
fn tags_that_become_alike_are_one() {
    check_bytes(&[(b"a:1|c|#\xff,\xfe,\xef\xbf\xbd", "a counter 1 #\u{fffd}= ~invalid_utf8")]);
}

#[test]
fn a_name_is_decoded_after_its_tags_were_taken_out() {
    check_bytes(&[
        (b"n\xc3[k=v]\xa9:1|c", "n\u{e9} counter 1 #k=v"),
        (b"n\xc3[k=v]x:1|c", "n\u{fffd}x counter 1 #k=v ~invalid_utf8"),
    ]);
}

#[test]
fn blanks_within_a_line_are_bytes_like_others() {
    check_bytes(&[
        (b"\xef\xbb\xbfa:1|c", "\u{feff}a counter 1"),
        (b"\0:1|c", "\0 counter 1"),
        (b"a\r:1|c", "a\r counter 1"),
        (b"a:1|c\x0c", "!unknown_kind=1|c\x0c"),
        (b"a:1|c|#k\x0b", "a counter 1 #k\x0b="),
        (b" \t:1|c", " \t counter 1"),
    ]);
}

#[test]
fn refused_bytes_are_shown_up_to_the_two_hundredth() {
    let long = [&b"\xff"[..], &b"x".repeat(198), b"\xc3\xa9"].concat();
    assert_eq!(statsd::shown(&long), format!("\u{fffd}{}\u{fffd}", "x".repeat(198)));
    assert_eq!(statsd::shown(&long[..199]), format!("\u{fffd}{}", "x".repeat(198)));
    assert_eq!(statsd::shown(b""), "");
}
