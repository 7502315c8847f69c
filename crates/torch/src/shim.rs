//! The calls into `shim.cpp`, each made safe: pointers live as long as the call, C++ exceptions come back as errors.

use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use tch::{Device, Tensor};

use crate::{LibtorchError, TorchError, attempt};

/// A message of the shim; null where all went well.
type Message = *mut c_char;
/// An `at::Tensor*`, which is what `tch` hands out.
type RawTensor = *mut c_void;

unsafe extern "C" {
    fn vqkit_free(message: Message);
    fn vqkit_libtorch_version() -> *const c_char;
    fn vqkit_libtorch_path(path: *mut Message) -> Message;
    #[allow(clippy::too_many_arguments, reason = "the arguments of the fused kernel")]
    fn vqkit_adam_step(
        parameters: *const RawTensor,
        exp_avgs: *const RawTensor,
        exp_avg_sqs: *const RawTensor,
        steps: *const RawTensor,
        count: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
        decoupled: bool,
    ) -> Message;
    #[allow(clippy::too_many_arguments, reason = "three lists and two flags")]
    fn vqkit_grad(
        outputs: *const RawTensor,
        at_outputs: *const RawTensor,
        count: usize,
        inputs: *const RawTensor,
        wanted: usize,
        keep_graph: bool,
        create_graph: bool,
        allow_unused: bool,
        made: *mut RawTensor,
    ) -> Message;
    fn vqkit_backward(
        outputs: *const RawTensor,
        at_outputs: *const RawTensor,
        count: usize,
        inputs: *const RawTensor,
        wanted: usize,
    ) -> Message;
    fn vqkit_takes_gradient(tensors: *const RawTensor, count: usize) -> bool;
    fn vqkit_custom_function(
        inputs: *const RawTensor,
        wanted: usize,
        outputs: *const RawTensor,
        count: usize,
        backward: RawBackward,
    ) -> Message;
    fn vqkit_message(text: *const c_char, length: usize) -> Message;
    fn vqkit_clear_gradients(parameters: *const RawTensor, count: usize) -> Message;
    fn vqkit_clip_gradients(parameters: *const RawTensor, count: usize, max_norm: f64, norm: *mut RawTensor)
    -> Message;
    fn vqkit_leaky_relu(x: RawTensor, slope: f64, made: *mut RawTensor) -> Message;
    fn vqkit_lerp(averages: *const RawTensor, values: *const RawTensor, count: usize, weight: f64) -> Message;
    fn vqkit_autocast_get(device: i32, enabled: *mut bool, kind: *mut i8) -> Message;
    fn vqkit_autocast_set(device: i32, enabled: bool, kind: i8) -> Message;
    fn vqkit_autocast_nest(enter: bool) -> Message;
    fn vqkit_rng_seed(device: i32, seed: u64) -> Message;
    fn vqkit_rng_get(device: i32, state: *mut RawTensor) -> Message;
    fn vqkit_rng_set(device: i32, state: RawTensor) -> Message;
    fn vqkit_deterministic_set(on: bool) -> Message;
    fn vqkit_deterministic_get(on: *mut bool) -> Message;
    fn vqkit_cuda_peak_bytes(device: i32, bytes: *mut i64) -> Message;
    fn vqkit_cuda_reset_peak(device: i32) -> Message;
    fn vqkit_process_peak_bytes(bytes: *mut i64) -> Message;
    fn vqkit_cuda_has_bf16(device: i32, has: *mut bool) -> Message;
    #[allow(clippy::too_many_arguments, reason = "a file, a text and two lists of several columns")]
    fn vqkit_script_save(
        path: *const c_char,
        source: *const c_char,
        names: *const *const c_char,
        tensors: *const RawTensor,
        trainable: *const bool,
        count: usize,
        extra_names: *const *const c_char,
        extra_texts: *const *const c_char,
        extras: usize,
    ) -> Message;
}

