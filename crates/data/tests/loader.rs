//! The loader: the same batches whatever the threads, wherever it is resumed, however bad the files.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod fixtures;

use fixtures::{open, png, write};
use tempfile::{TempDir, tempdir};
use vqkit_data::{Batch, DataConfig, DataError, Dataset, Loader, LoaderConfig, Order};

fn shapes(count: u32) -> Dataset {
    let recipe = format!("image_size = 24\nsource = {{ type = 'shapes', count = {count} }}");
    toml::from_str::<DataConfig>(&recipe).unwrap().open().unwrap()
}

fn batches(data: &Dataset, config: LoaderConfig, count: usize) -> Vec<Batch> {
    Loader::new(&data.train, config).unwrap().take(count).collect::<Result<_, _>>().unwrap()
}

fn keys(batches: &[Batch]) -> Vec<String> {
    batches.iter().flat_map(|batch| batch.keys.clone()).collect()
}

/// A folder of 16x8 pictures, of which those at `bad` are broken.
fn folder(count: usize, bad: &[usize]) -> TempDir {
    let folder = tempdir().unwrap();
    for place in 0..count {
        let broken = bad.contains(&place);
        let bytes = if broken { b"no image at all".to_vec() } else { png(16, place as u8) };
        write(folder.path(), &format!("{place:03}.png"), &bytes);
    }
    folder
}

fn augmented(seed: u64, workers: usize) -> LoaderConfig {
    LoaderConfig { batch_size: 7, seed, workers: Some(workers), augment: true, ..LoaderConfig::default() }
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let folder = folder(20, &[3, 11]);
    let keys = "on_error = 'skip'\nmax_error_rate = 0.2\ncrop = 'random'\nflip = true";
    let data = open(folder.path(), keys, "type = 'folder'\ntrain = ''").unwrap();
    let one = batches(&data, augmented(5, 1), 9);
    assert_eq!(one, batches(&data, augmented(5, 4), 9));
    assert_ne!(one, batches(&data, augmented(6, 4), 9));
}

#[test]
fn a_stream_resumes_in_the_middle_of_an_epoch() {
    let data = shapes(25);
    let whole = batches(&data, augmented(1, 2), 8);
    let start = whole[2].position;
    assert_eq!(start, 21);
    assert_eq!(batches(&data, LoaderConfig { start, ..augmented(1, 2) }, 5), whole[3..]);
    let single = LoaderConfig { batch_size: 1, start: 10, ..augmented(1, 2) };
    assert_eq!(keys(&batches(&data, single, 11)), keys(&whole)[10..21]);
}

#[test]
fn a_batch_has_the_shapes_and_ranges_that_it_says() {
    let data = shapes(10);
    let batch = batches(&data, LoaderConfig { batch_size: 4, ..LoaderConfig::default() }, 1).remove(0);
    let templates = batch.templates.unwrap();
    assert_eq!((batch.shape, templates.shape), ([4, 3, 24, 24], [4, 1, 24, 24]));
    assert_eq!((batch.images.len(), templates.values.len()), (4 * 3 * 576, 4 * 576));
    assert!(batch.images.iter().all(|value| (-1.0..=1.0).contains(value)));
    assert!(templates.values.iter().all(|value| (0.0..6.0).contains(value) && value.fract() == 0.0));
    assert_eq!((batch.classes.len(), batch.captions.len(), batch.keys.len()), (4, 4, 4));
    assert!(batch.classes.iter().all(|class| (0..5).contains(class)));
}

#[test]
fn one_pass_ends_and_gives_everything_in_order() {
    let data = shapes(10);
    let config = LoaderConfig { batch_size: 4, order: Order::Sequential, workers: Some(3), ..LoaderConfig::default() };
    let all = batches(&data, config, 100);
    assert_eq!(all.iter().map(|batch| batch.shape[0]).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(keys(&all), (0..10).map(|i| format!("{i:08}")).collect::<Vec<_>>());
    assert_eq!(all[2].position, 10);
}

#[test]
fn a_bad_file_ends_the_stream_and_is_named() {
    let folder = folder(6, &[4]);
    let data = open(folder.path(), "", "type = 'folder'\ntrain = ''").unwrap();
    let config = LoaderConfig { batch_size: 2, order: Order::Sequential, ..LoaderConfig::default() };
    let mut loader = Loader::new(&data.train, config).unwrap();
    assert!(loader.next().unwrap().is_ok() && loader.next().unwrap().is_ok());
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("004.png: the content is not an image"), "{error}");
    assert!(loader.next().is_none());
}

