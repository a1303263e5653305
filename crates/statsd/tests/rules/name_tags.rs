use metric::ReadAs;

use crate::told::{check, told};

#[test]
fn the_four_styles_are_read() {
    check(&[
        ("disk,dev=sda,fs=xfs:1|g", "disk gauge 1 #dev=sda,fs=xfs"),
        ("disk#dev=sda,fs=xfs:1|g", "disk gauge 1 #dev=sda,fs=xfs"),
        ("disk[dev=sda,fs=xfs]:1|g", "disk gauge 1 #dev=sda,fs=xfs"),
        ("disk[dev=sda].used:1|g", "disk.used gauge 1 #dev=sda"),
        ("disk;dev=sda;fs=xfs:1|g", "disk gauge 1 #dev=sda,fs=xfs"),
    ]);
}

#[test]
fn the_first_style_with_a_pair_is_read_and_no_other() {
    check(&[
        ("a,b#c=d:1|c", "a counter 1 #b#c=d"),
        ("a#b;c=d:1|c", "a counter 1 #b;c=d"),
        ("a[0];c=d:1|c", "a[0] counter 1 #c=d"),
        ("a[0][c=d]:1|c", "a[0] counter 1 #c=d"),
        ("a[c=d][e=f]:1|c", "a[e=f] counter 1 #c=d"),
        ("a[b[c=d]e]:1|c", "ae] counter 1 #b[c=d"),
        ("a]b[c=d]:1|c", "a]b counter 1 #c=d"),
        ("a[b,c=d:1|c", "a[b counter 1 #c=d"),
        ("a;b,c=d:1|c", "a counter 1 #b,c=d"),
        ("a,=b;c=d:1|c", "a,=b counter 1 #c=d"),
        ("a=b,c:1|c", "a=b,c counter 1"),
        ("a,k=v=w:1|c", "a counter 1 #k=v=w"),
        ("a,k=:1|c", "a counter 1 #k="),
        ("a, k = v :1|c", "a counter 1 # k = v "),
    ]);
}

#[test]
fn what_is_no_pair_is_dropped_with_a_note_if_another_is_one() {
    check(&[
        ("a,k=v,:1|c", "a counter 1 #k=v ~bad_name_tag"),
        ("a,b,k=v:1|c", "a counter 1 #k=v ~bad_name_tag"),
        ("a;=x;k=v:1|c", "a counter 1 #k=v ~bad_name_tag"),
        ("a[,k=v]:1|c", "a counter 1 #k=v ~bad_name_tag"),
        ("a,b:1|c", "a,b counter 1"),
    ]);
}

#[test]
fn a_name_without_a_pair_is_a_name() {
    check(&[
        ("users#show:1|c", "users#show counter 1"),
        ("cpu[0]:1|c", "cpu[0] counter 1"),
        ("f(a,b):1|c", "f(a,b) counter 1"),
        ("a,=v:1|c", "a,=v counter 1"),
        ("a[k=v:1|c", "a[k=v counter 1"),
        ("a];[k=v:1|c", "a] counter 1 #[k=v"),
    ]);
}

#[test]
fn nothing_but_tags_is_no_name() {
    check(&[
        (",k=v:1|c", "!empty_name=,k=v:1|c"),
        ("[k=v]:1|c", "!empty_name=[k=v]:1|c"),
        ("[k=v]a:1|c", "a counter 1 #k=v"),
    ]);
}

#[test]
fn a_name_cut_inside_a_tags_value_refuses_the_line() {
    check(&[
        ("a,url=http://x:1|c", "!bad_value=a,url=http://x:1|c"),
        ("a,t=1:x:2|ms|#k", "!bad_value=a,t=1:x:2|ms|#k"),
        ("a,t=1::x|c:2|c", "!bad_value=a,t=1::x|c:2|c"),
        ("a,t=1:2:x|c", "a counter 2 #t=1 !bad_value=x"),
        ("a,t=1:nan|c", "!not_finite=nan"),
        ("a,t=1:x|s", "a set \"x\" #t=1"),
        ("a,t=1:x|y", "!unknown_kind=x|y"),
        ("a,t=1:x", "!no_kind=x"),
        ("a,t=1::|c", "!no_value=:|c"),
        ("a,t=1:1|c:x|c", "a counter 1 #t=1 !bad_value=x"),
        ("a,t:x|c", "!bad_value=x"),
    ]);
}

#[test]
fn name_tags_can_be_turned_off() {
    let off = ReadAs { name_tags: false, ..ReadAs::default() };
    for name in ["a,k=v", "a#k=v", "a[k=v]b", "a;k=v", ",k=v"] {
        let line = format!("{name}:1|c|#t");
        assert_eq!(told(line.as_bytes(), off), format!("{name} counter 1 #t="));
    }
    assert_eq!(told(b"a,url=http://x:1|c", off), "a,url=http counter 1 !bad_value=//x");
}