/// A backward pass as the shim calls it, once or more, and then drops it.
#[repr(C)]
struct RawBackward {
    context: *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, *const RawTensor, usize, *mut RawTensor, usize) -> Message,
    drop: unsafe extern "C" fn(*mut c_void),
}

/// A backward pass: from the gradients at the outputs to those at the inputs; `None` where there is none.
pub type Backward = Box<dyn Fn(&[Option<Tensor>]) -> Result<Vec<Option<Tensor>>, TorchError> + Send>;

/// The parameters of one group of an optimizer and their state, all of one length.
pub struct AdamOperands<'a> {
    pub parameters: &'a [&'a Tensor],
    pub exp_avgs: &'a [&'a Tensor],
    pub exp_avg_sqs: &'a [&'a Tensor],
    pub steps: &'a [&'a Tensor],
}

/// The numbers of one step of Adam or (`decoupled`) AdamW.
pub struct AdamNumbers {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
}

/// `aten::_fused_adam_` or `aten::_fused_adamw_` on the parameters that have a gradient.
pub fn adam_step(operands: &AdamOperands, numbers: &AdamNumbers) -> Result<(), TorchError> {
    let [parameters, exp_avgs, exp_avg_sqs, steps] =
        [operands.parameters, operands.exp_avgs, operands.exp_avg_sqs, operands.steps].map(pointers);
    let count = parameters.len();
    assert!([&exp_avgs, &exp_avg_sqs, &steps].iter().all(|list| list.len() == count), "one state for every parameter");
    // SAFETY: four lists of `count` valid tensors, which outlive the call.
    check(unsafe {
        vqkit_adam_step(
            parameters.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            steps.as_ptr(),
            count,
            numbers.lr,
            numbers.betas.0,
            numbers.betas.1,
            numbers.eps,
            numbers.weight_decay,
            numbers.decoupled,
        )
    })
}

/// What a backward pass leaves of the graph, and whether it may miss an input.
#[derive(Default)]
pub struct BackwardPass {
    pub keep_graph: bool,
    pub create_graph: bool,
    pub allow_unused: bool,
}

/// The gradients of outputs, each with the gradient at it, with respect to the inputs; `None` for one that no output depends on.
pub fn grad(
    outputs: &[(&Tensor, &Tensor)],
    inputs: &[&Tensor],
    pass: &BackwardPass,
) -> Result<Vec<Option<Tensor>>, TorchError> {
    let (outputs, at_outputs): (Vec<&Tensor>, Vec<&Tensor>) = outputs.iter().copied().unzip();
    let [outputs, at_outputs, inputs] = [&outputs, &at_outputs, &inputs.to_vec()].map(|list| pointers(list));
    let mut made: Vec<RawTensor> = vec![std::ptr::null_mut(); inputs.len()];
    // SAFETY: lists of valid tensors, which outlive the call, and a place for every tensor made.
    check(unsafe {
        vqkit_grad(
            outputs.as_ptr(),
            at_outputs.as_ptr(),
            outputs.len(),
            inputs.as_ptr(),
            inputs.len(),
            pass.keep_graph,
            pass.create_graph,
            pass.allow_unused,
            made.as_mut_ptr(),
        )
    })?;
    // SAFETY: a call without a message has made a tensor for every input, or null, and gives it apass.
    let own = |tensor: RawTensor| (!tensor.is_null()).then(|| unsafe { Tensor::from_ptr(tensor.cast()) });
    Ok(made.into_iter().map(own).collect())
}

/// Adds the gradients of outputs, each with the gradient at it, to those of the inputs, or of all leaves where there are none.
pub fn backward(outputs: &[(&Tensor, &Tensor)], inputs: &[&Tensor]) -> Result<(), TorchError> {
    let (outputs, at_outputs): (Vec<&Tensor>, Vec<&Tensor>) = outputs.iter().copied().unzip();
    let [outputs, at_outputs, inputs] = [&outputs, &at_outputs, &inputs.to_vec()].map(|list| pointers(list));
    // SAFETY: lists of valid tensors, which outlive the call.
    check(unsafe {
        vqkit_backward(outputs.as_ptr(), at_outputs.as_ptr(), outputs.len(), inputs.as_ptr(), inputs.len())
    })
}

