use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Read, Stdout, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use ship::read::{ReadError, Reader};

/// Print Avro files, or a stream of Avro, as JSON: one line for each record.
///
/// Reads what weir writes: metric points and metric lists, compressed or not. A `.part`, which weir
/// is still writing, is printed to its last whole block.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Files, `-` for standard input, or one `tcp://ADDR:PORT`: listen there as a collector does,
    /// and print what comes until interrupted.
    #[arg(required = true, value_name = "FILE|-|tcp://ADDR:PORT")]
    inputs: Vec<OsString>,
}

/// How many senders may be connected to a listening `cat`.
const MOST_SENDERS: usize = 32;

/// Prints everything; fails if something could not be read, but not if nobody reads the output.
pub(crate) fn run(options: &Options) -> ExitCode {
    let address = options.inputs.iter().find_map(|input| listen_address(input));
    let printed = match address {
        None => print_all(&options.inputs),
        Some(address) if options.inputs.len() == 1 => collect(address),
        Some(address) => {
            complain(&address, &"cannot listen while other inputs are read: give it alone");
            Ok(false)
        }
    };
    match printed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&"standard output", &error);
            ExitCode::FAILURE
        }
    }
}

fn listen_address(input: &OsStr) -> Option<&str> {
    let address = input.to_str()?.strip_prefix("tcp:")?;
    Some(address.strip_prefix("//").unwrap_or(address))
}

/// Says on standard error what is wrong with an input. If even that cannot be written, nobody
/// listens.
fn complain(input: &dyn Display, problem: &dyn Display) {
    let _ = writeln!(io::stderr(), "weir cat: {input}: {problem}");
}

/// Standard output, a line at a time; of several senders, whole lines.
#[derive(Clone)]
struct Output(Arc<Mutex<BufWriter<Stdout>>>);

impl Output {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(BufWriter::new(io::stdout()))))
    }

    fn line(&self, text: &str) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(text.as_bytes())?;
        writer.write_all(b"\n")
    }

    fn flush(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// What ends a print early.
enum Stop {
    /// The input is at fault.
    Input(ReadError),
    /// The output is.
    Output(io::Error),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Input(error)
    }
}

/// Prints these one after the other; returns whether all could be read.
fn print_all(inputs: &[OsString]) -> io::Result<bool> {
    let output = Output::new();
    let mut all = true;
    for input in inputs {
        let printed = if input == "-" {
            print(io::stdin().lock(), &output)
        } else {
            let opened = File::open(input).map_err(|error| Stop::Input(error.into()));
            opened.and_then(|file| print(file, &output))
        };
        output.flush()?;
        let name = input.display();
        match printed {
            Ok(()) => {}
            Err(Stop::Output(error)) => return Err(error),
            Err(Stop::Input(error @ ReadError::Torn { .. })) if is_part(input) => {
                complain(
                    &name,
                    &format_args!("{error}; a file that is being written ends like this"),
                );
            }
            Err(Stop::Input(error)) => {
                complain(&name, &error);
                all = false;
            }
        }
    }
    Ok(all)
}

fn is_part(input: &OsStr) -> bool {
    Path::new(input).extension() == Some(OsStr::new("part"))
}

/// Prints each block as soon as it is there.
fn print(input: impl Read, output: &Output) -> Result<(), Stop> {
    let mut reader = Reader::open(input)?;
    while let Some(block) = reader.next_block()? {
        for line in block {
            output.line(&line?).map_err(Stop::Output)?;
        }
        output.flush().map_err(Stop::Output)?;
    }
    Ok(())
}

/// Listens, and prints what the senders send, until the output is closed.
fn collect(address: &str) -> io::Result<bool> {
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) => {
            complain(&address, &format_args!("cannot listen: {error}"));
            return Ok(false);
        }
    };
    let bound = listener.local_addr().map_or_else(|_| address.to_owned(), |at| at.to_string());
    complain(&bound, &"listening");
    let (stop, stopped) = mpsc::sync_channel(1);
    thread::Builder::new().spawn(move || accept(&listener, &Output::new(), &stop))?;
    match stopped.recv() {
        Ok(Stop::Output(error)) => Err(error),
        Ok(Stop::Input(error)) => {
            complain(&bound, &error);
            Ok(false)
        }
        Err(mpsc::RecvError) => Ok(false),
    }
}

/// Gives each sender a thread of its own, up to [`MOST_SENDERS`].
fn accept(listener: &TcpListener, output: &Output, stop: &mpsc::SyncSender<Stop>) {
    let senders = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            // The sender left before it was greeted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                let _ = stop.try_send(Stop::Input(error.into()));
                return;
            }
        };
        if senders.fetch_add(1, Ordering::Relaxed) >= MOST_SENDERS {
            senders.fetch_sub(1, Ordering::Relaxed);
            complain(&peer, &format_args!("refused: {MOST_SENDERS} senders are connected"));
            continue;
        }
        let (output, stop, connected) = (output.clone(), stop.clone(), Arc::clone(&senders));
        let started = thread::Builder::new().spawn(move || {
            print_sender(&stream, &peer, &output, &stop);
            connected.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = started {
            senders.fetch_sub(1, Ordering::Relaxed);
            complain(&peer, &error);
        }
    }
}

fn print_sender(
    stream: &TcpStream,
    peer: &dyn Display,
    output: &Output,
    stop: &mpsc::SyncSender<Stop>,
) {
    match print(stream, output) {
        Ok(()) => {}
        Err(Stop::Input(error)) => {
            complain(peer, &error);
            // What was printed of the block that failed is whole lines.
            let _ = output.flush();
        }
        Err(error @ Stop::Output(_)) => {
            let _ = stop.try_send(error);
        }
    }
}
