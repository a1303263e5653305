use std::fmt::Write as _;

use metric::{Container, check_container_id};

use super::served::{Answer, HOST, Served, served};

/// The body of a registration, whatever it is: refused, or the container is served as it asked, is
/// told so again and again, and is gone when it is removed.
pub(crate) fn registration(body: &[u8]) {
    let served = served();
    let first = post(&served, body);
    let asked = Container::decode(body).ok();
    let is_fit = asked.as_ref().is_some_and(|asked| {
        check_container_id(&asked.container_id).is_ok() && asked.statsd_host.len() <= 1024
    });
    match (first.status, asked) {
        (201, Some(asked)) if is_fit => serves(&served, &first, &asked),
        // Its port is somebody else's.
        (204, Some(asked)) if is_fit => assert_ne!(asked.statsd_port, 0),
        (400, _) => assert!(!is_fit),
        (413, _) => assert!(body.len() > 64 << 10),
        (status, asked) => panic!("{status} to {asked:?}"),
    }
    assert_eq!(served.containers.list(), []);
}

fn serves(served: &Served, first: &Answer, asked: &Container) {
    let told = Container::decode(&first.body).expect("it is told a container");
    let host = if asked.statsd_host.is_empty() { HOST } else { &asked.statsd_host };
    let port = if asked.statsd_port == 0 { told.statsd_port } else { asked.statsd_port };
    let (container_id, statsd_host) = (asked.container_id.clone(), host.to_owned());
    assert_eq!(told, Container { container_id, statsd_host, statsd_port: port });
    assert_ne!(told.statsd_port, 0);
    assert_eq!(served.containers.list(), [told]);

    assert_eq!(post(served, &first.body), *first, "it is told the same again");
    let mut id = String::new();
    for byte in asked.container_id.bytes() {
        let _ = write!(id, "%{byte:02X}"); // writing to a String cannot fail
    }
    let ask = |verb, path: &str| {
        let head = format!("{verb} {path} HTTP/1.1\r\nHost: \r\n\r\n");
        served.send(head.as_bytes()).expect("an answer")
    };
    let one = ask("GET", &format!("/container/{id}"));
    assert_eq!((one.status, &one.body), (200, &first.body));
    let all = ask("GET", "/containers");
    assert_eq!((all.status, all.body), (200, [b"[", &*first.body, b"]"].concat()));
    assert_eq!(ask("DELETE", &format!("/container/{id}")).status, 202);
    assert_eq!(ask("GET", &format!("/container/{id}")).status, 404);
}

fn post(served: &Served, body: &[u8]) -> Answer {
    let head =
        format!("POST /container HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n\r\n", body.len());
    served.send(&[head.as_bytes(), body].concat()).expect("an answer")
}
