//! The apps that come with the program.

mod learning_switch;
mod mac_table;

pub use learning_switch::LearningSwitch;
