//! The types of elements.

use std::fmt;

/// The type of a tensor's elements. Files with other types (complex numbers, 8-bit floats, quantized numbers) have tensors that
/// are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Floating point, 8 bytes.
    F64,
    /// Floating point, 4 bytes.
    F32,
    /// Floating point of IEEE 754, 2 bytes.
    F16,
    /// The upper half of a 4-byte floating point number.
    BF16,
    /// Signed, 8 bytes.
    I64,
    /// Signed, 4 bytes.
    I32,
    /// Signed, 2 bytes.
    I16,
    /// Signed, 1 byte.
    I8,
    /// Unsigned, 1 byte.
    U8,
    /// A truth value, 1 byte: 0 or 1.
    Bool,
}

const STORAGES: [(&str, Dtype); 10] = [
    ("BoolStorage", Dtype::Bool),
    ("ByteStorage", Dtype::U8),
    ("CharStorage", Dtype::I8),
    ("ShortStorage", Dtype::I16),
    ("IntStorage", Dtype::I32),
    ("LongStorage", Dtype::I64),
    ("HalfStorage", Dtype::F16),
    ("BFloat16Storage", Dtype::BF16),
    ("FloatStorage", Dtype::F32),
    ("DoubleStorage", Dtype::F64),
];

/// The bytes of an element, or of a group of elements, of storages that are not read.
const UNREAD: [(&str, u64); 9] = [
    ("ComplexHalfStorage", 4),
    ("ComplexFloatStorage", 8),
    ("ComplexDoubleStorage", 16),
    ("QInt8Storage", 1),
    ("QUInt8Storage", 1),
    ("QInt32Storage", 4),
    ("QUInt4x2Storage", 1),
    ("QUInt2x4Storage", 1),
    ("UntypedStorage", 1),
];

/// The bytes of an element of a storage that is not read, but may lie before others.
pub fn unread_size(class: &str) -> Option<u64> {
    let name = class.rsplit('.').next()?;
    UNREAD.iter().find(|(known, _)| *known == name).map(|(_, size)| *size)
}

impl Dtype {
    /// The bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The type that PyTorch's class of a storage stands for: `torch.FloatStorage`, `torch.cuda.FloatStorage`.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?;
        let name = name.strip_prefix("cuda.").unwrap_or(name);
        STORAGES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
    }
}

/// The name in safetensors files, which is that of the member: `F32`, `BOOL`.
impl fmt::Display for Dtype {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        })
    }
}
