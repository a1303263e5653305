//! The rules of reading, each as a table: a line, and what is read of it.

mod told;

mod events;
mod gauges;
mod hostile;
mod limits;
mod name_tags;
mod samples;
mod sections;
mod skims;
mod tags;
mod text;
mod values;
