use crate::told::check;

#[test]
fn tags_are_split_at_commas_and_each_at_its_first_colon() {
    check(&[
        ("a:1|c|#k:v", "a counter 1 #k=v"),
        ("a:1|c|#k:v:w", "a counter 1 #k=v:w"),
        ("a:1|c|#k::", "a counter 1 #k=:"),
        ("a:1|c|# k : v ", "a counter 1 # k = v "),
        ("a:1|c|#K:V,k=v", "a counter 1 #K=V,k=v="),
        ("a:1|c|##k", "a counter 1 ##k="),
    ]);
}

#[test]
fn a_bare_tag_has_an_empty_value() {
    check(&[("a:1|c|#k", "a counter 1 #k="), ("a:1|c|#k,k:", "a counter 1 #k=")]);
}

#[test]
fn an_empty_tag_or_key_is_dropped_with_a_note() {
    check(&[
        ("a:1|c|#", "a counter 1 ~empty_tag"),
        ("a:1|c|#,", "a counter 1 ~empty_tag"),
        ("a:1|c|#k,,l", "a counter 1 #k=,l= ~empty_tag"),
        ("a:1|c|#:v", "a counter 1 ~empty_tag"),
        ("a:1|c|#:", "a counter 1 ~empty_tag"),
        ("a:1|c|#k|#", "a counter 1 #k= ~empty_tag"),
    ]);
}

#[test]
fn tags_of_all_places_are_merged_and_sorted_by_their_bytes() {
    check(&[
        ("a:1|c|#b:2,a:1|#c", "a counter 1 #a=1,b=2,c="),
        ("a,m=1:1|c|#z:2,a:3", "a counter 1 #a=3,m=1,z=2"),
        ("a:1|c|#k:b,k:a,k:b,k", "a counter 1 #k=,k=a,k=b"),
        ("a,k=v:1|c|#k:v", "a counter 1 #k=v"),
        ("a:1|c|#ä,z,Z,b-,b,b.", "a counter 1 #Z=,b=,b-=,b.=,z=,ä="),
        ("a:1|c|#😀,\u{ffff}", "a counter 1 #\u{ffff}=,😀="),
    ]);
}
