use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::shape::Shape;

/// The series of one name and shape.
#[derive(Debug)]
pub(super) struct Group {
    /// As it is written; of counters with their suffix.
    pub(super) name: Box<str>,
    pub(super) shape: Shape,
    /// Where its series are.
    pub(super) series: Range<usize>,
}

/// Groups in the order in which they are met.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By shape, then by name.
    numbers: [HashMap<Box<str>, u32, RandomState>; Shape::ALL.len()],
    next: u32,
}

impl Groups {
    /// The number of the group of this name and shape.
    pub(super) fn number(&mut self, name: &str, shape: Shape) -> u32 {
        let of_shape = &mut self.numbers[shape as usize];
        if let Some(number) = of_shape.get(name) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        of_shape.insert(name.into(), number);
        number
    }

    /// All of them without their series, by name and shape, and by number the place of each.
    pub(super) fn in_order(self) -> (Vec<Group>, Vec<u32>) {
        let of_shape = |(numbers, shape): (HashMap<_, _, _>, Shape)| {
            numbers.into_iter().map(move |(name, number): (Box<str>, u32)| (name, shape, number))
        };
        let mut all: Vec<_> = self.numbers.into_iter().zip(Shape::ALL).flat_map(of_shape).collect();
        all.sort_unstable();
        let mut places = vec![0; all.len()];
        for ((_, _, number), place) in all.iter().zip(0..) {
            places[*number as usize] = place;
        }
        let group = |(name, shape, _)| Group { name, shape, series: 0..0 };
        (all.into_iter().map(group).collect(), places)
    }
}
