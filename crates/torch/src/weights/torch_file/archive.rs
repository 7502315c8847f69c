//! PyTorch's format since 1.6: a zip archive of `NAME/data.pkl`, `NAME/byteorder` and one `NAME/data/KEY` per storage.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use tch::Tensor;
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{self, Pickle};
use super::tensor::Memory;

/// The first bytes of a zip archive.
pub const MAGIC: &[u8] = b"PK\x03\x04";
const PICKLE: &str = "/data.pkl";

/// An open archive.
pub struct Archive {
    zip: ZipArchive<BufReader<File>>,
    folder: String,
    file_length: u64,
}

impl Archive {
    pub fn open(file: BufReader<File>, file_length: u64) -> Result<(Self, Pickle), String> {
        let zip = ZipArchive::new(file).map_err(|error| format!("its archive cannot be opened: {error}"))?;
        let folders = zip.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(PICKLE)?.to_owned()));
        let folder = folders.min_by_key(String::len);
        let folder = folder.ok_or("it is a zip archive, but not of PyTorch's: there is no data.pkl in it")?;
        let mut archive = Self { zip, folder, file_length };
        archive.check_order()?;
        let pickle = archive.pickle()?;
        Ok((archive, pickle))
    }

    /// All storages of the list.
    pub fn load(mut self, wanted: &BTreeMap<Rc<str>, Memory>) -> Result<BTreeMap<Rc<str>, Tensor>, String> {
        // Entries can lie upon each other, so that many are more than the file.
        let mut left = self.file_length;
        let mut loaded = BTreeMap::new();
        for (key, memory) in wanted {
            let length = memory.bytes(key, left)?;
            left -= length;
            loaded.insert(key.clone(), memory.tensor(&self.entry(&format!("data/{key}"), length)?)?);
        }
        Ok(loaded)
    }

    fn check_order(&mut self) -> Result<(), String> {
        const NAME: &str = "byteorder";
        if self.zip.index_for_name(&format!("{}/{NAME}", self.folder)).is_none() {
            return Ok(());
        }
        let length = b"little".len() as u64;
        let order = self.entry(NAME, length)?;
        if order == b"little" { Ok(()) } else { Err("it is not in little-endian order, the only one read".into()) }
    }

    fn pickle(&mut self) -> Result<Pickle, String> {
        let name = format!("{}{PICKLE}", self.folder);
        let mut entry = BufReader::new(self.stored(&name)?);
        let pickle = pickle::read(&mut entry)?;
        // To the end, where the checksum is compared.
        io::copy(&mut entry, &mut io::sink()).map_err(|error| broken(&name, error))?;
        Ok(pickle)
    }

    /// An entry as PyTorch writes all of them: not compressed, so that it is no longer than the file.
    fn stored(&mut self, name: &str) -> Result<ZipFile<'_, BufReader<File>>, String> {
        let index = self.zip.index_for_name(name).ok_or_else(|| missing(name, ZipError::FileNotFound))?;
        let compression = self.zip.by_index_raw(index).map_err(|error| missing(name, error))?.compression();
        match compression {
            CompressionMethod::Stored => self.zip.by_index(index).map_err(|error| missing(name, error)),
            other => Err(format!(
                "its entry `{name}` is compressed ({other}), which those of torch.save never are; unpack the archive and zip it \
                 again with `zip -0`, or save it again with torch.save"
            )),
        }
    }

    /// The entry of this name, which has to have this length.
    fn entry(&mut self, name: &str, length: u64) -> Result<Vec<u8>, String> {
        let name = format!("{}/{name}", self.folder);
        let mut entry = self.stored(&name)?;
        if entry.size() != length {
            return Err(format!("its entry `{name}` has {} bytes, {length} belong there", entry.size()));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| broken(&name, error))?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(format!("its entry `{name}` is truncated")) }
    }
}

fn missing(name: &str, error: ZipError) -> String {
    format!("its entry `{name}` cannot be read: {error}")
}

fn broken(name: &str, error: io::Error) -> String {
    format!("its entry `{name}` is broken: {error}")
}