/// Whether a gradient would reach one of the tensors now.
pub fn takes_gradient(tensors: &[&Tensor]) -> bool {
    let list = pointers(tensors);
    // SAFETY: a list of valid tensors, which outlive the call.
    unsafe { vqkit_takes_gradient(list.as_ptr(), list.len()) }
}

/// Makes the outputs functions of the inputs with a backward pass of their own.
pub fn custom_function(inputs: &[&Tensor], outputs: &[Tensor], backward: Backward) -> Result<(), TorchError> {
    let [inputs, outputs] = [inputs.to_vec(), outputs.iter().collect()].map(|list| pointers(&list));
    let context = Box::into_raw(Box::new(backward)).cast();
    let backward = RawBackward { context, call: call_backward, drop: drop_backward };
    // SAFETY: lists of valid tensors, which outlive the call; the shim owns the context from here on.
    check(unsafe { vqkit_custom_function(inputs.as_ptr(), inputs.len(), outputs.as_ptr(), outputs.len(), backward) })
}

unsafe extern "C" fn call_backward(
    context: *mut c_void,
    at_outputs: *const RawTensor,
    outputs: usize,
    gradients: *mut RawTensor,
    inputs: usize,
) -> Message {
    let run = || {
        // SAFETY: the shim hands back the context that `custom_function` gave it, and lists of these lengths.
        let (backward, at_outputs, places) = unsafe {
            let backward = &*context.cast::<Backward>();
            let at_outputs = std::slice::from_raw_parts(at_outputs, outputs);
            (backward, at_outputs, std::slice::from_raw_parts_mut(gradients, inputs))
        };
        // SAFETY: every gradient that is not null is a valid tensor, of which a second handle is made.
        let share =
            |&gradient: &RawTensor| (!gradient.is_null()).then(|| unsafe { Tensor::clone_from_ptr(gradient.cast()) });
        let made = backward(&at_outputs.iter().map(share).collect::<Vec<_>>())?;
        if made.len() != inputs {
            let text = format!("{} gradients were made for {inputs} inputs", made.len());
            return Err(LibtorchError::new(text).into());
        }
        for (place, tensor) in places.iter_mut().zip(made) {
            *place = tensor.map_or(std::ptr::null_mut(), |tensor| ManuallyDrop::new(tensor).as_mut_ptr().cast());
        }
        Ok(())
    };
    let text = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(())) => return std::ptr::null_mut(),
        Ok(Err(TorchError::Libtorch(error))) => error.text().to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(payload) => attempt::refusal(&*payload).unwrap_or_else(|| "the backward pass panicked".to_owned()),
    };
    // SAFETY: the text lives as long as the call, which copies it.
    unsafe { vqkit_message(text.as_ptr().cast(), text.len()) }
}

unsafe extern "C" fn drop_backward(context: *mut c_void) {
    // SAFETY: the context is the box that `custom_function` gave away; the shim drops it once.
    drop(unsafe { Box::from_raw(context.cast::<Backward>()) });
}

/// Drops the gradients of all parameters.
pub fn clear_gradients(parameters: &[&Tensor]) -> Result<(), TorchError> {
    let list = pointers(parameters);
    // SAFETY: a list of valid tensors, which outlive the call.
    check(unsafe { vqkit_clear_gradients(list.as_ptr(), list.len()) })
}

/// Scales the gradients of all parameters; gives their norm before that, `[]` on their device.
pub fn clip_gradients(parameters: &[&Tensor], max_norm: f64) -> Result<Tensor, TorchError> {
    let list = pointers(parameters);
    // SAFETY: a list of valid tensors, which outlive the call.
    tensor(|norm| unsafe { vqkit_clip_gradients(list.as_ptr(), list.len(), max_norm, norm) })
}

