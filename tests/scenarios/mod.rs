//! Behaviour, told as stories: each name says what the program promises.

mod answers;
mod blame;
mod guards;
mod identity;
mod outages;
mod passes;
mod restarts;
mod takeover;
mod write_back;
