//! The tokens of a run for other programs: arrays of numpy, and tar shards in WebDataset layout.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use npyz::WriterBuilder;
use tch::{Device, Tensor};
use vqkit_run::{Run, files};
use vqkit_tokens::{Split, TokenSet, run_tokens};

use crate::error::{InteropError, Result};

/// Images of a batch that is read at once.
const BATCH: usize = 1024;

/// Images of a tar shard.
const SHARD: usize = 10_000;

/// Writes `NAME_codes/I.npy` `[1, 1, N]` and `NAME_labels/I.npy` `[1]` for every training image, i64, as LlamaGen's
/// `extract_codes_c2i.py` does.
pub fn write_npy(run: &Run, folder: &Path) -> Result<String> {
    let set = run_tokens::read_tokens(run, Split::Train)?;
    if set.header.sizes.len() != 1 || set.header.sizes[0].len() != 1 {
        let reason = "LlamaGen's layout holds one codebook of one level; this run has more: write webdataset";
        return Err(InteropError::file(run.path(), reason));
    }
    let name = format!("{}{}", run.recipe().head.name, run.recipe().data.image_size);
    let [codes, labels] = ["codes", "labels"].map(|kind| folder.join(format!("{name}_{kind}")));
    for folder in [&codes, &labels] {
        std::fs::create_dir(folder).map_err(|source| InteropError::Io {
            action: "create",
            path: folder.clone(),
            source,
        })?;
    }
    let classes: Vec<i64> = Vec::try_from(&set.classes).map_err(vqkit_torch::TorchError::from)?;
    for_each(&set, |index, levels| {
        let [codes, labels] = [&codes, &labels].map(|folder| folder.join(format!("{index}.npy")));
        write_array(&codes, &[1, 1, levels[0].len() as u64], &levels[0])?;
        write_array(&labels, &[1], &classes[index..=index])
    })?;
    Ok(format!(
        "```python\nimport numpy as np\n\ncodes = np.load(\"{name}_codes/0.npy\")  # [1, 1, tokens]\nlabel = np.load(\"{name}_labels/0.npy\")  # [1]\n```\n"
    ))
}

/// Writes `tokens-00000.tar` and so on: of every training image its tokens, level by level, as `.npy` `[Q, H, W]`, and its class.
pub fn write_webdataset(run: &Run, folder: &Path) -> Result<String> {
    let set = run_tokens::read_tokens(run, Split::Train)?;
    let classes: Vec<i64> = Vec::try_from(&set.classes).map_err(vqkit_torch::TorchError::from)?;
    let shapes: Vec<Vec<u64>> =
        set.shapes().iter().map(|shape| shape.iter().map(|length| *length as u64).collect()).collect();
    let mut shard: Option<(std::path::PathBuf, tar::Builder<BufWriter<File>>)> = None;
    for_each(&set, |index, levels| {
        if index % SHARD == 0 {
            finish(shard.take())?;
            let path = folder.join(format!("tokens-{:05}.tar", index / SHARD));
            let file = File::create(&path).map_err(|source| InteropError::Io {
                action: "create",
                path: path.clone(),
                source,
            })?;
            shard = Some((path, tar::Builder::new(BufWriter::new(file))));
        }
        let Some((path, tar)) = &mut shard else { return Ok(()) };
        for (level, tokens) in levels.iter().enumerate() {
            let bytes = array(&shapes[level], tokens).map_err(|source| InteropError::Io {
                action: "write",
                path: path.clone(),
                source,
            })?;
            append(path, tar, &format!("{index:09}.level{level}.npy"), &bytes)?;
        }
        match classes[index] {
            class if class >= 0 => append(path, tar, &format!("{index:09}.cls"), class.to_string().as_bytes()),
            _ => Ok(()),
        }
    })?;
    finish(shard)?;
    Ok("```python\nimport webdataset as wds\n\nfor sample in wds.WebDataset(\"tokens-00000.tar\").decode():\n    tokens = sample[\"level0.npy\"]  # [codebooks, height, width]\n```\n".into())
}

/// Calls `work` with the number of every image and its tokens, level by level.
fn for_each(set: &TokenSet, mut work: impl FnMut(usize, &[Vec<i64>]) -> Result<()>) -> Result<()> {
    for first in (0..set.len()).step_by(BATCH) {
        let count = BATCH.min(set.len() - first);
        let places: Vec<i64> = (first as i64..(first + count) as i64).collect();
        let places = Tensor::from_slice(&places);
        let levels = (0..set.header.sizes.len()).map(|level| Ok(set.grid(level, &places, Device::Cpu)?.indices));
        let levels = levels.collect::<Result<Vec<Tensor>>>()?;
        for row in 0..count {
            let of_image = |level: &Tensor| Vec::try_from(level.get(row as i64).contiguous().view(-1));
            let tokens = levels.iter().map(of_image).collect::<Result<Vec<Vec<i64>>, _>>();
            work(first + row, &tokens.map_err(vqkit_torch::TorchError::from)?)?;
        }
    }
    Ok(())
}

/// The bytes of an array of numpy.
fn array(shape: &[u64], values: &[i64]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(bytes)
}

fn write_array(path: &Path, shape: &[u64], values: &[i64]) -> Result<()> {
    let bytes =
        array(shape, values).map_err(|source| InteropError::Io { action: "write", path: path.to_owned(), source })?;
    Ok(files::write(path, &bytes)?)
}

fn append(path: &Path, tar: &mut tar::Builder<BufWriter<File>>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, name, bytes).map_err(|source| InteropError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

fn finish(shard: Option<(std::path::PathBuf, tar::Builder<BufWriter<File>>)>) -> Result<()> {
    let Some((path, tar)) = shard else { return Ok(()) };
    let failed = |source| InteropError::Io { action: "write", path: path.clone(), source };
    tar.into_inner().and_then(|mut file| file.flush()).map_err(failed)
}
