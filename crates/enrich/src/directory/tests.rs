use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use metric::Container;
use proptest::prelude::*;

use super::*;

fn container(id: &str, port: u16) -> Container {
    Container { container_id: id.into(), statsd_host: "198.51.100.1".into(), statsd_port: port }
}

fn directory() -> (tempfile::TempDir, Directory) {
    let root = tempfile::tempdir().unwrap();
    let directory = Directory::open(root.path().join("a/containers")).unwrap();
    (root, directory)
}

fn names(directory: &Directory) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn put(directory: &Directory, name: &str, content: &str) {
    fs::write(directory.path().join(name), content).unwrap();
}

#[test]
fn what_is_saved_is_loaded_and_what_is_removed_is_not() {
    let (_root, directory) = directory();
    let odd = ["plain", "a b", "ü%41", "x.bad", "...", "%weir-tmp-1-0", &"x".repeat(255)];
    let longest = "\u{10348}".repeat(63);
    let ids: Vec<&str> = odd.into_iter().chain([longest.as_str()]).collect();
    for (port, id) in (1..).zip(&ids) {
        directory.save(&container(id, 9)).unwrap();
        directory.save(&container(id, port)).unwrap();
    }
    assert_eq!(names(&directory).len(), ids.len());
    let loaded = directory.load().unwrap();
    assert_eq!(loaded.set_aside, []);
    let mut expected: Vec<_> = (1..).zip(&ids).map(|(port, id)| container(id, port)).collect();
    expected.sort_by(|one, other| one.container_id.cmp(&other.container_id));
    assert_eq!(loaded.containers, expected);
    for id in ids {
        directory.remove(id).unwrap();
        directory.remove(id).unwrap();
    }
    assert_eq!(names(&directory), [""; 0]);
}

#[test]
fn a_file_is_the_compact_object_that_dcos_writes() {
    let (_root, directory) = directory();
    directory.save(&container("abc123", 43210)).unwrap();
    let path = directory.path().join("abc123");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        r#"{"container_id":"abc123","statsd_host":"198.51.100.1","statsd_port":43210}"#
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o664);
}

