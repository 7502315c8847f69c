//! The training of a tokenizer from outside: one step against the plain way, batches in parts, precision, the guard.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[cfg(test)]
mod accumulation;
#[cfg(test)]
mod adversarial;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod one_forward;
#[cfg(test)]
mod precision;
#[cfg(test)]
mod prior_parts;
