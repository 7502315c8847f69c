//! Token files that were written are read back; broken ones are refused.

use std::path::PathBuf;

use proptest::prelude::*;
use tch::Kind;

use super::*;
use crate::{
    token_file, token_file::CLASS, token_file::Columns, token_file::EMBEDDING, token_file::EMBEDDING_LENGTH,
    token_file::TEXT, token_file::TEXT_LENGTH, token_file::condition_name, token_file::level_name,
};

fn header(size: i64, tokenizer: &str) -> TokenHeader {
    let (tokenizer, data) = (tokenizer.into(), "d".into());
    TokenHeader {
        tokenizer,
        data,
        sizes: vec![vec![size], vec![size, 7]],
        classes: (0..64).map(|class| format!("class {class}")).collect(),
        empty_classes: Vec::new(),
        template: None,
        condition_sizes: Vec::new(),
        text_vocabulary: None,
    }
}

/// A coarse level of one token and a fine one of two codebooks, `images` of them; the last code is in use.
fn write(path: &Path, size: i64, tokenizer: &str, images: i64, first: i64) -> Vec<Tensor> {
    let count = |n: i64| Tensor::arange_start(first, first + n, (Kind::Int64, Device::Cpu));
    let coarse = (size - 1 - count(images).remainder(size)).view([images, 1, 1, 1]);
    let fine = count(images * 12).remainder(7).view([images, 2, 2, 3]);
    let classes = count(images);
    token_file::write(path, &header(size, tokenizer), &columns([&coarse, &fine], &classes)).unwrap();
    vec![coarse, fine, classes]
}

fn columns(levels: [&Tensor; 2], classes: &Tensor) -> Columns {
    let levels = levels.into_iter().enumerate().map(|(level, indices)| (level_name(level), indices.shallow_clone()));
    levels.chain([(CLASS.to_owned(), classes.shallow_clone())]).collect()
}

fn paths(folder: &Path) -> [PathBuf; 2] {
    [folder.join("a"), folder.join("b")]
}

#[test]
fn rows_of_joined_files_are_gathered_in_any_order_in_both_widths() {
    for size in [512, 1 << 16, 1 << 18] {
        let folder = tempfile::tempdir().unwrap();
        let files = paths(folder.path());
        let (a, b) = (write(&files[0], size, "t", 3, 0), write(&files[1], size, "t", 5, 3));
        let set = TokenSet::open(&files).unwrap();
        assert_eq!(set.len(), 8);
        assert_eq!(set.shapes(), [vec![1, 1, 1], vec![2, 2, 3]]);
        assert_eq!(set.classes, Tensor::cat(&[&a[2], &b[2]], 0));
        for places in [vec![7i64, 0, 3, 2, 2], (0..8).collect(), vec![4]] {
            let places = Tensor::from_slice(&places);
            for level in 0..2 {
                let want = Tensor::cat(&[&a[level], &b[level]], 0).index_select(0, &places);
                assert_eq!(set.grid(level, &places, Device::Cpu).unwrap().indices, want, "{size}, level {level}");
            }
        }
    }
}

#[test]
fn a_place_or_a_level_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [file, _] = paths(folder.path());
    write(&file, 16, "t", 3, 0);
    let set = TokenSet::open(&[file]).unwrap();
    for place in [3i64, -1] {
        let error = set.grid(0, &Tensor::from_slice(&[0, place]), Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(&format!("no image {place}")) && error.contains("token files of 3"), "{error}");
    }
    assert!(set.grid(2, &Tensor::from_slice(&[0i64]), Device::Cpu).unwrap_err().to_string().contains("level 2"));
}

#[test]
fn indices_need_no_alignment() {
    let folder = tempfile::tempdir().unwrap();
    let [file, odd] = paths(folder.path());
    let coarse = write(&file, 1 << 18, "t", 3, 0).swap_remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    // One blank more behind the header, which JSON allows.
    let moved = [&(length + 1).to_le_bytes(), &bytes[8..8 + length as usize], b" ", &bytes[8 + length as usize..]];
    std::fs::write(&odd, moved.concat()).unwrap();
    let set = TokenSet::open(&[odd]).unwrap();
    let all = Tensor::from_slice(&[0i64, 1, 2]);
    assert_eq!(set.grid(0, &all, Device::Cpu).unwrap().indices, coarse);
}

