use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use metric::Container;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often each container says something.
const EVERY: Duration = Duration::from_millis(50);

/// What the containers are called, and what each says at its nth turn.
type Says = fn(u32) -> String;
const CONTAINERS: [(&str, Says); 3] =
    [("shop-frontend", frontend), ("shop-cart", cart), ("shop-payments", payments)];

fn frontend(turn: u32) -> String {
    let page = ["home", "search", "item"][turn as usize % 3];
    let took = 20 + turn * 37 % 180;
    format!(
        "page.views:1|c|#page:{page}\npage.time:{took}|ms|#page:{page}\nvisitors:u{}|s",
        turn % 97
    )
}

fn cart(turn: u32) -> String {
    let change = if turn % 3 == 2 { "-1" } else { "+1" };
    format!("carts.open:{change}|g\ncart.items:{}|h\nredis.calls:1|c|@0.1", 1 + turn % 7)
}

fn payments(turn: u32) -> String {
    let outcome = if turn % 20 == 7 { "declined" } else { "paid" };
    format!("payments:1|c|#outcome:{outcome}\namount.eur:{}.95|d", 5 + turn * 13 % 90)
}

/// Registers the three, each of which then sends until the stop, and is removed.
pub(super) async fn start_all(api: &str, stop: &CancellationToken) -> Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    for (id, says) in CONTAINERS {
        let registered =
            register(api, id).await.with_context(|| format!("{id} cannot register"))?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect((registered.statsd_host.as_str(), registered.statsd_port)).await?;
        let (api, stop) = (api.to_owned(), stop.clone());
        tasks.push(tokio::spawn(async move {
            stop.run_until_cancelled(send(&socket, says)).await;
            // The agent is about to stop anyway.
            let _ = request(&api, "DELETE", &format!("/container/{id}"), "").await;
        }));
    }
    Ok(tasks)
}

async fn send(socket: &UdpSocket, says: Says) {
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for turn in 0.. {
        turns.tick().await;
        // As any client: nobody waits for it to arrive.
        let _ = socket.send(says(turn).as_bytes()).await;
    }
}

async fn register(api: &str, id: &str) -> Result<Container> {
    let body = format!(r#"{{"container_id":"{id}"}}"#);
    let answer = request(api, "POST", "/container", &body).await?;
    ensure!(answer.starts_with("HTTP/1.1 201 "), "the answer is {answer:?}");
    let (_, json) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    Ok(Container::decode(json.as_bytes())?)
}

// As the Mesos isolator asks; the answer ends with the connection.
async fn request(api: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let mut connection = TcpStream::connect(api).await?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {api}\r\nAccept: application/json\r\n");
    let rest = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    connection.write_all((head + &rest).as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
