//! Work that may fail for lack of memory anywhere in it, tried as a whole.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::LibtorchError;
use crate::making::Scope;

/// How a plain call of tch panics: the debug form of its error.
const UNWRAPPED: &str = "called `Result::unwrap()` on an `Err` value: ";
/// The errors of tch that hold a text.
const VARIANTS: [&str; 5] = ["Torch", "Convert", "Kind", "Shape", "FileFormat"];

/// Runs work in which any call of tch may fail, mostly for lack of memory. `what` says what the work makes, as part of a sentence:
/// "the tokens of 64 pictures".
///
/// tch's plain methods panic where libtorch refuses; exactly such a panic comes back as an error, and any other goes on. A
/// [`LibtorchError`] that is made on this thread meanwhile names `what` too.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_torch::{LibtorchError, attempt};
///
/// let work = || Ok::<_, LibtorchError>(Tensor::zeros([1i64 << 50], (Kind::Float, Device::Cpu)));
/// let message = attempt("a tensor", work).unwrap_err().to_string();
/// assert_eq!(message, "there is not enough memory for a tensor: 4.5 PB were asked for at once");
/// ```
///
/// # Errors
/// Those of the work; [`LibtorchError`] where a call of tch panicked.
pub fn attempt<T, E: From<LibtorchError>>(
    what: impl Into<String>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    tried(what.into(), work, |_| true)
}

/// As [`attempt`], where nothing but a lack of memory can make a call fail: any other refusal of libtorch is a bug, and goes on as a panic.
///
/// # Errors
/// Those of the work; [`LibtorchError`] where a call of tch panicked for lack of memory.
pub fn attempt_in_memory<T, E: From<LibtorchError>>(
    what: impl Into<String>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    tried(what.into(), work, LibtorchError::is_out_of_memory)
}

/// Runs work and brings back the refusals of libtorch that are `expected`.
fn tried<T, E: From<LibtorchError>>(
    what: String,
    work: impl FnOnce() -> Result<T, E>,
    expected: impl Fn(&LibtorchError) -> bool,
) -> Result<T, E> {
    let _scope = Scope::enter(what);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => match refusal(&*payload).map(LibtorchError::new).filter(expected) {
            Some(error) => Err(error.into()),
            None => resume_unwind(payload),
        },
    }
}

/// What libtorch said, if that is what the panic is about.
pub(crate) fn refusal(payload: &(dyn Any + Send)) -> Option<String> {
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let error = said.or_else(|| payload.downcast_ref::<&str>().copied())?.strip_prefix(UNWRAPPED)?;
    let quoted = VARIANTS.iter().find_map(|variant| error.strip_prefix(variant)?.strip_prefix("(\""))?;
    Some(unescaped(quoted.strip_suffix("\")").unwrap_or(quoted)))
}

/// The text of which this is the debug form.
fn unescaped(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('0') => text.push('\0'),
            Some('u') => {
                let digits: String = rest.by_ref().skip(1).take_while(|digit| *digit != '}').collect();
                text.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::{Device, Kind, TchError, Tensor};

    use super::*;
    use crate::{TorchError, making};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn tried(work: impl FnOnce() -> Result<Tensor, TorchError>) -> String {
        attempt("a product", work).unwrap_err().to_string()
    }

    #[test]
    fn panics_of_tch_and_errors_are_told_alike() {
        let (a, b) = (Tensor::zeros([2, 3], CPU), Tensor::zeros([2, 3], CPU));
        let panicked = tried(|| Ok(a.matmul(&b)));
        assert_eq!(panicked, tried(|| Ok(a.f_matmul(&b)?)));
        let want = "libtorch: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3) (this was for a product)";
        assert_eq!(panicked, want);
        assert_eq!(making(), None);
    }

    #[test]
    fn another_panic_goes_on_and_the_attempt_is_over() {
        for payload in ["Torch(\"x\")", "a bug"] {
            let caught = catch_unwind(|| attempt("a", || -> Result<(), TorchError> { std::panic::panic_any(payload) }));
            assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&payload));
            assert_eq!(making(), None);
        }
    }

    #[test]
    fn only_a_lack_of_memory_comes_back_where_nothing_else_can_go_wrong() {
        let huge = || Ok::<_, TorchError>(Tensor::zeros([1i64 << 50], CPU));
        assert!(attempt_in_memory("it", huge).unwrap_err().to_string().contains("not enough memory for it"));
        let wrong = || Ok::<_, TorchError>(Tensor::zeros([2, 3], CPU).matmul(&Tensor::zeros([2, 3], CPU)));
        assert!(catch_unwind(|| attempt_in_memory("it", wrong)).is_err());
        assert_eq!(making(), None);
    }

    #[test]
    fn the_innermost_attempt_says_what_was_made() {
        let inner = || Ok::<_, TorchError>(Tensor::f_zeros([-1i64], CPU)?);
        assert!(attempt("the outer", || attempt("the inner", inner)).unwrap_err().to_string().contains("the inner"));
        let after = attempt("the outer", || attempt("the inner", || Ok::<_, TorchError>(())).and_then(|()| inner()));
        assert!(after.unwrap_err().to_string().contains("the outer"));
    }

    proptest! {
        #[test]
        fn the_text_of_a_panic_is_libtorchs(text in any::<String>()) {
            let panic = format!("{UNWRAPPED}{:?}", TchError::Torch(text.clone()));
            prop_assert_eq!(refusal(&panic).unwrap(), text);
        }
    }
}