#[test]
fn files_that_do_not_belong_together_and_indices_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = paths(folder.path());
    write(&a, 512, "a", 2, 0);
    write(&b, 512, "b", 2, 0);
    let error = TokenSet::open(&[&a, &b]).unwrap_err().to_string();
    assert!(error.contains("different tokenizer"), "{error}");
    for (size, codebook) in [(512i64, 0), (1 << 18, 0)] {
        let levels = [
            Tensor::from_slice(&[0, size]).view([2, 1, 1, 1]),
            Tensor::zeros([2, 2, 2, 3], (Kind::Int64, Device::Cpu)),
        ];
        let columns = columns(levels.each_ref(), &Tensor::from_slice(&[0i64, 0]));
        token_file::write(&a, &header(size, "a"), &columns).unwrap();
        let error = TokenSet::open(&[&a]).unwrap_err().to_string();
        let want = format!("token {size} lies outside codebook {codebook} of {size} codes");
        assert!(error.contains(&want), "{error}");
    }
    let levels = [
        Tensor::zeros([2, 1, 1, 1], (Kind::Int64, Device::Cpu)),
        Tensor::full([2, 2, 2, 3], 7i64, (Kind::Int64, Device::Cpu)),
    ];
    let columns = columns(levels.each_ref(), &Tensor::from_slice(&[0i64, 0]));
    token_file::write(&a, &header(512, "a"), &columns).unwrap();
    let error = TokenSet::open(&[&a]).unwrap_err().to_string();
    assert!(error.contains("token 7 lies outside codebook 1 of 7 codes"), "{error}");
}

#[test]
fn a_file_that_is_cut_short_or_none_at_all_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [file, cut] = paths(folder.path());
    write(&file, 512, "t", 4, 0);
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 1, 8, 20, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let error = TokenSet::open(&[&cut]).unwrap_err().to_string();
        assert!(error.contains(cut.to_str().unwrap()), "{length}: {error}");
    }
    std::fs::write(&cut, b"{}").unwrap();
    assert!(TokenSet::open(&[&cut]).is_err());
    assert!(TokenSet::open(&[folder.path().join("none")]).unwrap_err().to_string().contains("none"));
}

/// Everything that images may be conditioned on, from one or several files.
#[test]
fn conditions_are_gathered_with_their_images() {
    let folder = tempfile::tempdir().unwrap();
    let files = paths(folder.path());
    let header =
        TokenHeader { condition_sizes: vec![vec![9], vec![4]], text_vocabulary: Some(1000), ..header(16, "t") };
    let arange = |first: i64, shape: &[i64], most: i64| {
        let count = shape.iter().product::<i64>();
        Tensor::arange_start(first, first + count, (Kind::Int64, Device::Cpu)).remainder(most).view(shape)
    };
    let mut all: Vec<Columns> = Vec::new();
    for (index, (path, images)) in (0i64..).zip(files.iter().zip([2i64, 3])) {
        let mut columns = columns(
            [&arange(index, &[images, 1, 1, 1], 16), &arange(index, &[images, 2, 2, 3], 7)],
            &arange(index, &[images], 5),
        );
        columns.push((condition_name(0), arange(index, &[images, 1, 2, 2], 9)));
        columns.push((condition_name(1), arange(index, &[images, 1, 1, 1], 4)));
        columns.push((TEXT.into(), arange(100 * index, &[images, 1, 4], 1000)));
        columns.push((TEXT_LENGTH.into(), arange(index, &[images], 3) + 1));
        columns.push((EMBEDDING.into(), arange(index, &[images, 2, 3], 99).to_kind(Kind::Float) * 0.5));
        columns.push((EMBEDDING_LENGTH.into(), arange(index, &[images], 2) + 1));
        token_file::write(path, &header, &columns).unwrap();
        all.push(columns);
    }
    let set = TokenSet::open(&files).unwrap();
    let places = Tensor::from_slice(&[4i64, 0, 2]);
    let column = |name: &str| {
        let parts: Vec<&Tensor> =
            all.iter().map(|columns| &columns.iter().find(|(other, _)| other == name).unwrap().1).collect();
        Tensor::cat(&parts, 0).index_select(0, &places)
    };
    let condition = set.condition(&places, Device::Cpu).unwrap();
    assert_eq!(condition.grids.len(), 2);
    assert_eq!(condition.grids[0].indices, column("condition.0"));
    assert_eq!((&condition.grids[1].indices, &condition.grids[1].sizes), (&column("condition.1"), &vec![4]));
    let text = condition.text.unwrap();
    assert_eq!(text.ids, column("text").squeeze_dim(1));
    let counted = |mask: &Tensor| mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64);
    assert_eq!(counted(&text.mask), column("text.length"));
    let embedding = condition.embedding.unwrap();
    assert_eq!(embedding.values, column("embedding"));
    assert_eq!(counted(&embedding.mask.unwrap()), column("embedding.length"));
    assert_eq!(set.texts(&places, Device::Cpu).unwrap().unwrap(), text.ids);

    let mut short = all.remove(0);
    short.retain(|(name, _)| name != TEXT_LENGTH);
    token_file::write(&files[0], &header, &short).unwrap();
    let error = TokenSet::open(&files[..1]).unwrap_err().to_string();
    assert!(error.contains("text.length"), "{error}");
}

