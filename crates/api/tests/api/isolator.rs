use std::time::Duration;

use api::{App, ContainersConfig, Endpoint, Event, OnFailure, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, Served, asks, config, isolator, read, send};

fn of_type(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn json(status: &str, body: &str) -> String {
    of_type(status, "application/json; charset=UTF-8", body)
}

fn text(status: &str, body: &str) -> String {
    of_type(status, "text/plain; charset=UTF-8", body)
}

fn empty(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn the_isolator_is_answered_to_the_byte() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let register = isolator("POST", "/container", r#"{"container_id":"abc"}"#);
    let first = served.send(&register).await;
    let port = rig.containers.get("abc").unwrap().statsd_port;
    let abc =
        format!(r#"{{"container_id":"abc","statsd_host":"198.51.100.1","statsd_port":{port}}}"#);
    assert_eq!(first, json("201 Created", &abc));
    let not_found = text("404 Not Found", r#"Container "abc" not found"#);
    for (verb, path, body, answer) in [
        ("POST", "/container", r#"{"container_id":"abc"}"#, json("201 Created", &abc)),
        (
            "POST",
            "/container",
            r#"{"container_id":"abc","statsd_host":"h","statsd_port":1}"#,
            json("201 Created", &abc),
        ),
        ("GET", "/containers", "", json("200 OK", &format!("[{abc}]"))),
        ("GET", "/container/abc", "", json("200 OK", &abc)),
        ("DELETE", "/container/abc", "", json("202 Accepted", "")),
        ("DELETE", "/container/abc", "", not_found.clone()),
        ("GET", "/container/abc", "", not_found.clone()),
        ("GET", "/containers", "", json("200 OK", "[]")),
    ] {
        assert_eq!(served.send(&isolator(verb, path, body)).await, answer, "{verb} {path} {body}");
    }
}

#[tokio::test]
async fn every_other_path_and_verb_is_answered_as_go_answers_it() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let no_such_path = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
        X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: 19\r\n\r\n\
        404 page not found\n";
    let moved = |location: &str| {
        format!(
            "HTTP/1.1 301 Moved Permanently\r\nLocation: {location}\r\nConnection: close\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let page = "HTTP/1.1 301 Moved Permanently\r\nLocation: /containers?a=%22&b\r\n\
        Content-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: 58\r\n\r\n\
        <a href=\"/containers?a=%22&amp;b\">Moved Permanently</a>.\n\n";
    for (request, answer) in [
        ("GET / HTTP/1.1", text("404 Not Found", "Not Found")),
        ("GET /health HTTP/1.1", no_such_path.to_owned()),
        ("GET /status.json HTTP/1.1", no_such_path.to_owned()),
        ("DELETE /container/a/b HTTP/1.1", no_such_path.to_owned()),
        ("GET /container HTTP/1.1", empty("405 Method Not Allowed")),
        ("PATCH /containers HTTP/1.1", empty("405 Method Not Allowed")),
        ("PUT /container/abc HTTP/1.1", empty("405 Method Not Allowed")),
        ("POST /containers/ HTTP/1.1", empty("405 Method Not Allowed")),
        ("GET /containers/?a=%22&b HTTP/1.1", page.to_owned()),
        ("POST /container/ HTTP/1.1", moved("/container")),
        ("DELETE /container/a%20b/ HTTP/1.1", moved("/container/a%20b")),
        ("GET //containers HTTP/1.1", moved("/containers")),
        ("DELETE /container/.. HTTP/1.1", moved("/")),
        ("GET /container/%zz HTTP/1.1", text("400 Bad Request", "400 Bad Request")),
        (
            "GET /container/%ff%22 HTTP/1.1",
            text("404 Not Found", r#"Container "\xff\"" not found"#),
        ),
        ("GET http://any/containers HTTP/1.1", json("200 OK", "[]")),
        ("no HTTP at all", empty("400 Bad Request")),
    ] {
        assert_eq!(served.send(&format!("{request}\r\nHost: \r\n\r\n")).await, answer, "{request}");
    }
}

#[tokio::test]
async fn every_id_that_mesos_allows_is_served() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let long = "x".repeat(255);
    for (id, in_json, in_path) in [
        ("a b<&>", r"a b\u003c\u0026\u003e", "a%20b%3c%26%3E"),
        ("é%\"", "é%\\\"", "%C3%A9%25%22"),
        ("...", "...", "..."),
        (&long, &long, &long),
    ] {
        let asked = serde_json::json!({ "container_id": id }).to_string();
        let answer = served.send(&isolator("POST", "/container", &asked)).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        let read = format!("{{\"container_id\":\"{in_json}\",\"statsd_host\":");
        let path = format!("/container/{in_path}");
        let answer = served.send(&isolator("GET", &path, "")).await;
        assert!(answer.contains(&read), "{answer}");
        let answer = served.send(&isolator("DELETE", &path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
    assert!(rig.containers.is_empty());
}

#[tokio::test]
async fn what_cannot_be_decoded_is_refused_and_nothing_is_written() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let long_host = format!(r#"{{"container_id":"a","statsd_host":"{}"}}"#, "h".repeat(1025));
    let long_id = format!(r#"{{"container_id":"{}"}}"#, "x".repeat(256));
    let bodies = [
        "",
        "[]",
        "{",
        "\u{0}",
        "{}",
        r#"{"id":"abc"}"#,
        r#"{"container_id":""}"#,
        r#"{"container_id":".."}"#,
        r#"{"container_id":"../a"}"#,
        r#"{"container_id":"a\\b"}"#,
        r#"{"container_id":"a\u0000"}"#,
        r#"{"container_id":"a","statsd_port":"1"}"#,
        &long_id,
        &long_host,
    ];
    for body in bodies {
        let answer = served.send(&isolator("POST", "/container", body)).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{body}: {answer}");
        assert!(answer.contains("\r\n\r\nCould not decode request"), "{body}: {answer}");
    }
    let plain = text("400 Bad Request", "Could not decode request");
    assert_eq!(served.send(&isolator("POST", "/container", "{")).await, plain);
    assert!(rig.containers.is_empty());
    assert_eq!(rig.disk.writes(), []);
    assert_eq!(served.traffic.read().get(Event::Undecodable), bodies.len() as u64 + 1);
}

#[tokio::test]
async fn a_container_that_cannot_be_served_starts_without_statsd_or_not_at_all() {
    for (on_failure, answer) in [
        (OnFailure::NoContent, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()),
        (OnFailure::ServerError, text("500 Internal Server Error", "Could not add container b")),
    ] {
        let rig = Rig::new(ContainersConfig { on_failure, max_containers: 1, ..config() });
        let served = Served::registration(&rig.containers);
        rig.containers.register(asks("a")).await.unwrap();
        let register = isolator("POST", "/container", r#"{"container_id":"b"}"#);
        assert_eq!(served.send(&register).await, answer);
        assert_eq!(rig.containers.counts().refused.too_many, 1);
    }
}

#[tokio::test]
async fn the_isolator_is_answered_over_tcp_too() {
    let rig = Rig::new(config());
    let server = Server::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
    let Endpoint::Tcp { host, port } = server.endpoint().clone() else { panic!("no TCP") };
    let app = App { registration: Some(rig.containers.clone()), ..App::default() };
    tokio::spawn(server.serve(app, CancellationToken::new()));

    let mut stream = TcpStream::connect((host, port)).await.unwrap();
    let register = isolator("POST", "/container", r#"{"container_id":"abc"}"#)
        .replace("Host: ", &format!("Host: 127.0.0.1:{port}"));
    stream.write_all(register.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_may_close_its_side_before_it_reads_the_answer() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let mut stream = UnixStream::connect(&served.path).await.unwrap();
    let register = isolator("POST", "/container", r#"{"container_id":"abc"}"#);
    stream.write_all(register.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(read(&mut stream).await.starts_with("HTTP/1.1 201 Created\r\n"));
}

#[tokio::test]
async fn one_request_is_answered_on_a_connection() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let two = "GET /containers HTTP/1.1\r\nHost: \r\nConnection: keep-alive\r\n\r\n".repeat(2);
    assert_eq!(served.send(&two).await, json("200 OK", "[]"));
}

#[tokio::test]
async fn web_pages_are_refused() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    for origin in ["http://evil.example", "null", ""] {
        let register = isolator("POST", "/container", r#"{"container_id":"abc"}"#)
            .replace("Host: ", &format!("Origin: {origin}\r\nHost: "));
        let answer = served.send(&register).await;
        assert_eq!(answer, text("403 Forbidden", "Requests from web pages are refused"));
    }
    assert!(rig.containers.is_empty());
    assert_eq!(served.traffic.read().get(Event::Forbidden), 3);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_so_that_its_sender_hears_it() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let id = r#"{"container_id":"abc"}"#;
    let register = |size: usize| {
        isolator("POST", "/container", &format!("{id}{}", " ".repeat(size - id.len())))
    };
    let answer = served.send(&register(65_536)).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let refused = text("413 Payload Too Large", "The body is larger than 64 KiB");
    for size in [65_537, 1 << 20, 8 << 20] {
        assert_eq!(served.send(&register(size)).await, refused);
    }
    let chunked = format!(
        "POST /container HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        format!("8000\r\n{}\r\n", " ".repeat(0x8000)).repeat(3)
    );
    assert_eq!(served.send(&chunked).await, refused);
    // Who asks first need not send it.
    let expects = "POST /container HTTP/1.1\r\nHost: \r\nExpect: 100-continue\r\n\
                   Content-Length: 99999999999\r\n\r\n";
    assert_eq!(served.send(expects).await, refused);
    assert_eq!(served.traffic.read().get(Event::TooLarge), 5);
}

#[tokio::test]
async fn a_task_that_lived_shortly_has_its_datagrams_read_before_it_is_forgotten() {
    let rig = Rig::new(config());
    let served = Served::registration(&rig.containers);
    let port = rig.containers.register(asks("abc")).await.unwrap().statsd_port;
    let task = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for line in ["a:1|c", "b:1|c"] {
        task.send_to(line.as_bytes(), ("127.0.0.1", port)).unwrap();
    }
    let answer = send(&served.path, isolator("DELETE", "/container/abc", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    for line in ["a:1|c", "b:1|c"] {
        let read = rig.worker.read.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(read, line.as_bytes());
    }
    assert_eq!(rig.told(), ["registered abc", "removed abc"]);
}
