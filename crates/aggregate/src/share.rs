use metric::Notes;

use crate::members::Members;
use crate::number::{change, hold};
use crate::sketch::Sketch;

/// So many values of a distribution are kept as they are; more become a sketch.
pub(crate) const FEW: usize = 16;

/// What one series came to in one interval, or in a part of it.
///
/// Two shares of one series combine into one, in order, and it does not matter which neighbours
/// combine first.
#[derive(Clone, Debug)]
pub(crate) enum Share {
    /// A counter's sum.
    Counter(f64),
    /// A gauge was set; later changes are in it.
    Level(f64),
    /// A gauge was changed by this and not set.
    Change(f64),
    /// A distribution's values, all of weight 1, at most [`FEW`].
    Values(Vec<f64>),
    /// A distribution's values, summarised.
    Sketch(Box<Sketch>),
    /// A set's members.
    Members(Box<Members>),
}

impl Share {
    /// Adds what the same series came to after this. Shares of different kinds never meet.
    pub(crate) fn absorb(&mut self, later: &Self) -> Notes {
        let mut notes = Notes::NONE;
        match (&mut *self, later) {
            (Self::Counter(sum), Self::Counter(more)) => *sum = hold(*sum + more, &mut notes),
            (Self::Level(_) | Self::Change(_), Self::Level(_)) => *self = later.clone(),
            (Self::Level(level), Self::Change(by)) => *level = change(*level, *by, &mut notes),
            (Self::Change(by), Self::Change(more)) => *by = hold(*by + more, &mut notes),
            (Self::Values(values), Self::Values(more)) if values.len() + more.len() <= FEW => {
                values.extend(more);
            }
            (Self::Values(values), _) => {
                let mut sketch = Box::new(Sketch::new());
                for value in values {
                    notes = notes.union(sketch.add(*value, 1.0, true));
                }
                *self = Self::Sketch(sketch);
                notes = notes.union(self.absorb(later));
            }
            (Self::Sketch(sketch), Self::Values(more)) => {
                for value in more {
                    notes = notes.union(sketch.add(*value, 1.0, true));
                }
            }
            (Self::Sketch(sketch), Self::Sketch(more)) => notes = sketch.absorb(more),
            (Self::Members(members), Self::Members(more)) => members.absorb(more),
            _ => debug_assert!(false, "one series has one kind"),
        }
        notes
    }
}
