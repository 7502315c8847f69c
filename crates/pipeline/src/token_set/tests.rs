//! Token files that were written are read back; broken ones are refused.

use std::path::PathBuf;

use super::*;
use crate::token_file::{self, CLASS, Columns, TEXT, condition_name, level_name};

fn header(size: i64, tokenizer: &str) -> TokenHeader {
    let (tokenizer, data) = (tokenizer.into(), "d".into());
    TokenHeader {
        tokenizer,
        data,
        sizes: vec![vec![size], vec![size, 7]],
        classes: vec!["cat".into()],
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
        assert!(error.contains(&format!("no place {place}")) && error.contains("3 images"), "{error}");
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
    assert!(error.contains("another tokenizer"), "{error}");
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

#[test]
#[ignore = "temporary"]
fn gather_speed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    let header = TokenHeader { sizes: vec![vec![512]], ..header(512, "t") };
    let n = 20_000i64;
    let tokens = Tensor::arange(n * 64, (Kind::Int64, Device::Cpu)).remainder(512).view([n, 1, 8, 8]);
    let columns: Columns =
        vec![(level_name(0), tokens), (CLASS.into(), Tensor::zeros([n], (Kind::Int64, Device::Cpu)))];
    token_file::write(&file, &header, &columns).unwrap();
    let start = std::time::Instant::now();
    let set = TokenSet::open(&[&file]).unwrap();
    println!("open {:?}", start.elapsed());
    for rows in [64i64, 1024] {
        let mut times: Vec<f64> = (0..200)
            .map(|_| {
                let places = Tensor::randint(n, [rows], (Kind::Int64, Device::Cpu));
                let start = std::time::Instant::now();
                std::hint::black_box(set.grid(0, &places, Device::Cpu).unwrap());
                start.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{rows} rows: median {:.1} us, least {:.1} us", times[100], times[0]);
    }
}
