//! The section `[data]` of a recipe.

use std::{collections::HashSet, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Color, Crop, DataError, Filter, OnError, PictureReader, SourceConfig, TemplateConfig, TemplateKind,
    bounds::{DEFAULT_MAX_DECODED_MB, DEFAULT_MAX_FILE_MB, MAX_PREFETCH, MAX_WORKERS, within},
    sources::DataKeys,
};

/// The section `[data]`: where samples come from and how they are prepared for a model.
///
/// ```
/// use vqkit_data::DataConfig;
///
/// let config: DataConfig = toml::from_str(r#"
///     image_size = 32
///     [source]
///     type = "shapes"
///     count = 100
/// "#)?;
/// let data = config.open()?;
/// assert_eq!(data.train.len(), 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folder to which the paths of the source are relative. Default: `$VQKIT_DATA`, else `./data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Width and height, in pixels, of the square images that a model receives; 1 to 4096.
    pub image_size: u32,
    /// Share of the samples to set aside for validation, in (0, 1), where the source has no validation samples of its
    /// own. Which samples are chosen depends only on their number. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// The short side of an image is resized to this many pixels before a square of `image_size` is cropped from it; at
    /// least `image_size`. Default: `image_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_side: Option<u32>,
    /// Colour mode. Default `"rgb"`.
    #[serde(default)]
    pub color: Color,
    /// Which square is cropped from a larger image in training; outside of training it is always the centre. Default
    /// `"center"`.
    #[serde(default)]
    pub crop: Crop,
    /// Filter for resizing, with antialiasing when an image becomes smaller. Default `"bicubic"`.
    #[serde(default)]
    pub resize: Filter,
    /// Whether a random half of the images, with their templates, is mirrored left to right in training. Default false.
    #[serde(default)]
    pub flip: bool,
    /// What to do with a sample that cannot be used. Default `"fail"`.
    #[serde(default)]
    pub on_error: OnError,
    /// Share of bad samples above which `on_error = "skip"` fails nevertheless, in [0, 1). Default 0.01.
    #[serde(default = "default_max_error_rate")]
    pub max_error_rate: f64,
    /// Names of the classes, in the order of their numbers. Default: those of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// Whether a sample without a class counts as bad. Recipes with `condition.class = true` turn this on. Default
    /// false.
    #[serde(default)]
    pub require_class: bool,
    /// Whether a sample without a caption counts as bad. Recipes that condition on text turn this on. Default false.
    #[serde(default)]
    pub require_caption: bool,
    /// Whether a sample without a template of its own counts as bad. Recipes that condition on the templates of the source
    /// turn this on. Default false.
    #[serde(default)]
    pub require_template: bool,
    /// Number of decoding threads, 1 to 64. Default: a quarter of the cores, 1 to 8
    /// ([`default_workers`](crate::default_workers)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Number of batches decoded ahead of the one in use, 1 to 64. Default 4.
    #[serde(default = "default_prefetch")]
    pub prefetch: usize,
    /// Largest image file that is read, in MiB, and also the most that all threads together read at once. Default 256.
    #[serde(default = "default_max_file_mb")]
    pub max_file_mb: u64,
    /// Most memory, in MiB, that images take while they are decoded and resized, over all threads: a thread waits until
    /// there is room, and an image that needs more by itself is bad. A pixel takes 5 to 16 bytes, depending on the
    /// format. Default 1024, enough for photographs of 100 megapixels.
    #[serde(default = "default_max_decoded_mb")]
    pub max_decoded_mb: u64,
    /// Where samples come from.
    pub source: SourceConfig,
    /// `[condition.template]` of a recipe. Default: the templates of the source, at `image_size`.
    #[serde(skip)]
    pub template: Option<TemplateConfig>,
}

/// The largest bound on memory: a tebibyte, in MiB.
const MAX_MB: u64 = 1 << 20;

fn default_max_error_rate() -> f64 {
    0.01
}

fn default_prefetch() -> usize {
    4
}

