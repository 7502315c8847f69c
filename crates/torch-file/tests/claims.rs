//! A file is a claim: whatever it says is compared with what it holds.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use support::archive::{Member, archive, sound};
use support::{FILES, FLOAT, legacy, one_tensor, open, refusal};

/// A pickle of `{"w": tensor, "a": …}`.
fn beside(pickle: &[u8]) -> Vec<u8> {
    [&one_tensor(FLOAT, 2, 0, 2, 1)[..], b"U\x01a", pickle, b"s"].concat()
}

#[test]
fn claims_of_tensors_are_compared_with_the_file() {
    let read = |object: &[u8]| {
        let file = open(&legacy(object)).unwrap();
        file.read(&file.tensors()[0].tensor).unwrap()
    };
    assert_eq!(read(&one_tensor(FLOAT, 2, 0, 2, 1)), b"\0\0\x80\x3f\0\0\0\x40");
    assert_eq!(read(&one_tensor(FLOAT, 2, 1, 1, 9)), b"\0\0\0\x40");
    let cases = [
        (
            one_tensor(FLOAT, 2, 1, 2, 1),
            "`w`: its shape [2] with the strides [1] from 1 leaves storage `0` of 2 elements",
        ),
        (one_tensor(FLOAT, 2, 0, 2, 2), "leaves storage `0` of 2 elements"),
        (one_tensor(FLOAT, 2, u64::MAX, 2, 1), "leaves storage `0`"),
        (one_tensor(FLOAT, 2, 0, 2, 1 << 62), "leaves storage `0`"),
        (one_tensor(FLOAT, 2, 0, 1 << 40, 0), "it would have the shape [1099511627776]"),
        (one_tensor(FLOAT, 2, 0, 100, 0), "it would have the shape [100]"),
        (one_tensor(FLOAT, 2, 0, u64::MAX, 0), "impossible length"),
        (one_tensor(FLOAT, 1 << 62, u64::MAX, 0, 1), "would have 4611686018427387904 elements"),
        (one_tensor(FLOAT, 1 << 62, 0, 2, 1), "would have 4611686018427387904 elements"),
        (one_tensor(FLOAT, 3, 0, 2, 1), "has 2 elements, 3 belong there"),
        (one_tensor("torch\nDoubleStorage", 2, 0, 2, 1), "truncated"),
        (one_tensor("torch\nComplexFloatStorage", 2, 0, 2, 1), "truncated"),
        (one_tensor("torch\nNewStorage", 2, 0, 2, 1), "`torch.NewStorage`, a kind that is not known"),
        (b"\x8d\0\0\0\0\0\0\0\x40".to_vec(), "truncated"),
        (b"}U\x01a}U\x01b2sh\x05".to_vec(), "recalls 5"),
        (beside(b"}q\0U\x01ah\0s"), "hold one another without end"),
        (beside(b"]q\0h\0a"), "hold one another without end"),
        (b"0".to_vec(), "takes a value where there is none"),
        (b"}".to_vec(), "nothing tells the kind of its storage `0`"),
        (b"\x80\x06N".to_vec(), "protocol 6"),
        (b"\xff".to_vec(), "no operation 0xff"),
        (b"NNa".to_vec(), "appends to what is no list"),
        (b"(U\x06storehctorch\nFloatStorage\nU\x010U\x03cpuK\x02tQ".to_vec(), "described in another way"),
        ([b"}U\x01\xff", &one_tensor(FLOAT, 2, 0, 2, 1)[..], b"s"].concat(), "not in UTF-8"),
    ];
    let twice = [&one_tensor(FLOAT, 2, 0, 2, 1)[..], &one_tensor(FLOAT, 2, 0, 2, 1)[1..]].concat();
    for (object, reason) in cases.into_iter().chain([(twice, "two of its tensors or dicts are called `w`")]) {
        let message = refusal(&legacy(&object));
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

/// Complex numbers are not read, but skipped where they lie before others.
#[test]
fn storages_that_are_not_read_are_skipped() {
    let file = open(&legacy(&one_tensor("torch\nQInt32Storage", 2, 0, 2, 1))).unwrap();
    assert!(file.tensors().is_empty());
    assert_eq!(file.unreadable()[0].class, "torch.QInt32Storage");
    let error = file.tensor(&["w"]).unwrap_err().to_string();
    assert!(error.contains("`w` is made with `torch.QInt32Storage`"), "{error}");
}

/// An empty tensor lies nowhere, wherever it says that it lies.
#[test]
fn the_place_of_an_empty_tensor_does_not_matter() {
    let file = open(&legacy(&one_tensor(FLOAT, 2, u64::MAX, 0, 1))).unwrap();
    assert!(file.read(file.tensor(&["w"]).unwrap()).unwrap().is_empty());
}

/// Deeper than any stack: lists, tuples and dicts within each other.
#[test]
fn depth_is_no_matter_of_the_stack() {
    const DEPTH: usize = 300_000;
    let tensor = one_tensor(FLOAT, 2, 0, 2, 1);
    let lists = [b"]".repeat(DEPTH), b"a".repeat(DEPTH - 1)].concat();
    let tuples = [b")".to_vec(), b"\x85".repeat(DEPTH)].concat();
    let dicts = [b"}U\x01a".repeat(DEPTH), b"}".to_vec(), b"s".repeat(DEPTH)].concat();
    for beside in [lists, tuples, dicts] {
        let object = [&tensor[..], b"U\x04deep", &beside, b"s"].concat();
        assert_eq!(open(&legacy(&object)).unwrap().tensors().len(), 1);
    }
}

/// Twenty dicts, each of which holds the next one ten times.
#[test]
fn shared_dicts_are_bounded() {
    let tensor = one_tensor(FLOAT, 2, 0, 2, 1);
    let level = |level: u8| {
        let items: Vec<u8> = (0..10).flat_map(|place| [b'K', place, b'h', level]).collect();
        [&b"}("[..], &items, b"uq", &[level + 1]].concat()
    };
    let levels: Vec<u8> = (0..20).flat_map(level).collect();
    let message = refusal(&legacy(&[&tensor[..], b"q\0", &levels].concat()));
    assert!(message.contains("hold one another without end"), "{message}");
}

/// One shape of many lengths, used by as many tensors as a file can name.
#[test]
fn a_shape_that_many_tensors_share_is_counted_for_each() {
    let one = one_tensor(FLOAT, 2, 0, 2, 1);
    // Storage, offset, shape and strides are put into memory once; each tensor is then a call with them.
    let storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x02tQq\x00";
    let shape = [b"(".to_vec(), b"K\x01".repeat(64), b"tq\x01".to_vec()].concat();
    let call = b"ctorch._utils\n_rebuild_tensor_v2\nq\x02";
    let each = b"h\x02(h\x00K\x00h\x01h\x01tR0".repeat(80_000);
    let object = [&one[..], b"U\x01a", storage, b"0", &shape, b"0", call, b"0", &each, b"Ns"].concat();
    assert!(refusal(&legacy(&object)).contains("steps, too many"));
}

/// One object with many arguments, in as many places.
#[test]
fn arguments_are_counted_wherever_the_object_stands() {
    const MANY: usize = 30_000;
    let object = [b"cmodule\nfunction\n(", &b"K\x01".repeat(MANY)[..], b"tRq\0"].concat();
    let pickle = [b"](", &object[..], &b"h\0".repeat(MANY), b"e"].concat();
    let message = refusal(&legacy(&beside(&pickle)));
    assert!(message.contains("hold one another without end"), "{message}");
}

/// Python 2 wrote an ordered dict as a call with a list of pairs.
#[test]
fn an_ordered_dict_of_python_2_is_read() {
    let inner = one_tensor(FLOAT, 2, 0, 2, 1);
    let tensor = &inner[4..inner.len() - 1];
    let object = [b"ccollections\nOrderedDict\n(](]U\x01wa", tensor, b"aetR"].concat();
    assert_eq!(open(&legacy(&object)).unwrap().tensor(&["w"]).unwrap().shape(), [2]);
}

/// Changes the entries of a sound archive, and gives the reason of the refusal.
fn changed(change: impl FnOnce(&mut Vec<Member>)) -> String {
    let mut members = sound(&one_tensor(FLOAT, 2, 0, 2, 1));
    change(&mut members);
    refusal(&archive(&members))
}

#[test]
fn claims_of_archives_are_compared_with_the_file() {
    let members = sound(&one_tensor(FLOAT, 2, 0, 2, 1));
    let file = open(&archive(&members)).unwrap();
    assert_eq!(file.read(file.tensor(&["w"]).unwrap()).unwrap(), b"\0\0\x80\x3f\0\0\0\x40");
    assert!(open(&archive(&members[..1])).unwrap_err().to_string().contains("`file/data/0` is missing"));
    // Nobody needs to say the order of bytes.
    assert!(open(&archive(&[members[0].clone(), members[2].clone()])).is_ok());

    let cases = [
        (changed(|all| all[1] = Member::new("file/byteorder", b"bigger")), "little-endian"),
        (changed(|all| all[1] = Member::new("file/byteorder", b"big")), "has 3 bytes, 6 belong there"),
        (changed(|all| all[2] = Member::new("file/data/0", b"1234")), "has 4 bytes, 8 belong there"),
        (changed(|all| all[2].method = 8), "compressed (method 8)"),
        (changed(|all| all[0].method = 8), "compressed (method 8)"),
        (changed(|all| all[2].flags = 1), "encrypted"),
        (changed(|all| all[2].own_name = "file/data/1".into()), "do not agree"),
        (changed(|all| all[0].checksum ^= 1), "checksum"),
        (changed(|all| all[2].record = Some(0)), "do not agree"),
        (changed(|all| all[2].record = Some(7)), "no record"),
        (changed(|all| all[2].record = Some(u32::MAX - 1)), "outside of the archive"),
        (changed(|all| all[0].bytes.clear()), "outside of the archive"),
        (changed(|all| all.push(all[2].clone())), "two of its entries are called `file/data/0`"),
        (changed(|all| all.push(Member::new("other/data.pkl", b"}."))), "two archives in one"),
        (changed(|all| all.retain(|member| member.name != "file/data.pkl")), "no data.pkl"),
        (changed(|all| all[0] = Member::new("file/data.pkl", b"}.N")), "1 bytes follow the pickle"),
        (changed(|all| all[0] = Member::new("file/data.pkl", b"}")), "truncated"),
    ];
    for (found, wanted) in cases {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}

#[test]
fn the_checksum_of_a_storage_is_compared_when_it_is_read() {
    let mut members = sound(&one_tensor(FLOAT, 2, 0, 2, 1));
    members[2].bytes[0] ^= 1;
    let file = open(&archive(&members)).unwrap();
    let error = file.read(file.tensor(&["w"]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`data/0` is broken: its bytes have another checksum"), "{error}");
}

/// `torch.serialization.set_crc32_options(False)` writes 0.
#[test]
fn a_file_without_checksums_is_read() {
    let mut members = sound(&one_tensor(FLOAT, 2, 0, 2, 1));
    members.iter_mut().for_each(|member| member.checksum = 0);
    let file = open(&archive(&members)).unwrap();
    assert_eq!(file.read(file.tensor(&["w"]).unwrap()).unwrap(), b"\0\0\x80\x3f\0\0\0\x40");
}

/// Two storages whose records say the same place, and one that lies within another.
#[test]
fn storages_upon_each_other_are_refused() {
    let number = |key: u8, elements: u8| {
        [b"(U\x07storagectorch\nFloatStorage\nU\x01", &[key][..], b"U\x03cpuK", &[elements, b't', b'Q']].concat()
    };
    let tensor = |storage: Vec<u8>| {
        [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], b"K\0K\x01\x85K\x01\x85\x89}tR"].concat()
    };
    let pickle = [b"](", &tensor(number(b'0', 20))[..], &tensor(number(b'1', 2)), b"e"].concat();
    let inner = archive(&[Member::new("file/data/1", &[0; 8])]);
    // The record of storage 1 lies within the bytes of storage 0.
    let mut outer = inner[..49].to_vec();
    outer.resize(80, 0);
    let mut members = sound(&pickle);
    members[2] = Member::new("file/data/0", &outer);
    let begin = archive(&members[..2]).windows(4).position(|four| four == b"PK\x01\x02").unwrap() + 30 + 11;
    let hidden = Member { record: Some(begin as u32), ..Member::new("file/data/1", &[0; 8]) };
    members.push(hidden);
    let message = refusal(&archive(&members));
    assert!(message.contains("lie upon each other"), "{message}");
}

/// PyTorch writes the end of each archive twice, once with numbers of 64 bits.
#[test]
fn the_two_ends_of_an_archive_agree() {
    let sound = FILES[0].1;
    let begins = |magic: &[u8]| sound.windows(4).rposition(|four| four == magic).unwrap();
    let (large, locator, small) = (begins(b"PK\x06\x06"), begins(b"PK\x06\x07"), begins(b"PK\x05\x06"));
    let changed = |place: usize| {
        let mut bytes = sound.to_vec();
        bytes[place] ^= 1;
        refusal(&bytes)
    };
    let cases = [
        (large, "the end of its table of contents is missing"),
        (large + 16, "several parts"),
        (large + 32, "several parts"),
        (large + 40, "each time differently"),
        (large + 48, "each time differently"),
        (locator + 8, "should lie before"),
        (small + 4, "several parts"),
        (small + 10, "several parts"),
        (small + 12, "each time differently"),
        (small + 16, "each time differently"),
    ];
    for (place, reason) in cases {
        let message = changed(place);
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

#[test]
fn the_end_of_an_archive_is_where_it_says() {
    let sound = archive(&sound(&one_tensor(FLOAT, 2, 0, 2, 1)));
    let message = refusal(&[&sound[..], b"more"].concat());
    assert!(message.contains("no table of contents at the end"), "{message}");
    // Bytes in front move everything.
    let message = refusal(&[b"PK\x03\x04", &sound[..]].concat());
    assert!(message.contains("should end at"), "{message}");
    let mut comment = sound.clone();
    let length = comment.len();
    comment[length - 2] = 4;
    comment.extend(b"note");
    assert!(open(&comment).is_ok());
}
