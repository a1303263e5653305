use rustix::process::nice;

/// So much nicer than the workers: a third of their weight where both want the same processor. All
/// else that runs there goes before it too, so it is not more.
const STEPS: i32 = 5;

/// Lets all threads that have not done so go before the calling one, where processors are short.
///
/// A flush of many series takes a second of a processor at a time. What is late by it is late; what
/// a worker does not receive meanwhile is lost. Where the system forbids it, everything stays as it
/// is.
pub fn give_way() {
    // On Linux it is of this thread alone: setpriority(2), BUGS.
    let _ = nice(STEPS);
}