#[test]
fn skipped_files_are_left_out_of_a_pass_and_replaced_in_a_stream() {
    let folder = folder(10, &[0, 1, 7]);
    let data = open(folder.path(), "on_error = 'skip'\nmax_error_rate = 0.4", "type = 'folder'\ntrain = ''").unwrap();
    let config = LoaderConfig { batch_size: 2, order: Order::Sequential, ..LoaderConfig::default() };
    let mut loader = Loader::new(&data.train, config).unwrap();
    let pass: Vec<Batch> = loader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(keys(&pass), ["002.png", "003.png", "004.png", "005.png", "006.png", "008.png", "009.png"]);
    let bad: Vec<String> = loader.bad().into_iter().map(|bad| bad.key).collect();
    assert_eq!(bad.len(), 3);
    assert!(bad[2].ends_with("007.png"), "{bad:?}");
    let stream = batches(&data, augmented(3, 2), 10);
    assert!(stream.iter().all(|batch| batch.shape[0] == 7 && batch.images.len() == 7 * 3 * 64));
    assert!(!keys(&stream).contains(&"007.png".to_owned()));
}

#[test]
fn too_many_bad_files_are_an_error() {
    let folder = folder(10, &[0, 1, 7]);
    let data = open(folder.path(), "on_error = 'skip'\nmax_error_rate = 0.25", "type = 'folder'\ntrain = ''").unwrap();
    let outcome: Result<Vec<Batch>, DataError> =
        Loader::new(&data.train, LoaderConfig { order: Order::Sequential, ..LoaderConfig::default() })
            .unwrap()
            .collect();
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("3 of 10 items are bad, above `max_error_rate` = 0.25; the first:"), "{error}");
}

#[test]
fn a_bad_template_leaves_nothing_behind() {
    let folder = tempdir().unwrap();
    for (place, level) in [1, 2, 9].into_iter().enumerate() {
        write(folder.path(), &format!("images/{place}.png"), &png(8, 0));
        write(folder.path(), &format!("labels/{place}.png"), &png(8, level));
    }
    let source = "type = 'pairs'\ntrain = ''\ntemplates = 'labels'\ntemplate = { type = 'labels', count = 3 }";
    let data = open(folder.path(), "on_error = 'skip'\nmax_error_rate = 0.5", source).unwrap();
    let config = LoaderConfig { batch_size: 3, order: Order::Sequential, ..LoaderConfig::default() };
    let batch = batches(&data, config, 1).remove(0);
    let templates = batch.templates.unwrap();
    assert_eq!((batch.shape[0], templates.shape, templates.values.len()), (2, [2, 1, 8, 8], 128));
    assert_eq!(templates.values, [[1.0; 64], [2.0; 64]].concat());
}

#[test]
fn a_loader_that_is_dropped_stops_its_threads() {
    let data = shapes(1000);
    for _ in 0..20 {
        let config = LoaderConfig { batch_size: 16, workers: Some(4), prefetch: Some(32), ..LoaderConfig::default() };
        let mut loader = Loader::new(&data.train, config).unwrap();
        loader.next();
    }
}

#[test]
fn impossible_loaders_are_refused() {
    let data = shapes(5);
    let refused = |config: LoaderConfig| Loader::new(&data.train, config).err().unwrap().to_string();
    let plain = LoaderConfig::default();
    assert_eq!(refused(LoaderConfig { batch_size: 0, ..plain.clone() }), "`batch_size`: must be 1 to 1048576, found 0");
    assert_eq!(refused(LoaderConfig { rank: 2, world: 2, ..plain.clone() }), "`rank`: rank 2 of a world of 2");
    assert!(Loader::new(&data.validation, plain).is_err());
}
