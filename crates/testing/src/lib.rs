#![doc = include_str!("../README.md")]

mod draws;
mod formula;
mod golden;
mod http;
mod hub;
mod needs;

pub use draws::{Draws, Generator, generator};
pub use golden::Golden;
pub use http::{Answer, Request, Server};
pub use hub::{FakeHub, HubState};
pub use needs::{corpus, needed_in_ci, optional};
