//! Templates as a model sees them: given or derived, cut as their images are.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use tempfile::tempdir;
use vqkit_data::{DataConfig, Loader, LoaderConfig, Order};

/// A picture twice as large as what a model sees of it, whose pixels say where they are.
#[test]
fn a_part_says_where_it_lies_and_templates_are_cut_alike() {
    let folder = tempdir().unwrap();
    for name in ["images", "templates"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let values: Vec<u8> =
            (0..40u32).flat_map(|row| (0..40).map(move |column| (row / 2 * 5 + column / 20) as u8)).collect();
        let path = folder.path().join(name).join("a.png");
        image::save_buffer(path, &values, 40, 40, image::ExtendedColorType::L8).unwrap();
    }
    let text = format!(
        "root = \"{}\"\nimage_size = 20\nshort_side = 40\ncolor = \"gray\"\ncrop = \"random\"\nresize = \"bilinear\"\nflip = true\n\
         [source]\ntype = \"pairs\"\ntrain = \".\"\ntemplates = \"templates\"\ntemplate = {{ type = \"labels\", count = 256 }}",
        folder.path().display()
    );
    let mut config: DataConfig = toml::from_str(&text).unwrap();
    config.template = Some(toml::from_str("type = \"given\"\nsize = 10").unwrap());
    let data = config.open().unwrap();
    let loader = LoaderConfig { batch_size: 24, augment: true, ..LoaderConfig::default() };
    let batch = Loader::new(&data.train, loader).unwrap().next().unwrap().unwrap();
    let templates = batch.templates.as_ref().unwrap();
    assert_eq!((batch.shape, templates.shape), ([24, 1, 20, 20], [24, 1, 10, 10]));
    let mut tops = Vec::new();
    for (index, part) in batch.regions.iter().enumerate() {
        assert_eq!((part.height, part.width), (0.5, 0.5));
        let byte = |value: f32| ((value + 1.0) * 127.5).round() as u32;
        let first = byte(batch.images[index * 400]);
        assert_eq!(first / 5, (part.top * 40.0).round() as u32 / 2, "{part:?}");
        // Every second pixel, of a part that begins with a pair of rows or between two.
        let label = templates.values[index * 100] as u32;
        assert!(label / 5 - first / 5 <= 1, "{label} {first}");
        tops.push((part.top * 40.0) as u32);
    }
    tops.sort_unstable();
    tops.dedup();
    assert!(tops.len() > 5, "{tops:?}");
    let split = batch.split(3);
    assert_eq!(split.iter().map(|part| part.keys.len()).collect::<Vec<_>>(), [8, 8, 8]);
    assert_eq!(split.iter().flat_map(|part| part.images.clone()).collect::<Vec<_>>(), batch.images);
    let values = split.iter().flat_map(|part| part.templates.as_ref().unwrap().values.clone());
    assert_eq!(values.collect::<Vec<_>>(), templates.values);
}

/// What is derived belongs to the image as a model sees it.
#[test]
fn derived_templates_follow_the_cut_image() {
    let config = |template: &str| {
        let mut config: DataConfig = toml::from_str("image_size = 32\n[source]\ntype = \"shapes\"\ncount = 8").unwrap();
        config.template = Some(toml::from_str(template).unwrap());
        config
    };
    for (template, channels, size) in
        [("type = \"edges\"", 1, 32), ("type = \"downsampled\"\nfactor = 4", 3, 8), ("type = \"gray\"", 1, 32)]
    {
        let data = config(template).open().unwrap();
        let batch = Loader::new(
            &data.train,
            LoaderConfig { batch_size: 4, order: Order::Sequential, ..LoaderConfig::default() },
        )
        .unwrap();
        let batch = batch.into_iter().next().unwrap().unwrap();
        let templates = batch.templates.unwrap();
        assert_eq!(templates.shape, [4, channels, size, size], "{template}");
        let reader = data.train.templates().unwrap();
        assert!(reader.derives() && reader.size() == size);
        let sample = data.train.get(0).unwrap();
        let derived = reader.derive(&sample.image).unwrap();
        assert_eq!(templates.values[..channels * size * size], derived);
    }
    let given = config("type = \"given\"\nsize = 16").open().unwrap();
    let sample = given.train.get(0).unwrap();
    let reader = given.train.templates().unwrap();
    let error = reader.derive(&sample.image).unwrap_err().to_string();
    assert!(error.contains("give the template itself"), "{error}");
    assert_eq!(reader.read("map", sample.template.as_ref().unwrap()).unwrap().len(), 256);
    let error = reader.read_large("map", sample.template.as_ref().unwrap(), [32, 64]).unwrap_err();
    assert!(error.to_string().contains("this size needs 32 and 64"), "{error}");
}
