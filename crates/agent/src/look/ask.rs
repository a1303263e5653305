use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use api::Endpoint;
use serde_json::Value;

const LONGEST_CONNECT: Duration = Duration::from_secs(3);
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// Ten thousand containers' lines are far less.
const LARGEST_ANSWER: u64 = 256 << 20;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(
        "no agent answers at {at}: {source}; is one running, and does its [http] listen there? \
         --http says where to ask"
    )]
    NoAnswer { at: Endpoint, source: io::Error },
    #[error("the agent at {at} did not answer in full: {source}")]
    Cut { at: Endpoint, source: io::Error },
    #[error("{at} answers {path} with {said:?}; is it a weir that has this?")]
    Refused { at: Endpoint, path: String, said: String },
    #[error("what {at} answers is no JSON ({error}); is it weir?")]
    NoJson { at: Endpoint, error: serde_json::Error },
}

/// Gets a JSON document: its text, and what it says.
pub(super) fn get(at: &Endpoint, path: &str) -> Result<(String, Value), AskError> {
    let (head, body) = match at {
        Endpoint::Unix(socket) => {
            let stream = UnixStream::connect(socket).and_then(|stream| {
                stream.set_read_timeout(Some(LONGEST_SILENCE))?;
                stream.set_write_timeout(Some(LONGEST_SILENCE))?;
                Ok(stream)
            });
            exchange(at, path, stream)
        }
        Endpoint::Tcp { host, port } => exchange(at, path, connect(host, *port)),
    }?;
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("200") {
        let reason: String = body.chars().take(200).collect();
        let said = format!("{first}: {reason}");
        return Err(AskError::Refused { at: at.clone(), path: path.to_owned(), said });
    }
    match serde_json::from_str(&body) {
        Ok(value) => Ok((body, value)),
        Err(error) => Err(AskError::NoJson { at: at.clone(), error }),
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::other("its name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LONGEST_CONNECT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LONGEST_SILENCE))?;
                stream.set_write_timeout(Some(LONGEST_SILENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

// The head and the body of the answer: the server ends each connection with it, and gives its length.
fn exchange(
    at: &Endpoint,
    path: &str,
    stream: io::Result<impl Read + Write>,
) -> Result<(String, String), AskError> {
    let mut stream = stream.map_err(|source| AskError::NoAnswer { at: at.clone(), source })?;
    let cut = |source| AskError::Cut { at: at.clone(), source };
    let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(cut)?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).map_err(cut)?;
    let answer = String::from_utf8_lossy(&answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        let said = answer.chars().take(200).collect();
        return Err(AskError::Refused { at: at.clone(), path: path.to_owned(), said });
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| length > body.len()) {
        return Err(cut(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok((head.to_owned(), body.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answered(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string().parse().unwrap();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines: Vec<_> =
                request.map_while(Result::ok).take_while(|it| !it.is_empty()).collect();
            stream.write_all(answer.as_bytes()).unwrap();
            lines[0].clone()
        });
        let got = match get(&at, "/status.json") {
            Ok((body, value)) => format!("{body} {value}"),
            Err(error) => error.to_string().replace(&at.to_string(), "AT"),
        };
        assert_eq!(serving.join().unwrap(), "GET /status.json HTTP/1.1");
        got
    }

    #[test]
    fn an_answer_is_taken_whole_or_it_is_said_what_is_wrong_with_it() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}", "{\"a\": 1} {\"a\":1}"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\": 1}", "did not answer in full"),
            ("HTTP/1.1 404 Not Found\r\n\r\n404 page", "\"HTTP/1.1 404 Not Found: 404 page\""),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", "no JSON"),
            ("SSH-2.0", "\"SSH-2.0\"; is it a weir"),
            ("", "\"\"; is it a weir"),
        ] {
            let got = answered(answer);
            assert!(got.contains(expected), "{answer:?} gives {got}");
        }
    }

    #[test]
    fn where_nobody_listens_it_is_said_where_to_look() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at: Endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        drop(listener);
        for at in [at, "unix:/nowhere/weir.sock".parse().unwrap()] {
            let error = get(&at, "/").unwrap_err().to_string();
            assert!(error.starts_with(&format!("no agent answers at {at}: ")), "{error}");
            assert!(error.contains("--http"), "{error}");
        }
    }
}