/// `x` above 0, `slope * x` below, as a function of `x`.
pub fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor, TorchError> {
    // SAFETY: a valid tensor, which outlives the call.
    tensor(|made| unsafe { vqkit_leaky_relu(x.as_ptr().cast_mut().cast(), slope, made) })
}

/// `averages += weight * (values - averages)`.
pub fn lerp(averages: &[&Tensor], values: &[&Tensor], weight: f64) -> Result<(), TorchError> {
    assert_eq!(averages.len(), values.len(), "one value for every average");
    let (averages, values) = (pointers(averages), pointers(values));
    // SAFETY: two lists of as many valid tensors, which outlive the call.
    check(unsafe { vqkit_lerp(averages.as_ptr(), values.as_ptr(), averages.len(), weight) })
}

/// Whether autocast is on for the kind of device in this thread, and its dtype as libtorch numbers it.
pub fn autocast(device: i32) -> Result<(bool, i8), TorchError> {
    let (mut enabled, mut kind) = (false, 0);
    // SAFETY: both pointers lead to living places of their types.
    check(unsafe { vqkit_autocast_get(device, &mut enabled, &mut kind) })?;
    Ok((enabled, kind))
}

/// Switches autocast for the kind of device in this thread.
pub fn set_autocast(device: i32, enabled: bool, kind: i8) -> Result<(), TorchError> {
    // SAFETY: plain numbers.
    check(unsafe { vqkit_autocast_set(device, enabled, kind) })
}

/// Enters (`true`) or leaves a level of autocast; leaving the outermost forgets the cast weights.
pub fn nest_autocast(enter: bool) -> Result<(), TorchError> {
    // SAFETY: a plain flag.
    check(unsafe { vqkit_autocast_nest(enter) })
}

/// Seeds the default generator of a device.
pub fn seed_rng(device: i32, seed: u64) -> Result<(), TorchError> {
    // SAFETY: plain numbers.
    check(unsafe { vqkit_rng_seed(device, seed) })
}

/// The state of the default generator of a device, u8 on the CPU.
pub fn rng_state(device: i32) -> Result<Tensor, TorchError> {
    // SAFETY: `state` leads to a living place.
    tensor(|state| unsafe { vqkit_rng_get(device, state) })
}

/// Puts a state back into the default generator of a device.
pub fn set_rng_state(device: i32, state: &Tensor) -> Result<(), TorchError> {
    // SAFETY: a valid tensor, which outlives the call and is only read.
    check(unsafe { vqkit_rng_set(device, state.as_ptr().cast_mut().cast()) })
}

/// Switches libtorch's deterministic algorithms for the whole process.
pub fn set_deterministic(on: bool) -> Result<(), TorchError> {
    // SAFETY: a plain flag.
    check(unsafe { vqkit_deterministic_set(on) })
}

/// Whether libtorch's deterministic algorithms are on.
pub fn deterministic() -> Result<bool, TorchError> {
    let mut on = false;
    // SAFETY: `on` is a living place of its type.
    check(unsafe { vqkit_deterministic_get(&mut on) })?;
    Ok(on)
}

/// The most bytes that tensors held on a CUDA device at once.
pub fn cuda_peak_bytes(device: i32) -> Result<i64, TorchError> {
    let mut bytes = 0;
    // SAFETY: `bytes` is a living place of its type.
    check(unsafe { vqkit_cuda_peak_bytes(device, &mut bytes) })?;
    Ok(bytes)
}

/// Begins a new peak on a CUDA device.
pub fn reset_cuda_peak(device: i32) -> Result<(), TorchError> {
    // SAFETY: a plain number.
    check(unsafe { vqkit_cuda_reset_peak(device) })
}