fn default_max_file_mb() -> u64 {
    DEFAULT_MAX_FILE_MB
}

fn default_max_decoded_mb() -> u64 {
    DEFAULT_MAX_DECODED_MB
}

impl DataConfig {
    /// A source at a size, and the default of every other key.
    pub fn new(image_size: u32, source: SourceConfig) -> Self {
        Self {
            root: None,
            image_size,
            validation: None,
            short_side: None,
            color: Color::default(),
            crop: Crop::default(),
            resize: Filter::default(),
            flip: false,
            on_error: OnError::default(),
            max_error_rate: default_max_error_rate(),
            class_names: None,
            require_class: false,
            require_caption: false,
            require_template: false,
            workers: None,
            prefetch: default_prefetch(),
            max_file_mb: DEFAULT_MAX_FILE_MB,
            max_decoded_mb: DEFAULT_MAX_DECODED_MB,
            source,
            template: None,
        }
    }

    /// The folder that paths of the source are relative to: `root`, else `$VQKIT_DATA`, else `./data`.
    pub fn root(&self) -> PathBuf {
        let variable = || std::env::var_os("VQKIT_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
        self.root.clone().or_else(variable).unwrap_or_else(|| PathBuf::from("data"))
    }

    /// The kind of the templates, as far as the recipe determines it; `None` where there are no templates.
    pub fn template_kind(&self) -> Option<TemplateKind> {
        let derived = self.template.as_ref().and_then(TemplateConfig::kind);
        derived.or_else(|| self.source.member().template())
    }

    /// Width and height, in pixels, of the templates that a model receives.
    pub fn template_size(&self) -> u32 {
        self.template.as_ref().map_or(self.image_size, |template| template.size(self.image_size))
    }

    /// A reader of images with the limits `max_file_mb` and `max_decoded_mb`.
    pub fn reader(&self) -> PictureReader {
        PictureReader::new(self.max_file_mb, self.max_decoded_mb)
    }

    /// Checks every value, without opening any file.
    ///
    /// # Errors
    /// [`DataError::Config`] with the key, what was found and what is allowed.
    pub fn validate(&self) -> Result<(), DataError> {
        within("image_size", self.image_size.into(), 4096)?;
        within("prefetch", self.prefetch as u64, MAX_PREFETCH as u64)?;
        self.workers.map_or(Ok(()), |workers| within("workers", workers as u64, MAX_WORKERS as u64))?;
        within("max_file_mb", self.max_file_mb, MAX_MB)?;
        within("max_decoded_mb", self.max_decoded_mb, MAX_MB)?;
        if let Some(share) = self.validation.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            return Err(DataError::config("validation", format!("must be a share between 0 and 1, found {share}")));
        }
        if !(0.0..1.0).contains(&self.max_error_rate) {
            return Err(DataError::config(
                "max_error_rate",
                format!("must be a share in [0, 1), found {}", self.max_error_rate),
            ));
        }
        if let Some(side) = self.short_side.filter(|side| !(self.image_size..=1 << 14).contains(side)) {
            let reason = format!("must be image_size = {} to 16384, found {side}", self.image_size);
            return Err(DataError::config("short_side", reason));
        }
        self.template.as_ref().map_or(Ok(()), |template| template.validate(self.image_size))?;
        self.validate_class_names()?;
        self.source.member().validate(&DataKeys {
            image_size: self.image_size,
            flip: self.flip,
            has_class_names: self.class_names.is_some(),
        })
    }

    fn validate_class_names(&self) -> Result<(), DataError> {
        let names = self.class_names.as_deref().unwrap_or_default();
        if self.class_names.is_some() && names.is_empty() {
            return Err(DataError::config("class_names", "is empty; leave it out, or name every class"));
        }
        let mut known = HashSet::with_capacity(names.len());
        match names.iter().find(|name| !known.insert(name.as_str())) {
            Some(name) => Err(DataError::config("class_names", format!("`{name}` is listed twice"))),
            None => Ok(()),
        }
    }
}
