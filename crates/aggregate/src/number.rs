use metric::{Note, Notes};

/// A sum, held at the edge of the finite range if it left it.
// Hot path: runs once per value.
pub(crate) fn hold(sum: f64, notes: &mut Notes) -> f64 {
    if sum.is_finite() {
        sum
    } else {
        notes.insert(Note::Saturated);
        f64::MAX.copysign(sum)
    }
}

/// A gauge's level after a change.
pub(crate) fn change(level: f64, by: f64, notes: &mut Notes) -> f64 {
    let changed = hold(level + by, notes);
    if level >= 0.0 && changed < 0.0 {
        notes.insert(Note::GaugeBelowZero);
    }
    changed
}