/// A file with captions and embeddings, of three images; the columns by name.
fn conditioned(path: &Path) -> (TokenHeader, Columns) {
    let header = TokenHeader { sizes: vec![vec![16]], text_vocabulary: Some(1000), ..header(16, "t") };
    let arange = |shape: &[i64], most: i64| {
        let count = shape.iter().product::<i64>();
        Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(most).view(shape)
    };
    let columns: Columns = vec![
        (level_name(0), arange(&[3, 1, 2, 2], 16)),
        (CLASS.into(), Tensor::from_slice(&[0i64, -1, 63])),
        (TEXT.into(), arange(&[3, 1, 4], 1000)),
        (TEXT_LENGTH.into(), Tensor::from_slice(&[0i64, 4, 1])),
        (EMBEDDING.into(), arange(&[3, 2, 3], 99).to_kind(Kind::Float)),
        (EMBEDDING_LENGTH.into(), Tensor::from_slice(&[2i64, 0, 1])),
    ];
    token_file::write(path, &header, &columns).unwrap();
    (header, columns)
}

/// Why a file with other words for its header, and other columns, is refused.
fn refusal(
    change_header: impl FnOnce(&mut TokenHeader),
    change_columns: impl FnOnce(&mut Columns),
    rewrite: impl FnOnce(String) -> String,
) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [file, changed] = paths(folder.path());
    let (mut header, mut columns) = conditioned(&file);
    change_header(&mut header);
    change_columns(&mut columns);
    token_file::write(&file, &header, &columns).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let words = rewrite(String::from_utf8(bytes[8..8 + length].to_vec()).unwrap());
    std::fs::write(&changed, [&(words.len() as u64).to_le_bytes(), words.as_bytes(), &bytes[8 + length..]].concat())
        .unwrap();
    let message = TokenSet::open(&[&changed]).unwrap_err().to_string();
    assert!(message.contains(changed.to_str().unwrap()) && !message.contains("frame #"), "{message}");
    message
}

fn with(column: &str, tensor: Tensor) -> impl FnOnce(&mut Columns) {
    move |columns| {
        columns.iter_mut().filter(|(name, _)| name == column).for_each(|(_, old)| *old = tensor.shallow_clone())
    }
}

