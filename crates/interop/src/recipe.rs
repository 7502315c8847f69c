//! The recipe of an imported run, from the networks that were read.

use toml::{Table, Value};
use vqkit_foreign::{Conditions, Discriminator, Network, table};

/// Where a tokenizer of an imported run comes from.
#[derive(Debug)]
pub enum Origin<'a, 'f> {
    /// A network of a checkpoint.
    Foreign(&'a Network<'f>),
    /// A run of ours, whose folder is given, with its pictures' size and its downsampling.
    Run { path: &'a std::path::Path, image_size: u32, downsampling: i64, channels: i64 },
}

/// The networks of a run.
#[derive(Debug)]
pub struct Parts<'a, 'f> {
    /// The tokenizer of the images.
    pub tokenizer: Origin<'a, 'f>,
    /// The tokenizer of the templates.
    pub template: Option<&'a Network<'f>>,
    /// The priors, coarse first.
    pub priors: Vec<&'a Network<'f>>,
}

/// Sections of training that the recipe format wants, although nothing is trained in the run: one step.
fn train() -> Value {
    Value::Table(table([("steps", 1.into()), ("batch_size", 1.into()), ("learning_rate", 1e-4.into())]))
}

impl Parts<'_, '_> {
    /// The recipe. `image_size`: where the caller wants another than the weights tell.
    ///
    /// # Errors
    /// When the networks do not belong together, or their pictures have a number of channels that no colour mode has.
    pub fn recipe(&self, name: &str, image_size: Option<u32>, template_key: Option<&str>) -> Result<Table, String> {
        let (own_size, downsampling, channels) = self.pictures()?;
        let from_prior = self.size_of_prior(downsampling)?;
        let size = image_size.map(i64::from).or(from_prior).unwrap_or(own_size);
        let mut data = table([("image_size", size.into()), ("color", color(channels)?.into())]);
        let mut source = table([("type", "none".into())]);
        if let Some(template) = self.template {
            source.insert("template".into(), Value::Table(template_kind(template, template_key)?));
        }
        data.insert("source".into(), source.into());
        // As the original computes: with bf16 some tokens would be others.
        let mut root = table([("name", name.into()), ("precision", "fp32".into()), ("data", data.into())]);
        root.insert("tokenizer".into(), self.tokenizer(size).into());
        if let Some(template) = self.template {
            root.insert("template".into(), section(template, size).into());
        }
        let condition = self.condition();
        if !condition.is_empty() {
            root.insert("condition".into(), condition.into());
        }
        let priors: Vec<Value> = self.priors.iter().map(|prior| section(prior, size).into()).collect();
        if !priors.is_empty() {
            root.insert("prior".into(), priors.into());
        }
        Ok(root)
    }

    /// What is left out of a run with images of this size.
    pub fn left_out(&self, image_size: i64) -> Vec<String> {
        let image = match &self.tokenizer {
            Origin::Foreign(network) => Some(*network),
            Origin::Run { .. } => None,
        };
        let discriminators =
            image.into_iter().chain(self.template).filter_map(|network| network.discriminator.as_ref());
        let small = discriminators.filter(|found| found.least_size() > image_size);
        let line = |found: &Discriminator| {
            let least = found.least_size();
            format!("the discriminator, which needs images of {least} pixels; these have {image_size}")
        };
        small.map(line).collect()
    }

    /// Size, downsampling and channels of the pictures.
    fn pictures(&self) -> Result<(i64, i64, i64), String> {
        match &self.tokenizer {
            Origin::Run { image_size, downsampling, channels, .. } => {
                Ok((i64::from(*image_size), *downsampling, *channels))
            }
            Origin::Foreign(network) => {
                let needs = &network.needs;
                let all = needs.image_size.zip(needs.downsampling).zip(needs.channels);
                all.map(|((size, factor), channels)| (size, factor, channels))
                    .ok_or_else(|| "its sizes are not known".into())
            }
        }
    }

    /// The size of the pictures whose grid has as many tokens as the first prior predicts, where its weights tell.
    fn size_of_prior(&self, downsampling: i64) -> Result<Option<i64>, String> {
        let Some(tokens) = self.priors.first().and_then(|prior| prior.needs.tokens) else { return Ok(None) };
        let side = (tokens as f64).sqrt().round() as i64;
        match side * side == tokens {
            true => Ok(Some(side * downsampling)),
            false => Err(format!("the prior predicts {tokens} tokens, which are no square grid")),
        }
    }

    fn tokenizer(&self, size: i64) -> Table {
        match &self.tokenizer {
            Origin::Run { path, .. } => table([("from", path.to_string_lossy().into_owned().into())]),
            Origin::Foreign(network) => section(network, size),
        }
    }

    fn condition(&self) -> Table {
        let mut condition = Table::new();
        for Conditions { classes, coordinates, template, embedding, .. } in
            self.priors.iter().map(|prior| &prior.needs.condition)
        {
            if let Some(classes) = classes {
                condition.insert("class".into(), true.into());
                condition.insert("num_classes".into(), (*classes).into());
            }
            if let Some(levels) = coordinates {
                condition.insert("coordinates".into(), (*levels).into());
            }
            if *template {
                condition.insert("template".into(), Value::Table(table([("type", "given".into())])));
            }
            if let Some([length, dim]) = embedding {
                let section = table([("length", (*length).into()), ("dim", (*dim).into())]);
                condition.insert("embedding".into(), section.into());
            }
        }
        condition
    }
}

/// A network's section, with its training and its discriminator.
fn section(network: &Network, image_size: i64) -> Table {
    let mut section = network.section.clone();
    if let Some(discriminator) = network.discriminator.as_ref().filter(|found| found.least_size() <= image_size) {
        let mut adversarial = discriminator.section.clone();
        let mut network = Table::new();
        for key in ["ndf", "n_layers", "norm"] {
            network.extend(adversarial.remove(key).map(|value| (key.to_owned(), value)));
        }
        adversarial.insert("discriminator".into(), network.into());
        let loss = table([("adversarial", adversarial.into())]);
        section.insert("loss".into(), loss.into());
    }
    section.insert("train".into(), train());
    section
}

fn color(channels: i64) -> Result<&'static str, String> {
    match channels {
        1 => Ok("gray"),
        3 => Ok("rgb"),
        _ => Err(format!("its images have {channels} channels; vqkit's have 1 or 3")),
    }
}

/// What the templates are: by the name of the condition in the configuration, else by their channels.
fn template_kind(network: &Network, key: Option<&str>) -> Result<Table, String> {
    let channels = network.needs.channels.ok_or("the channels of its templates are not known")?;
    Ok(match (key, channels) {
        (Some("depth"), 1) => table([("type", "depth".into())]),
        (_, 1) => table([("type", "gray".into())]),
        (Some("segmentation"), count) => table([("type", "labels".into()), ("count", count.into())]),
        (_, 3) => table([("type", "picture".into())]),
        (_, count) => table([("type", "labels".into()), ("count", count.into())]),
    })
}
