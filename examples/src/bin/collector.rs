//! How to receive what weir sends: takes the Avro stream of `avro+tcp://`, prints a line of JSON for
//! each record.
//!
//! A sender connects, writes the header of an object container file, then blocks as long as it
//! lives. It expects no answer. In two terminals:
//! ```sh
//! cargo run -p examples --bin collector 127.0.0.1:8124
//! cargo run --release -- --output avro+tcp://127.0.0.1:8124
//! ```
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::env;
use std::io::{self, Read, Write as _};
use std::net::TcpListener;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;

use ship::read::{ReadError, Reader};

/// So many senders are read at once; further ones wait until one of these leaves.
const READERS: usize = 8;

const USAGE: &str = "\
usage: collector ADDR:PORT
Listens there for what an output avro+tcp://ADDR:PORT sends, and prints it as lines of JSON.";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(address), None) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    let Err(error) = collect(&address);
    let _ = writeln!(io::stderr(), "collector: {address}: {error}");
    ExitCode::FAILURE
}

fn collect(address: &str) -> io::Result<Infallible> {
    let listener = Arc::new(TcpListener::bind(address)?);
    let _ = writeln!(io::stderr(), "listening on {}", listener.local_addr()?);
    for _ in 1..READERS {
        let listener = Arc::clone(&listener);
        thread::Builder::new().spawn(move || serve(&listener))?;
    }
    serve(&listener)
}

/// Reads one sender after the other.
fn serve(listener: &TcpListener) -> io::Result<Infallible> {
    loop {
        let (sender, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            // It left before it was greeted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let _ = match print(sender) {
            Ok(()) => writeln!(io::stderr(), "{peer} left"),
            // Whoever connects may send anything; that is no reason to stop.
            Err(error) => writeln!(io::stderr(), "{peer}: {error}"),
        };
    }
}

fn print(sender: impl Read) -> Result<(), ReadError> {
    let mut reader = Reader::open(sender)?;
    while let Some(block) = reader.next_block()? {
        let mut out = io::stdout().lock();
        for record in block {
            let record = record?;
            if writeln!(out, "{record}").is_err() {
                // Nobody reads on, as behind `head`.
                process::exit(0);
            }
        }
    }
    Ok(())
}
