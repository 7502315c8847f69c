//! A zip archive, put together by hand, in which anything can be wrong.

/// One entry: what its record and the table of contents say of it.
#[derive(Clone)]
pub struct Member {
    pub name: String,
    /// The name in its own record.
    pub own_name: String,
    pub bytes: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub checksum: u32,
    pub size: u32,
    /// Where the table says that its record is; where it is, if not given.
    pub record: Option<u32>,
}

impl Member {
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        let checksum = crc32fast::hash(bytes);
        let (bytes, size) = (bytes.to_vec(), bytes.len() as u32);
        Self { name: name.into(), own_name: name.into(), bytes, method: 0, flags: 0, checksum, size, record: None }
    }

    fn fields(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        fields.extend([self.flags, self.method, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
        fields.extend([self.checksum, self.size, self.size].iter().flat_map(|field| field.to_le_bytes()));
        fields
    }
}

/// The archive of these entries.
pub fn archive(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    for member in members {
        let record = member.record.unwrap_or(bytes.len() as u32);
        bytes.extend([&b"PK\x03\x04\x14\0"[..], &member.fields()].concat());
        bytes.extend([member.own_name.len() as u16, 0].iter().flat_map(|field| field.to_le_bytes()));
        bytes.extend([member.own_name.as_bytes(), &member.bytes].concat());
        table.extend([&b"PK\x01\x02\x14\0\x14\0"[..], &member.fields()].concat());
        table.extend([member.name.len() as u16, 0, 0, 0, 0, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
        table.extend(record.to_le_bytes());
        table.extend(member.name.as_bytes());
    }
    let (begin, count) = (bytes.len() as u32, members.len() as u16);
    bytes.extend(&table);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].iter().flat_map(|field| field.to_le_bytes()));
    bytes.extend([table.len() as u32, begin].iter().flat_map(|field| field.to_le_bytes()));
    bytes.extend(b"\0\0");
    bytes
}

/// The entries of a sound file: a pickle and storage `0` of two floats, 1 and 2.
pub fn sound(pickle: &[u8]) -> Vec<Member> {
    vec![
        Member::new("file/data.pkl", &[b"\x80\x02", pickle, b"."].concat()),
        Member::new("file/byteorder", b"little"),
        Member::new("file/data/0", b"\0\0\x80\x3f\0\0\0\x40"),
    ]
}
