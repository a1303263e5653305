use std::fs;
use std::io::{Write, read_to_string};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use api::{ApiError, App, Endpoint, Server};
use ingest::{Store, Stored};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn bind(path: &Path) -> Result<Server, ApiError> {
    Server::bind(&Endpoint::Unix(path.to_owned()))
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
}

#[tokio::test]
async fn a_socket_that_a_living_process_serves_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let _alive = UnixListener::bind(&path).unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error, ApiError::Live { .. }), "{error}");
    assert!(error.to_string().ends_with("is another agent running?"), "{error}");

    // Its queue is full, too.
    let mut waiting = Vec::new();
    while let Ok(stream) = connect_now(&path) {
        waiting.push(stream);
    }
    assert!(matches!(bind(&path).unwrap_err(), ApiError::Live { .. }));
}

fn connect_now(path: &Path) -> std::io::Result<socket2::Socket> {
    use socket2::{Domain, SockAddr, Socket, Type};
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("precious");
    fs::write(&path, "data").unwrap();
    assert!(matches!(bind(&path).unwrap_err(), ApiError::NotASocket { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"data");
    assert!(matches!(bind(directory.path()).unwrap_err(), ApiError::NotASocket { .. }));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let directory = TempDir::new().unwrap();
    let error = bind(&directory.path().join("missing/s")).unwrap_err();
    assert!(matches!(error, ApiError::NoDirectory { .. }), "{error}");
    assert!(error.to_string().contains("missing/s: its directory does not exist"), "{error}");
}

#[tokio::test]
async fn a_stopped_server_removes_its_socket_file_and_no_other() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let app = || App::default();
    let stopped = CancellationToken::new();
    stopped.cancel();
    bind(&path).unwrap().serve(app(), stopped.clone()).await;
    assert!(!path.exists());

    let replaced = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    replaced.serve(app(), stopped).await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_tcp_port_that_is_taken_is_an_error_that_names_it() {
    let first = Server::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Server::bind(first.endpoint()).unwrap_err();
    assert!(matches!(error, ApiError::Bind { .. }), "{error}");
    assert!(error.to_string().contains(&first.endpoint().to_string()), "{error}");
}

#[tokio::test]
async fn who_connected_between_two_processes_is_answered_by_the_second() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let left = UnixListener::bind(&path).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = port.local_addr().unwrap();
    let stored = |socket| Stored { name: None, socket };
    let store = Store::new(vec![stored(left.into()), stored(port.into())], None, None).unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: \r\n\r\n";
    let mut over_unix = UnixStream::connect(&path).unwrap();
    over_unix.write_all(ask).unwrap();
    let mut over_tcp = TcpStream::connect(at).unwrap();
    over_tcp.write_all(ask).unwrap();

    let stop = CancellationToken::new();
    for endpoint in [Endpoint::Unix(path.clone()), at.to_string().parse().unwrap()] {
        let server = Server::bind_stored(&endpoint, &store).unwrap();
        assert_eq!(server.endpoint(), &endpoint);
        let app = App::default();
        tokio::spawn(server.serve(app, stop.clone()));
    }
    let answers = tokio::task::spawn_blocking(move || {
        (read_to_string(over_unix).unwrap(), read_to_string(over_tcp).unwrap())
    });
    let (over_unix, over_tcp) = answers.await.unwrap();
    assert!(over_unix.starts_with("HTTP/1.1 404"), "{over_unix}");
    assert_eq!(over_unix, over_tcp);
    stop.cancel();
    // Whoever left it may want it back.
    assert!(path.exists());
}

#[tokio::test]
async fn a_port_that_is_left_at_another_address_is_given_up() {
    let left = TcpListener::bind("127.0.0.1:0").unwrap();
    let wide = Endpoint::Tcp { host: "0.0.0.0".into(), port: left.local_addr().unwrap().port() };
    let stored = Stored { name: None, socket: left.into() };
    let store = Store::new(vec![stored], None, None).unwrap();
    assert!(matches!(Server::bind_stored(&wide, &store), Err(ApiError::Bind { .. })));
    Server::bind_stored(&wide, &store).unwrap();
}
