//! PyTorch's own files, read without running anything.
//!
//! A pickle is a program for a small machine, which may ask to call any function of Python. The machine here knows the calls
//! that a state dict is made of (`collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`, the storages, …); of any
//! other it keeps the name and nothing else, so that what a checkpoint holds beside its weights does no harm.

mod archive;
mod input;
mod legacy;
mod literal;
mod node;
mod object;
mod opcode;
mod pickle;
mod tensor;
mod tree;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use tch::Tensor;

use crate::TorchError;
use archive::Archive;
use legacy::Stream;
use node::View;
use pickle::Pickle;
use tensor::Memory;

/// Reads the tensors of a file that `torch.save` wrote, onto the CPU, in their own kinds; nothing in it is executed.
///
/// Both formats are read: the zip archive (since PyTorch 1.6) and the stream of pickles before it. Where the root has a dict
/// called `state_dict`, as a Lightning checkpoint has, its tensors are read, else those of the root; dicts within dicts give
/// dotted names (`model.encoder.weight`), and what is neither a dict nor a tensor is left out. Tensors that share a storage in
/// the file share their memory; they need not be contiguous. Read are f64, f32, f16, bf16, i64, i32, i16, i8, u8 and bool,
/// dense, little-endian.
///
/// ```no_run
/// use std::path::Path;
/// use vqkit_torch::weights;
///
/// let tensors = weights::read_torch(Path::new("last.ckpt"))?;
/// println!("{:?}", tensors["quantize.embedding.weight"].size());
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// [`TorchError::File`] when it is no such file, is broken or truncated, has no dict of tensors at its root (the message
/// names what it asks to call instead), or a tensor of another kind; [`TorchError::Io`] when it cannot be read.
pub fn read_torch(path: &Path) -> Result<BTreeMap<String, Tensor>, TorchError> {
    let failed = || TorchError::io("read", path);
    let mut file = BufReader::new(File::open(path).map_err(failed())?);
    let length = file.get_ref().metadata().map_err(failed())?.len();
    let mut start = Vec::new();
    file.by_ref().take(archive::MAGIC.len() as u64).read_to_end(&mut start).map_err(failed())?;
    file.rewind().map_err(failed())?;
    let is_archive = start == archive::MAGIC;
    let read = if is_archive { read_archive(file, length) } else { read_stream(file, length) };
    read.map_err(|reason| TorchError::file(path, format!("this file of PyTorch's cannot be read: {reason}")))
}

fn read_archive(file: BufReader<File>, length: u64) -> Result<BTreeMap<String, Tensor>, String> {
    let (archive, pickle) = Archive::open(file, length)?;
    let (views, wanted) = contents(&pickle, length)?;
    tensors(&views, &archive.load(&wanted)?, length)
}

fn read_stream(file: BufReader<File>, length: u64) -> Result<BTreeMap<String, Tensor>, String> {
    let (stream, pickle) = Stream::open(file, length)?;
    let (views, wanted) = contents(&pickle, length)?;
    tensors(&views, &stream.load(&wanted)?, length)
}

type Views = BTreeMap<String, Rc<View>>;

/// The tensors, and the storages that they need.
fn contents(pickle: &Pickle, length: u64) -> Result<(Views, BTreeMap<Rc<str>, Memory>), String> {
    let views = tree::views(pickle, length)?;
    let keys: HashSet<&str> = views.values().map(|view| &*view.storage.key).collect();
    let wanted = tensor::memories(pickle, |key| keys.contains(key))?;
    Ok((views, wanted))
}

fn tensors(
    views: &Views,
    memories: &BTreeMap<Rc<str>, Tensor>,
    length: u64,
) -> Result<BTreeMap<String, Tensor>, String> {
    let tensor = |(name, view): (&String, &Rc<View>)| {
        let tensor = memories
            .get(&view.storage.key)
            .ok_or_else(|| format!("its storage `{}` is missing", view.storage.key))
            .and_then(|memory| tensor::tensor(view, memory, length))
            .map_err(|reason| format!("`{name}`: {reason}"))?;
        Ok((name.clone(), tensor))
    };
    views.iter().map(tensor).collect()
}
