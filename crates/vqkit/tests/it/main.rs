//! The facade as a program of one's own uses it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod examples;
mod long_lived;
mod trained;
