//! What libtorch says when it refuses, as a sentence for people.

use std::fmt;

use crate::making::making;
use crate::memory;

/// The variable of the environment under which libtorch's whole text is shown, stack frames of C++ included.
pub const BACKTRACE: &str = "VQKIT_BACKTRACE";
/// What this type writes in front of libtorch's own words.
const SPEAKER: &str = "libtorch: ";
/// Where libtorch's text goes over to stack frames.
const FRAMES: [&str; 3] = ["Exception raised from", "frame #", "C++ CapturedTraceback"];
/// How libtorch, oneDNN and the standard library say that there is no memory.
const NO_MEMORY: [&str; 7] = [
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "could not create a memory object",
    // oneDNN's compiled kernels lie in memory too.
    "could not create a primitive",
    "CUBLAS_STATUS_ALLOC_FAILED",
];
/// How libtorch says that a shape has more elements or bytes than there are numbers for.
const BEYOND: [&str; 3] =
    ["multiplication overflow", "size calculation overflow", "cannot create std::vector larger than"];

/// Why libtorch refused a call: its first sentence, with the bytes where memory ran out; and what was being made, where that was
/// said with [`attempt`](crate::attempt).
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_torch::{LibtorchError, attempt};
///
/// let huge = || Ok::<_, LibtorchError>(Tensor::f_zeros([1 << 62, 1 << 62], (Kind::Float, Device::Cpu))?);
/// let message = attempt("a grid of numbers", huge).unwrap_err().to_string();
/// assert_eq!(message, "there is not enough memory for a grid of numbers: its size is beyond that of any memory");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibtorchError {
    making: Option<String>,
    text: String,
}

impl LibtorchError {
    /// Of libtorch's own text; what is being made, [`attempt`](crate::attempt) knows.
    pub fn new(text: impl Into<String>) -> Self {
        Self { making: making(), text: text.into() }
    }

    /// Whether memory ran out, that of the machine or of a device.
    pub fn is_out_of_memory(&self) -> bool {
        !matches!(Cause::of(&self.text), Cause::Other(_))
    }

    /// All that libtorch said.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<tch::TchError> for LibtorchError {
    fn from(error: tch::TchError) -> Self {
        match error {
            tch::TchError::Torch(text) => Self::new(text),
            other => Self::new(other.to_string()),
        }
    }
}

impl std::error::Error for LibtorchError {}

impl fmt::Display for LibtorchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.making.as_deref();
        match Cause::of(&self.text) {
            Cause::Memory(asked) => {
                out.write_str("there is not enough memory")?;
                match (what, asked) {
                    (Some(what), Some(asked)) => write!(out, " for {what}: {asked} were asked for at once"),
                    (Some(what), None) => write!(out, " for {what}"),
                    (None, Some(asked)) => write!(out, " for {asked} at once"),
                    (None, None) => Ok(()),
                }
            }
            Cause::Beyond => {
                let what = what.map(|what| format!(" for {what}")).unwrap_or_default();
                write!(out, "there is not enough memory{what}: its size is beyond that of any memory")
            }
            Cause::Other(sentence) => match what {
                Some(what) => write!(out, "{SPEAKER}{sentence} (this was for {what})"),
                None => write!(out, "{SPEAKER}{sentence}"),
            },
        }?;
        match std::env::var_os(BACKTRACE) {
            Some(value) if !value.is_empty() => write!(out, "\n{}", self.text),
            _ => Ok(()),
        }
    }
}

/// Why libtorch refuses.
enum Cause<'t> {
    /// No memory for so much, in words.
    Memory(Option<String>),
    /// More than there are numbers for.
    Beyond,
    /// What it said.
    Other(&'t str),
}

impl<'t> Cause<'t> {
    fn of(text: &'t str) -> Self {
        let sentence = first_sentence(text);
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| sentence.contains(phrase));
        if says(&BEYOND) {
            Self::Beyond
        } else if says(&NO_MEMORY) {
            Self::Memory(asked(sentence))
        } else {
            Self::Other(sentence)
        }
    }
}

/// Without stack frames and all that comes behind the first line.
fn first_sentence(text: &str) -> &str {
    let end = FRAMES.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    let sentence = text[..end].trim().lines().next().unwrap_or_default().trim();
    let sentence = sentence.strip_prefix(SPEAKER).unwrap_or(sentence);
    if sentence.is_empty() { "it gave no reason" } else { sentence }
}

/// How much memory was asked for: `tried to allocate 512 bytes` of the CPU, `Tried to allocate 2.00 GiB` of CUDA.
fn asked(sentence: &str) -> Option<String> {
    let (_, behind) = sentence.split_once("ried to allocate ")?;
    let mut words = behind.split_whitespace();
    let (number, unit) = (words.next()?, words.next()?.trim_end_matches(['.', ',']));
    match (number.parse::<u64>(), unit) {
        (Ok(bytes), "bytes") => Some(memory::format_bytes(bytes)),
        _ => Some(format!("{number} {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, TchError, Tensor};

    use super::*;

    fn said(text: &str) -> String {
        LibtorchError::from(TchError::Torch(text.into())).to_string()
    }

    fn refused(shape: &[i64]) -> LibtorchError {
        Tensor::f_empty(shape, (Kind::Float, Device::Cpu)).unwrap_err().into()
    }

    #[test]
    fn libtorch_itself_is_understood() {
        let error = refused(&[1 << 50]);
        assert!(error.is_out_of_memory());
        assert_eq!(error.to_string(), "there is not enough memory for 4.5 PB at once");
        for shape in [&[1 << 62, 1 << 62][..], &[1 << 62]] {
            assert!(
                refused(shape).to_string().ends_with("its size is beyond that of any memory"),
                "{:?}",
                refused(shape)
            );
        }
        let error = refused(&[-1]);
        assert!(!error.is_out_of_memory());
        assert!(error.text().contains("frame #0"), "the test has lost its meaning: {}", error.text());
        assert_eq!(error.to_string(), "libtorch: Trying to create tensor with negative dimension -1: [-1]");
    }

    #[test]
    fn the_memory_of_a_gpu_is_understood() {
        let text = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1 GiB is \
                    free.\nException raised from malloc at Allocator.cpp:1:\nframe #0: x";
        assert_eq!(said(text), "there is not enough memory for 2.00 GiB at once");
        assert_eq!(said("std::bad_alloc"), "there is not enough memory");
    }

    #[test]
    fn what_came_through_a_backward_pass_is_said_once() {
        assert_eq!(said("libtorch: no way back\nframe #0: x"), "libtorch: no way back");
        assert_eq!(said("\nException raised from f"), "libtorch: it gave no reason");
    }
}
