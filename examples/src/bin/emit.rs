//! How a container sends a metric: one datagram to where its environment says.
//!
//! weir's registration gives each container an address of its own, which whoever starts it puts
//! into `STATSD_UDP_HOST` and `STATSD_UDP_PORT`. Any StatsD client will do; this one is the standard
//! library alone. To try it against an agent on this machine:
//! ```sh
//! STATSD_UDP_HOST=127.0.0.1 STATSD_UDP_PORT=8125 cargo run -p examples --bin emit
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a container is told by its environment")]

use std::env;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, ToSocketAddrs as _, UdpSocket};
use std::process::ExitCode;

/// A counter of one, with two tags: `name:value|kind|#key:value,key:value`.
const LINE: &str = "page.views:1|c|#page:home,site:shop";

const USAGE: &str = "\
usage: STATSD_UDP_HOST=HOST STATSD_UDP_PORT=PORT emit
Sends one counter there. For an agent on this machine HOST is 127.0.0.1 and PORT is 8125.";

fn main() -> ExitCode {
    let (host, port) = match whereto() {
        Ok(whereto) => whereto,
        Err(problem) => {
            let _ = writeln!(io::stderr(), "emit: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match send(&host, port) {
        Ok(()) => {
            let _ = writeln!(io::stdout(), "sent to {host} port {port}: {LINE}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "emit: cannot send to {host} port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn whereto() -> Result<(String, u16), String> {
    if env::args_os().len() > 1 {
        return Err("takes no arguments".to_owned());
    }
    let variable = |name| env::var(name).map_err(|error| format!("{name}: {error}"));
    let (host, port) = (variable("STATSD_UDP_HOST")?, variable("STATSD_UDP_PORT")?);
    let port = port.parse().map_err(|_| format!("STATSD_UDP_PORT: {port:?} is no port"))?;
    Ok((host, port))
}

/// UDP does not say whether anybody listens: a task never waits for its metrics.
fn send(host: &str, port: u16) -> io::Result<()> {
    let to = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = if to.is_ipv4() {
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?
    } else {
        UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?
    };
    socket.send_to(LINE.as_bytes(), to)?;
    Ok(())
}
