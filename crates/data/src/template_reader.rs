//! Templates as a model sees them: the source's own, or derived from the images.

use crate::{DataConfig, DataError, Filter, Picture, Pixels, TemplateConfig, TemplateKind, Transform};

/// How pictures become templates as a model sees them; needs no data.
///
/// ```
/// use vqkit_data::{DataConfig, Picture, Pixels, TemplateReader};
///
/// let config: DataConfig = toml::from_str("image_size = 32\nsource = { type = 'shapes', count = 100 }")?;
/// let templates = TemplateReader::new(&config).ok_or("shapes have templates")?;
/// let map = Picture::new(32, 32, Pixels::Gray8(vec![5; 32 * 32]))?;
/// assert_eq!(templates.read("map.png", &map)?[0], 5.0);
/// let small = Picture::new(16, 16, Pixels::Gray8(vec![5; 16 * 16]))?;
/// assert!(templates.read("small.png", &small).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TemplateReader {
    transform: Transform,
    kind: TemplateKind,
    config: Option<TemplateConfig>,
    filter: Filter,
}

impl TemplateReader {
    /// For `[data]` with its templates; none where there are none.
    pub fn new(config: &DataConfig) -> Option<Self> {
        let kind = config.template_kind()?;
        Some(Self { transform: Transform::new(config), kind, config: config.template.clone(), filter: config.resize })
    }

    /// What the templates are.
    pub fn kind(&self) -> &TemplateKind {
        &self.kind
    }

    /// Width and height of a template in pixels.
    pub fn size(&self) -> usize {
        self.transform.template_size()
    }

    /// Whether templates are derived from images, and not the source's.
    pub fn derives(&self) -> bool {
        self.config.as_ref().and_then(TemplateConfig::kind).is_some()
    }

    /// The template `[C', S, S]` of an image as a model sees it, `[C, H, W]` in [-1, 1]; none where the source has it.
    pub(crate) fn of_image(&self, image: &[f32]) -> Option<Vec<f32>> {
        self.config.as_ref()?.derive(image, self.transform.size() as u32, self.filter)
    }

    /// The template `[C', S, S]` of an image, where templates are derived.
    ///
    /// # Errors
    /// [`DataError::Bad`] where they are the source's own.
    pub fn derive(&self, picture: &Picture) -> Result<Vec<f32>, DataError> {
        let image = self.transform.image(picture)?;
        let missing =
            || DataError::bad("the image", "templates are not derived from images here: give the template itself");
        self.of_image(&image).ok_or_else(missing)
    }

    /// A template that somebody hands in, `[C', S, S]`: exactly as large as a model sees it, or, where the source has the templates, as
    /// large as the images.
    ///
    /// # Errors
    /// [`DataError::Bad`] with `name` where it has another size, another kind of pixels, or labels that it should not.
    pub fn read(&self, name: &str, picture: &Picture) -> Result<Vec<f32>, DataError> {
        let (size, image_size) = (self.size() as u32, self.transform.size() as u32);
        let found = [picture.width(), picture.height()];
        if found != [size; 2] && (self.derives() || found != [image_size; 2]) {
            let reason = format!("has {} x {} pixels, templates here have {size} x {size}", found[0], found[1]);
            return Err(DataError::bad(name, reason));
        }
        self.read_of_any_size(name, picture)
    }

    /// As [`read`](Self::read) of the source's own templates, cut out and resized as those are.
    ///
    /// # Errors
    /// [`DataError::Bad`] with `name` where it has another kind of pixels, or labels that it should not.
    pub fn read_of_any_size(&self, name: &str, picture: &Picture) -> Result<Vec<f32>, DataError> {
        self.check_pixels(name, picture)?;
        self.transform.named_template(name, picture, &self.kind)
    }

    /// As [`read`](Self::read) for a picture that is larger than those trained on: `[C', H, W]` of exactly this height and width.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_large(&self, name: &str, picture: &Picture, [height, width]: [u32; 2]) -> Result<Vec<f32>, DataError> {
        self.check_pixels(name, picture)?;
        let [tall, wide] = [picture.height(), picture.width()];
        if [tall, wide] != [height, width] {
            let reason = format!("is {tall} pixels high and {wide} wide, this size needs {height} and {width}");
            return Err(DataError::bad(name, reason));
        }
        self.transform.whole_template(name, picture, &self.kind)
    }

    fn check_pixels(&self, name: &str, picture: &Picture) -> Result<(), DataError> {
        match (&self.kind, picture.pixels()) {
            (TemplateKind::Picture(_), Pixels::Gray8(_) | Pixels::Gray16(_)) => {
                Err(DataError::bad(name, "is grey, and templates here are in colour"))
            }
            (TemplateKind::Gray(_) | TemplateKind::Depth(_), Pixels::Rgb8(_)) => {
                Err(DataError::bad(name, "is in colour, and templates here are grey"))
            }
            _ => Ok(()),
        }
    }
}