/// The most bytes of memory that this process ever held; 0 where the system cannot say.
pub fn process_peak_bytes() -> Result<i64, TorchError> {
    let mut bytes = 0;
    // SAFETY: `bytes` is a living place of its type.
    check(unsafe { vqkit_process_peak_bytes(&mut bytes) })?;
    Ok(bytes)
}

/// Whether a CUDA device computes in bfloat16 natively.
pub fn cuda_has_bf16(device: i32) -> Result<bool, TorchError> {
    let mut has = false;
    // SAFETY: `has` is a living place of its type.
    check(unsafe { vqkit_cuda_has_bf16(device, &mut has) })?;
    Ok(has)
}

/// A TorchScript module as the shim writes it.
pub struct Script<'a> {
    /// Name, tensor, and whether it is a parameter rather than a buffer.
    pub tensors: &'a [(&'a CStr, &'a Tensor, bool)],
    pub source: &'a CStr,
    /// Name and text.
    pub extra_files: &'a [(&'a CStr, &'a CStr)],
}

/// Writes a TorchScript module to a file.
pub fn save_script(path: &CStr, script: &Script) -> Result<(), TorchError> {
    let names: Vec<_> = script.tensors.iter().map(|(name, _, _)| name.as_ptr()).collect();
    let tensors = pointers(&script.tensors.iter().map(|(_, tensor, _)| *tensor).collect::<Vec<_>>());
    let trainable: Vec<_> = script.tensors.iter().map(|(_, _, trainable)| *trainable).collect();
    let (extra_names, extra_texts): (Vec<_>, Vec<_>) =
        script.extra_files.iter().map(|(name, text)| (name.as_ptr(), text.as_ptr())).unzip();
    // SAFETY: texts ended by a zero, and lists of these lengths of texts, valid tensors and flags; all outlive the call.
    check(unsafe {
        vqkit_script_save(
            path.as_ptr(),
            script.source.as_ptr(),
            names.as_ptr(),
            tensors.as_ptr(),
            trainable.as_ptr(),
            names.len(),
            extra_names.as_ptr(),
            extra_texts.as_ptr(),
            extra_names.len(),
        )
    })
}

/// The version of the headers that the shim was compiled against.
pub fn libtorch_version() -> String {
    // SAFETY: a constant of the shim, ended by a zero.
    unsafe { CStr::from_ptr(vqkit_libtorch_version()) }.to_string_lossy().into_owned()
}

/// The file that libtorch was loaded from, where the system can say.
pub fn libtorch_path() -> Result<Option<PathBuf>, TorchError> {
    let mut path: Message = std::ptr::null_mut();
    // SAFETY: `path` is a living place of its type.
    check(unsafe { vqkit_libtorch_path(&mut path) })?;
    Ok((!path.is_null()).then(|| take(path).into()))
}

/// The number by which the shim knows a device; `None` for those that vqkit does not serve.
pub fn number(device: Device) -> Option<i32> {
    match device {
        Device::Cpu => Some(-1),
        Device::Cuda(index) => i32::try_from(index).ok(),
        Device::Mps | Device::Vulkan => None,
    }
}

fn pointers(tensors: &[&Tensor]) -> Vec<RawTensor> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast_mut().cast()).collect()
}

/// Runs a call that makes a tensor.
fn tensor(call: impl FnOnce(*mut RawTensor) -> Message) -> Result<Tensor, TorchError> {
    let mut made: RawTensor = std::ptr::null_mut();
    check(call(&mut made))?;
    // SAFETY: a call without a message has made a tensor on the heap and gives it apass.
    Ok(unsafe { Tensor::from_ptr(made.cast()) })
}

fn check(message: Message) -> Result<(), TorchError> {
    if message.is_null() { Ok(()) } else { Err(LibtorchError::new(take(message)).into()) }
}

/// The text that the shim allocated, which is released.
fn take(text: Message) -> String {
    // SAFETY: the shim's strings are ended by a zero, and are ours to release, once.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        vqkit_free(text);
        owned
    }
}