#[test]
fn headers_that_claim_other_codebooks_are_refused_with_the_claim() {
    for (sizes, want) in [
        (vec![vec![1_000_000_000_000]], "claims codebooks of [1000000000000] codes"),
        (vec![vec![2_147_483_648]], "u16, which can name at most 65536"),
        (vec![vec![i64::MAX]], "claims codebooks of [9223372036854775807] codes"),
        (vec![vec![0]], "claims codebooks of [0] codes"),
        (vec![vec![-5]], "claims codebooks of [-5] codes"),
        (vec![vec![]], "claims codebooks of [] codes"),
        (vec![], "names no level"),
        (vec![vec![16, 16]], "[B, Q=2, *S]"),
        (vec![vec![16], vec![16]], "no tensor `level.1`"),
        (vec![vec![7]], "lies outside codebook 0 of 7 codes"),
    ] {
        // The header is put into a file whose columns are sound.
        let text = serde_json::to_string(&serde_json::to_string(&sizes).unwrap()).unwrap();
        let message = refusal(|_| {}, |_| {}, |words| words.replace("[[16]]", text.trim_matches('"')));
        assert!(message.contains(want), "{sizes:?}: {message}");
    }
    for vocabulary in [0, -3, i64::MAX] {
        let message = refusal(
            |_| {},
            |_| {},
            |words| words.replace(r#"\"text_vocabulary\":1000"#, &format!(r#"\"text_vocabulary\":{vocabulary}"#)),
        );
        assert!(message.contains(&format!("claims codebooks of [{vocabulary}] codes for `text`")), "{message}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_with_the_image() {
    let numbers = |numbers: &[i64; 3]| Tensor::from_slice(numbers);
    for (column, values, want) in [
        (CLASS, [0, 64, 0], "`class` of image 1 is 64; it must lie in -1..=63"),
        (CLASS, [-2, 0, 0], "`class` of image 0 is -2"),
        (TEXT_LENGTH, [0, 1, 5], "`text.length` of image 2 is 5; it must lie in 0..=4"),
        (TEXT_LENGTH, [0, i64::MIN, 0], "`text.length` of image 1"),
        (EMBEDDING_LENGTH, [3, 0, 0], "`embedding.length` of image 0 is 3; it must lie in 0..=2"),
        (EMBEDDING_LENGTH, [0, 0, -1], "`embedding.length` of image 2 is -1"),
    ] {
        let message = refusal(|_| {}, with(column, numbers(&values)), |words| words);
        assert!(message.contains(want), "{message}");
    }
    let names = |header: &mut TokenHeader| header.classes.truncate(5);
    assert!(refusal(names, |_| {}, |words| words).contains("`class` of image 2 is 63; it must lie in -1..=4"));
}

#[test]
fn shapes_that_do_not_go_together_are_refused() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Int64, Device::Cpu));
    let floats = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    for (column, tensor, want) in [
        (level_name(0), zeros(&[2, 1, 2, 2]), "`level.0` and classes differ in length"),
        (level_name(0), zeros(&[3, 1, 0, 2]), "`level.0`: tokens must be"),
        (level_name(0), zeros(&[3, 1]), "`level.0`: tokens must be"),
        (level_name(0), zeros(&[vec![3, 1], vec![1; 70]].concat()), "`level.0`: tokens must be"),
        (TEXT.into(), zeros(&[3, 1, 2, 2]), "`text`: tokens must be"),
        (TEXT_LENGTH.into(), zeros(&[2]), "`text.length` and classes differ in length"),
        (EMBEDDING.into(), floats(&[3, 2, 0]), "embeddings must be f32 [3, L, D]"),
        (EMBEDDING.into(), floats(&[2, 2, 3]), "embeddings must be f32 [3, L, D]"),
        (CLASS.into(), zeros(&[0]), "holds no images"),
    ] {
        let message = refusal(|_| {}, with(&column, tensor), |words| words);
        assert!(message.contains(want), "{column}: {message}");
    }
    let one_more =
        |columns: &mut Columns| columns.push((EMBEDDING_LENGTH.replace("embedding", "level.7"), zeros(&[3])));
    assert!(
        refusal(|_| {}, one_more, |words| words).contains("holds `level.7.length`, which its header does not name")
    );
    // 2^62 images, of a tensor that has no bytes.
    let shape = |words: String| words.replace(r#""shape":[3,1,2,2]"#, r#""shape":[4611686018427387904,1,2,0]"#);
    assert!(!refusal(|_| {}, |_| {}, shape).is_empty());
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [file, other] = paths(folder.path());
    write(&file, 1 << 18, "t", 8, 0);
    let set = TokenSet::open(&[&file]).unwrap();
    let all = Tensor::arange(8, (Kind::Int64, Device::Cpu));
    let whole = set.grid(1, &all, Device::Cpu).unwrap();
    // A file that takes the name is another: the one that is open stays.
    write(&other, 1 << 18, "u", 2, 0);
    std::fs::rename(&other, &file).unwrap();
    assert_eq!(set.grid(1, &all, Device::Cpu).unwrap().indices, whole.indices);

    let set = TokenSet::open(&[&file]).unwrap();
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length - 30).unwrap();
    let error = set.grid(1, &Tensor::from_slice(&[0i64, 1]), Device::Cpu).unwrap_err().to_string();
    let want = format!("was cut to {} of its {length} bytes while it was read", length - 30);
    assert!(error.contains(&want) && error.contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn embeddings_that_are_no_numbers_are_refused_where_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let [file, _] = paths(folder.path());
    let (header, columns) = conditioned(&file);
    let _ = columns[4].1.get(1).get(0).get(0).fill_(f64::NAN);
    token_file::write(&file, &header, &columns).unwrap();
    let set = TokenSet::open(&[&file]).unwrap();
    assert!(set.condition(&Tensor::from_slice(&[0i64, 2]), Device::Cpu).is_ok());
    let error = set.condition(&Tensor::from_slice(&[0i64, 1]), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("embeddings hold NaN"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is changed or cut, a file is refused or all of it can be read.
    #[test]
    fn changed_bytes_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let [file, _] = paths(folder.path());
        conditioned(&file);
        let mut bytes = std::fs::read(&file).unwrap();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&file, &bytes).unwrap();
        let Ok(set) = TokenSet::open(&[&file]) else { return Ok(()) };
        let all = Tensor::arange(set.len() as i64, (Kind::Int64, Device::Cpu));
        for level in 0..set.shapes().len() {
            set.grid(level, &all, Device::Cpu).unwrap().check_range().unwrap();
        }
        if let Err(error) = set.condition(&all, Device::Cpu) {
            prop_assert!(error.to_string().contains("no finite number"), "{error}");
        }
    }
}