#[test]
fn files_of_both_eras_are_read_by_their_content_and_brought_to_one_name() {
    let (_root, directory) = directory();
    put(
        &directory,
        "3c1f8d1e-4d63-4c3b-9a0d-7f5b3e2b8f11",
        r#"{"container_id":"3c1f8d1e-4d63-4c3b-9a0d-7f5b3e2b8f11","statsd_host":"127.0.0.1","statsd_port":31001}"#,
    );
    // The older module's JSON had spaces, and its names lost what a file name cannot hold.
    put(
        &directory,
        "parentchild",
        r#"{ "container_id": "child", "statsd_host": "127.0.0.1", "statsd_port": 31002 }"#,
    );
    put(&directory, "a b", r#"{"container_id":"a b","statsd_port":31003}"#);
    let loaded = directory.load().unwrap();
    assert_eq!(loaded.set_aside, []);
    let seen: Vec<_> =
        loaded.containers.iter().map(|c| (c.container_id.as_str(), c.statsd_port)).collect();
    assert_eq!(
        seen,
        [("3c1f8d1e-4d63-4c3b-9a0d-7f5b3e2b8f11", 31001), ("a b", 31003), ("child", 31002)]
    );
    assert_eq!(names(&directory), ["3c1f8d1e-4d63-4c3b-9a0d-7f5b3e2b8f11", "a%20b", "child"]);
    directory.save(&container("child", 5)).unwrap();
    directory.remove("a b").unwrap();
    assert_eq!(names(&directory), ["3c1f8d1e-4d63-4c3b-9a0d-7f5b3e2b8f11", "child"]);
}

#[test]
fn names_that_are_swapped_are_put_right_without_losing_a_container() {
    let (_root, directory) = directory();
    for (name, id) in [("a", "b"), ("b", "c"), ("c", "a"), ("odd", "d")] {
        put(&directory, name, &format!(r#"{{"container_id":"{id}","statsd_port":7}}"#));
    }
    let loaded = directory.load().unwrap();
    assert_eq!(loaded.set_aside, []);
    assert_eq!(loaded.containers.len(), 4);
    assert_eq!(names(&directory), ["a", "b", "c", "d"]);
    for container in loaded.containers {
        let text = fs::read_to_string(directory.path().join(&container.container_id)).unwrap();
        assert!(text.contains(&format!("\"{}\"", container.container_id)), "{text}");
    }
}

#[test]
fn a_bad_file_is_set_aside_and_stops_nothing() {
    let (_root, directory) = directory();
    put(&directory, "good", r#"{"container_id":"good","statsd_port":1}"#);
    let bad = [
        ("empty", String::new()),
        ("cut", r#"{"container_id":"cu"#.to_owned()),
        ("list", "[]".to_owned()),
        ("nameless", r#"{"statsd_port":1}"#.to_owned()),
        ("climber", r#"{"container_id":"../etc/passwd"}"#.to_owned()),
        ("port", r#"{"container_id":"port","statsd_port":"1"}"#.to_owned()),
        ("huge", format!(r#"{{"container_id":"huge","x":"{}"}}"#, "x".repeat(70_000))),
    ];
    for (name, content) in &bad {
        put(&directory, name, content);
    }
    put(&directory, "cut.bad", "an earlier one");
    fs::create_dir(directory.path().join("folder")).unwrap();
    let loaded = directory.load().unwrap();
    assert_eq!(loaded.containers.len(), 1);
    assert_eq!(loaded.set_aside.len(), bad.len());
    for (name, content) in &bad {
        let now = if *name == "cut" { "cut.1.bad".to_owned() } else { format!("{name}.bad") };
        let path = directory.path().join(now);
        assert_eq!(&fs::read_to_string(&path).unwrap(), content, "{name}");
        assert!(loaded.set_aside.iter().any(|(at, why)| *at == path && !why.is_empty()));
    }
    assert_eq!(fs::read_to_string(directory.path().join("cut.bad")).unwrap(), "an earlier one");
    let again = directory.load().unwrap();
    assert_eq!((again.containers.len(), again.set_aside.len()), (1, 0));
}

#[test]
fn of_two_files_for_one_id_the_newer_counts() {
    let (_root, directory) = directory();
    for (name, port, age) in [("one", 1, 60), ("two", 2, 10), ("id", 3, 30)] {
        put(&directory, name, &format!(r#"{{"container_id":"id","statsd_port":{port}}}"#));
        let file = fs::File::open(directory.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    let loaded = directory.load().unwrap();
    assert_eq!(loaded.containers.len(), 1);
    assert_eq!(loaded.containers[0].statsd_port, 2);
    assert_eq!(loaded.set_aside.len(), 2);
    assert_eq!(names(&directory), ["id", "id.bad", "one.bad"]);
}

#[test]
fn what_a_crash_left_half_written_is_removed() {
    let (_root, directory) = directory();
    put(&directory, "%weir-tmp-77-0", r#"{"container_id":"x","statsd_port":1}"#);
    put(&directory, "%weir-parked-0", r#"{"container_id":"y","statsd_port":2}"#);
    let loaded = directory.load().unwrap();
    assert_eq!(loaded.containers, [Container { statsd_host: String::new(), ..container("y", 2) }]);
    assert_eq!(names(&directory), ["y"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_that_names_it() {
    let (root, directory) = directory();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Directory::open(&file).unwrap_err().to_string();
    assert!(error.contains("/file"), "{error}");

    fs::remove_dir(directory.path()).unwrap();
    let error = directory.save(&container("abc", 1)).unwrap_err().to_string();
    assert!(error.contains("\"abc\""), "{error}");
    assert!(directory.load().is_err());
    directory.remove("abc").unwrap();
}

#[test]
fn a_container_that_cannot_be_saved_leaves_the_old_file_and_no_temporary_one() {
    let (_root, directory) = directory();
    fs::create_dir(directory.path().join("abc")).unwrap();
    assert!(directory.save(&container("abc", 1)).is_err());
    assert_eq!(names(&directory), ["abc"]);
    assert!(directory.remove("abc").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_content_of_the_directory_is_lost_or_panics(
        files in prop::collection::btree_map(
            "[a-zA-Z0-9._%-]{1,12}",
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..64),
                "\\{\"container_id\":\"[a-d%. ]{0,3}\",\"statsd_port\":[0-9]{1,5}\\}".prop_map(String::into_bytes),
            ],
            0..8,
        )
    ) {
        let (_root, directory) = directory();
        for (name, content) in &files {
            if name != "." && name != ".." {
                fs::write(directory.path().join(name), content).unwrap();
            }
        }
        let before = names(&directory).len();
        let first = directory.load().unwrap();
        prop_assert_eq!(names(&directory).len(), before);
        let second = directory.load().unwrap();
        prop_assert_eq!(first.containers, second.containers);
        prop_assert!(second.set_aside.is_empty());
    }
}
